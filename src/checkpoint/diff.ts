/** Compares two checkpoints, each of any kind, tensor by tensor and a few megabytes at a time. */
import { throwIfAborted, VistaError } from "../core/errors.js";
import { crc32 } from "../core/io/crc32.js";
import { mapOrdered } from "../core/io/map-ordered.js";
import { settleAll } from "../core/io/settle.js";
import type { RunOptions } from "../core/progress.js";
import { sum } from "../core/sum.js";
import { checkUnchanged } from "./copy/changed-files.js";
import { ComputedCache } from "./copy/computed.js";
import { RegionChecks } from "./copy/input-checks.js";
import { type ReadTensorOptions, readTensor } from "./copy/read-tensor.js";
import { SpareBuffers } from "./copy/spare-buffers.js";
import { floatsOf, isWidenable } from "./tensor/cast.js";
import { type DType, dtypeInfo } from "./tensor/dtype.js";
import { requireState, type StateDict, type Tensor } from "./tensor/tensor.js";

export interface TensorDifference {
  readonly name: string;
  readonly dtypes: readonly [DType, DType];
  readonly shapes: readonly [readonly number[], readonly number[]];
  /**
   * The number of elements whose values differ by more than the tolerance, where NaN equals NaN and 0 equals -0; `undefined`
   * where the values cannot be compared.
   */
  readonly differing: number | undefined;
  /**
   * The largest |a - b|; `undefined` for types that are not floating-point. NaN beside a number counts in {@link nanMismatches}
   * alone.
   */
  readonly maxAbsolute: number | undefined;
  /** The largest |a - b| / max(|a|, |b|); `undefined` for types that are not floating-point. */
  readonly maxRelative: number | undefined;
  /** The number of elements that are NaN on one side only. */
  readonly nanMismatches: number;
}

export interface DiffReport {
  readonly onlyA: readonly string[];
  readonly onlyB: readonly string[];
  /** The tensors of both that differ in dtype, shape or a byte by more than the options allow. */
  readonly different: readonly TensorDifference[];
  /** The number of tensors of both that differ only by what `atol`, `rtol` and `ignoreDType` allow. */
  readonly close: number;
  /** The number of tensors that are the same in both, byte for byte. */
  readonly same: number;
  /** Whether both are equal; false also where they have no tensor in common, since then nothing was compared. */
  readonly equal: boolean;
}

/** The number of elements that are compared at once. */
const STEP = 256 * 1024;
/** The number of bytes that are read at once where only a checksum needs them. */
const EXTRA = 1024 * 1024;
/** The number of comparisons whose reads are in flight. */
const AHEAD = 3;

export interface DiffOptions extends RunOptions {
  /**
   * Whether the CRC-32 of every record that is compared is checked, so that a damaged one is an error and not a difference; true
   * by default.
   */
  verify?: boolean | undefined;
  /**
   * The absolute tolerance, beside the relative one in `rtol`: floats a and b count as equal where |a - b| ≤ atol + rtol · |b|,
   * as in `torch.allclose`; other types have no tolerance. Both are 0 by default. Where one is given, even as 0, a tensor that
   * differs only in -0 for 0 or in the bits of NaN is close, not different.
   */
  atol?: number | undefined;
  rtol?: number | undefined;
  /**
   * Whether floats of different dtypes are no difference where their values are equal; false by default. Other types stay
   * different.
   */
  ignoreDType?: boolean | undefined;
}

/**
 * Compares names, dtypes, shapes and bytes. For floats it also tells how far the values are apart, even where the dtypes differ.
 * @throws VistaError what reading the inputs throws; `USAGE` for what is no state dict or no tolerance; `ABORTED`
 */
export async function diffStates(a: StateDict, b: StateDict, options: DiffOptions = {}): Promise<DiffReport> {
  requireState(a);
  requireState(b);
  checkTolerance(options);
  const onlyA = [...a.tensors.keys()].filter((name) => !b.tensors.has(name));
  const onlyB = [...b.tensors.keys()].filter((name) => !a.tensors.has(name));
  const names = [...a.tensors.keys()].filter((name) => b.tensors.has(name));
  const pairOf = (name: string) => ({ name, a: a.tensors.get(name)!, b: b.tensors.get(name)! });
  const total = sum(names.map(pairOf), ({ a, b }) => a.byteLength + b.byteLength);
  const checks = options.verify === false ? undefined : new RegionChecks();
  const checked = new Set<Tensor>();
  const buffers = new SpareBuffers(2 * AHEAD + 2, 4 * STEP);
  const computed = new ComputedCache();
  const read: Read = (tensor, range) => {
    // Only the first reading of a tensor is checked: one that has several names is compared several times.
    if (checks === undefined || checked.has(tensor)) return readTensor(tensor, range);
    if (range.to === tensor.numel) checked.add(tensor);
    return readTensor(tensor, { ...range, checks });
  };
  const different: TensorDifference[] = [];
  let close = 0;
  let done = 0;
  for (const name of names) {
    throwIfAborted(options.signal);
    const difference = await compare(pairOf(name), { computed, buffers, read }, options, (bytes) => {
      done += bytes;
      options.onProgress?.({ phase: "diff", done, total, unit: "bytes" });
    });
    if (difference === undefined) continue;
    if (isClose(difference, options)) close++;
    else different.push(difference);
  }
  for (const { region, start, length } of checks?.missing() ?? []) {
    for (let at = start; at < start + length; at += EXTRA) {
      throwIfAborted(options.signal);
      const bytes = new Uint8Array(Math.min(EXTRA, start + length - at));
      await region.file.read(bytes, region.offset + at);
      checks?.add({ region, start: at, length: bytes.byteLength, crc32: crc32(bytes) });
    }
  }
  checks?.finish();
  for (const state of [a, b]) await checkUnchanged(state);
  const equal = names.length > 0 && onlyA.length + onlyB.length + different.length === 0;
  return { onlyA, onlyB, different, close, same: names.length - different.length - close, equal };
}

/** Refuses what is no tolerance: to NaN everything would be equal. @throws VistaError `USAGE` */
export function checkTolerance({ atol = 0, rtol = 0 }: DiffOptions): void {
  const wrong = [atol, rtol].find((value) => !(Number.isFinite(value) && value >= 0));
  if (wrong !== undefined)
    throw new VistaError("USAGE", `${wrong} is no tolerance`, {
      hint: "Give a number from 0 on, such as 1e-5.",
    });
}

function isClose(
  { dtypes, differing, maxAbsolute }: TensorDifference,
  { atol, rtol, ignoreDType = false }: DiffOptions,
): boolean {
  if (differing !== 0 || maxAbsolute === undefined) return false;
  return dtypes[0] === dtypes[1] ? atol !== undefined || rtol !== undefined : ignoreDType;
}

/** Reads elements of a tensor, and checks them where it is the first reading. */
type Read = (tensor: Tensor, range: ReadTensorOptions) => Promise<Uint8Array>;

function areComparable(a: Tensor, b: Tensor): boolean {
  const sameShape = a.shape.length === b.shape.length && a.shape.every((dim, i) => dim === b.shape[i]);
  return sameShape && (a.dtype === b.dtype || (isWidenable(a.dtype) && isWidenable(b.dtype)));
}

async function compare(
  { name, a, b }: { readonly name: string; readonly a: Tensor; readonly b: Tensor },
  { computed, buffers, read }: { computed: ComputedCache; buffers: SpareBuffers; read: Read },
  options: DiffOptions,
  report: (bytes: number) => void,
): Promise<TensorDifference | undefined> {
  const header = { name, dtypes: [a.dtype, b.dtype] as const, shapes: [a.shape, b.shape] as const };
  const sameType = a.dtype === b.dtype;
  if (!areComparable(a, b)) {
    report(a.byteLength + b.byteLength);
    const unknown = { differing: undefined, maxAbsolute: undefined, maxRelative: undefined };
    return { ...header, ...unknown, nanMismatches: 0 };
  }
  const values = new ValueComparison(a.dtype, b.dtype, options);
  let identical = sameType;
  const readBoth = async ([from, to]: [number, number]) => {
    throwIfAborted(options.signal);
    const part = (tensor: Tensor, how: Read) => {
      const target = buffers.take(((to - from) * dtypeInfo(tensor.dtype).bits) / 8);
      return how(tensor, { from, to, target, computed });
    };
    return settleAll([part(a, read), part(b, a === b ? readTensor : read)]);
  };
  for await (const [bytesA, bytesB] of mapOrdered(stepsOf(a), AHEAD, readBoth)) {
    if (!sameType || Buffer.compare(bytesA!, bytesB!) !== 0) {
      identical = false;
      values.add(bytesA!, bytesB!);
    }
    report(bytesA!.byteLength + bytesB!.byteLength);
    buffers.give(bytesA!);
    buffers.give(bytesB!);
  }
  return identical ? undefined : { ...header, ...values.result() };
}

/** Yields the ranges of elements that are compared at once; a tensor of a packed type (4 or 6 bits) is one range. */
function* stepsOf(tensor: Tensor): Generator<[number, number]> {
  const step = dtypeInfo(tensor.dtype).bits < 8 ? tensor.numel : STEP;
  for (let from = 0; from < tensor.numel; from += step) yield [from, Math.min(from + step, tensor.numel)];
}

/** What is found out about the values of two tensors, a part of them after the other. */
class ValueComparison {
  #differing = 0;
  #absolute = 0;
  #relative = 0;
  #nan = 0;

  constructor(
    private readonly a: DType,
    private readonly b: DType,
    private readonly options: DiffOptions,
  ) {}

  add(bytesA: Uint8Array, bytesB: Uint8Array): void {
    const { bits } = dtypeInfo(this.a);
    if (isWidenable(this.a)) this.#addFloats(floatsOf(bytesA, this.a), floatsOf(bytesB, this.b));
    else if (bits >= 8) this.#addElements(bytesA, bytesB, bits / 8);
  }

  result() {
    const floats = isWidenable(this.a);
    return {
      // Packed elements cannot be told apart.
      differing: dtypeInfo(this.a).bits < 8 ? undefined : this.#differing,
      maxAbsolute: floats ? this.#absolute : undefined,
      maxRelative: floats ? this.#relative : undefined,
      nanMismatches: this.#nan,
    };
  }

  #addFloats(a: ArrayLike<number>, b: ArrayLike<number>): void {
    const { atol = 0, rtol = 0 } = this.options;
    let differing = 0;
    for (let i = 0; i < a.length; i++) {
      const x = a[i]!;
      const y = b[i]!;
      if (x === y) continue;
      if (Number.isNaN(x) || Number.isNaN(y)) {
        if (Number.isNaN(x) && Number.isNaN(y)) continue;
        this.#nan++;
        differing++;
        continue;
      }
      const absolute = Math.abs(x - y);
      // An infinity is close to itself alone, although the tolerance of an infinite value is infinite too.
      if (absolute === Infinity || absolute > atol + rtol * Math.abs(y)) differing++;
      if (absolute > this.#absolute) this.#absolute = absolute;
      const largest = Math.max(Math.abs(x), Math.abs(y));
      const relative = largest === Infinity ? 1 : absolute / largest;
      if (relative > this.#relative) this.#relative = relative;
    }
    this.#differing += differing;
  }

  /** Compares integers, booleans and complex numbers, whose bytes are equal or not. @param width  the bytes of an element */
  #addElements(a: Uint8Array, b: Uint8Array, width: number): void {
    for (let i = 0; i < a.length; i += width) {
      for (let j = i; j < i + width; j++) {
        if (a[j] !== b[j]) {
          this.#differing++;
          break;
        }
      }
    }
  }
}
