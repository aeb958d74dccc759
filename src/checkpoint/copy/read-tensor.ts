/** The one way to read the bytes of a tensor, or of a part of it, into memory for everything that does not copy whole files. */
import { throwIfAborted, VistaError } from "../../core/errors.js";
import { dtypeInfo } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkPlan } from "./check-plan.js";
import { ComputedCache } from "./computed.js";
import type { RegionChecks } from "./input-checks.js";
import { WindowReader } from "./window.js";

export interface ReadTensorOptions {
  /** The index of the first element in row-major order; 0 by default. */
  from?: number;
  /** The index behind the last element; the number of elements by default. */
  to?: number;
  /** The place for the bytes, as long as the elements and at an address that suits them; fresh memory by default. */
  target?: Uint8Array;
  signal?: AbortSignal;
  /** The cache of calls that read one tensor in parts, so that it is computed only once; by default each call has its own. */
  computed?: ComputedCache;
  /** The checks that get the CRC-32 of every read of a region that states one; by default nothing is checked. */
  checks?: RegionChecks;
}

/**
 * Reads elements `[from, to)` of a tensor of any source: little-endian, row-major, without gaps.
 *
 * Where no `checks` are given, the bytes are as the file has them. They are not compared with the checksum of their record, which
 * needs the whole record.
 *
 * @returns `target`, filled
 * @throws VistaError `USAGE` for elements that the tensor does not have, `FORMAT`, `TRUNCATED`, `IO`, `ABORTED`
 */
export async function readTensor(tensor: Tensor, options: ReadTensorOptions = {}): Promise<Uint8Array> {
  const { from = 0, to = tensor.numel, signal, checks } = options;
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= tensor.numel)) {
    throw new VistaError(
      "USAGE",
      `elements ${from} to ${to} of a tensor that has ${tensor.numel}, from 0 to ${tensor.numel}`,
      { hint: "`from` is the first element that is read, `to` the first that is not." },
    );
  }
  const { bits } = dtypeInfo(tensor.dtype);
  if ((from * bits) % 8 !== 0 || (to * bits) % 8 !== 0) {
    throw new VistaError(
      "USAGE",
      `elements ${from} to ${to} of ${bits} bits do not begin and end with a byte`,
      { hint: "Use multiples of 4 for both." },
    );
  }
  const length = ((to - from) * bits) / 8;
  const target = options.target ?? new Uint8Array(length);
  if (target.byteLength !== length)
    throw new VistaError("USAGE", `${target.byteLength} bytes of room for elements that have ${length}`, {
      hint: `Give a target of ${length} bytes, or none.`,
    });
  throwIfAborted(signal);
  checkPlan([tensor]);
  const reader = new WindowReader(options.computed ?? new ComputedCache(), checks !== undefined);
  if (length > 0) reader.add(tensor, (from * bits) / 8, target);
  const reads = await reader.run();
  throwIfAborted(signal);
  for (const read of reads) checks?.add(read);
  return target;
}
