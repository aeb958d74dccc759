/** Reads the values of a tensor as a typed array, which is what a program that uses this package does first. */
import { constants } from "node:buffer";
import { VistaError } from "../core/errors.js";
import { RegionChecks } from "./copy/input-checks.js";
import { readTensor } from "./copy/read-tensor.js";
import { type CastTarget, canCast, isCastTarget } from "./tensor/cast.js";
import { dtypeInfo } from "./tensor/dtype.js";
import { castTensor, requireTensor, type Tensor } from "./tensor/tensor.js";
import { type TensorValues, typedArrayOf } from "./tensor/typed-array.js";

export interface ReadOptions {
  /**
   * The type to which the values are converted. `F32` widens F16, BF16 and 8-bit types exactly; integers beyond 2^24 are rounded.
   * Of complex numbers the real part is taken, as torch does it.
   */
  dtype?: CastTarget | undefined;
  /** The index of the first element, in row-major order; 0 by default. */
  from?: number | undefined;
  /** The index of the element after the last; by default all elements are read. */
  to?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Reads the values of a tensor, also of one that a transform would compute.
 *
 * The values are checked against the file's CRC-32 where the tensor is the whole of a record that has one (as in a file of
 * torch.save) and is read whole. Parts, the slices of ZeRO shards, and safetensors files, which have no checksums, are taken as
 * they are: `verifyCheckpoint` looks at every byte.
 *
 * @returns the values in row-major order, in memory of their own; for F16 and BF16 the bits as a Uint16Array unless `dtype` is
 *   `F32`, since Node 20 has no Float16Array; see {@link TensorValues} for all types
 * @throws VistaError `USAGE` for what is no tensor and for elements that do not exist, `UNSUPPORTED` for a type that cannot be converted and for more bytes
 *   than an array can have, `CHECKSUM`, `TRUNCATED`, `IO`, `ABORTED`
 */
export function readValues(tensor: Tensor, options: ReadOptions & { dtype: "F32" }): Promise<Float32Array>;
export function readValues(
  tensor: Tensor,
  options: ReadOptions & { dtype: "F16" | "BF16" },
): Promise<Uint16Array>;
export function readValues(tensor: Tensor, options?: ReadOptions): Promise<TensorValues>;
export async function readValues(tensor: Tensor, options: ReadOptions = {}): Promise<TensorValues> {
  requireTensor(tensor);
  const { dtype = tensor.dtype, from = 0, to = tensor.numel, signal } = options;
  if (!canCast(tensor.dtype, dtype)) {
    throw new VistaError("UNSUPPORTED", `there is no conversion from ${tensor.dtype} to ${dtype}`, {
      hint: isCastTarget(dtype) ? "Read it without a dtype." : "Give F32, F16 or BF16, or no dtype.",
    });
  }
  const bytes = ((to - from) * dtypeInfo(dtype).bits) / 8;
  if (to <= tensor.numel && bytes > constants.MAX_LENGTH) {
    throw new VistaError("UNSUPPORTED", `${bytes} bytes are more than one array can have`, {
      hint: "Read it in parts, with `from` and `to`.",
    });
  }
  const checks = from === 0 && to === tensor.numel ? new RegionChecks() : undefined;
  const read = await readTensor(castTensor(tensor, dtype), { from, to, signal, checks });
  checks?.compare();
  return typedArrayOf(read, dtype);
}
