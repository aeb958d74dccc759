/** Describes the values of one tensor. They are read twice in a stream: once for their range, once for the histogram. */
import { throwIfAborted } from "../core/errors.js";
import type { RunOptions } from "../core/progress.js";
import { ComputedCache } from "./copy/computed.js";
import { RegionChecks } from "./copy/input-checks.js";
import { readTensor } from "./copy/read-tensor.js";
import { floatsOf, isWidenable } from "./tensor/cast.js";
import { type DType, dtypeInfo } from "./tensor/dtype.js";
import { requireTensor, type Tensor } from "./tensor/tensor.js";
import { type TensorValues, typedArrayOf } from "./tensor/typed-array.js";

export interface HistogramBin {
  /** The least value of the bin. */
  readonly from: number;
  /** The upper bound of the bin, which belongs only to the last bin. */
  readonly to: number;
  readonly count: number;
}

export interface TensorStatistics {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly bytes: number;
  /**
   * The number of elements that are neither NaN nor infinite; `undefined` for complex and packed types, whose values are not
   * looked at.
   */
  readonly finite: number | undefined;
  readonly nan: number;
  readonly positiveInfinity: number;
  readonly negativeInfinity: number;
  /** The number of elements that are 0 or -0. */
  readonly zeros: number;
  /** The exact minimum of the finite elements, a bigint for 64-bit integers; `undefined` where there are none. */
  readonly min: number | bigint | undefined;
  readonly max: number | bigint | undefined;
  /** The mean of the finite elements; `undefined` where there are none. */
  readonly mean: number | undefined;
  /** The finite elements in bins of equal width from the least to the largest value; one bin where all are the same. */
  readonly histogram: readonly HistogramBin[];
}

/** The number of elements that are read at once: at 4 bytes each they are a megabyte. */
const STEP = 256 * 1024;
const BINS = 16;

/**
 * Computes the range, mean and histogram of a tensor, in memory that does not depend on its size.
 *
 * The values are checked against the file's CRC-32 where the tensor is the whole of a record that has one, as `readValues` does
 * it.
 *
 * @throws VistaError `USAGE` for what is no tensor, `CHECKSUM`, `TRUNCATED`, `IO`, `ABORTED`
 */
export async function tensorStatistics(tensor: Tensor, options: RunOptions = {}): Promise<TensorStatistics> {
  requireTensor(tensor);
  const range = new RangeOfValues();
  const known = hasOrder(tensor.dtype);
  if (known) {
    const checks = new RegionChecks();
    await eachPart(tensor, { ...options, checks, pass: 0 }, (values) => range.add(values));
    checks.compare();
  }
  const { finite, min, max, mean } = range;
  const counts = new Histogram(Number(min ?? 0), Number(max ?? 0));
  if (finite > 0)
    await eachPart(tensor, { ...options, checks: undefined, pass: 1 }, (part) => counts.add(part));
  return {
    dtype: tensor.dtype,
    shape: tensor.shape,
    elements: tensor.numel,
    bytes: tensor.byteLength,
    ...range,
    finite: known ? finite : undefined,
    mean: finite > 0 ? mean : undefined,
    histogram: finite > 0 ? counts.bins() : [],
  };
}

/**
 * Tells whether the values of a type can be ordered: complex numbers have no order, and JavaScript cannot take the values of
 * packed types one by one.
 */
function hasOrder(dtype: DType): boolean {
  if (dtype.startsWith("C")) return false;
  return isWidenable(dtype) || !dtype.startsWith("F");
}

async function eachPart(
  tensor: Tensor,
  { signal, onProgress, checks, pass }: RunOptions & { checks: RegionChecks | undefined; pass: 0 | 1 },
  use: (values: TensorValues) => void,
): Promise<void> {
  const { dtype, numel, byteLength } = tensor;
  const computed = new ComputedCache();
  const buffer = new Uint8Array((Math.min(STEP, numel) * dtypeInfo(dtype).bits) / 8);
  for (let from = 0; from < numel; from += STEP) {
    throwIfAborted(signal);
    const to = Math.min(from + STEP, numel);
    const target = buffer.subarray(0, ((to - from) * dtypeInfo(dtype).bits) / 8);
    const bytes = await readTensor(tensor, { from, to, target, computed, checks });
    use(isWidenable(dtype) ? floatsOf(bytes, dtype) : typedArrayOf(bytes, dtype));
    const done = pass * byteLength + (to / numel) * byteLength;
    onProgress?.({ phase: "tensor", done, total: 2 * byteLength, unit: "bytes" });
  }
}

class RangeOfValues {
  finite = 0;
  nan = 0;
  positiveInfinity = 0;
  negativeInfinity = 0;
  zeros = 0;
  min: number | bigint | undefined;
  max: number | bigint | undefined;
  mean = 0;

  add(values: TensorValues): void {
    let sum = 0;
    let finite = 0;
    for (const value of values) {
      const number = Number(value);
      if (!Number.isFinite(number)) {
        if (number > 0) this.positiveInfinity++;
        else if (number < 0) this.negativeInfinity++;
        else this.nan++;
        continue;
      }
      finite++;
      sum += number;
      if (number === 0) this.zeros++;
      if (this.min === undefined || value < this.min) this.min = value;
      if (this.max === undefined || value > this.max) this.max = value;
    }
    if (finite === 0) return;
    // The mean is carried on part by part, so that a sum of billions of elements loses no more than the sum of one part.
    this.finite += finite;
    this.mean += (sum / finite - this.mean) * (finite / this.finite);
  }
}

class Histogram {
  readonly #counts = new Array<number>(BINS).fill(0);
  /** A factor that halves the values where their range is more than a float64 can hold. */
  readonly #scale: number;

  constructor(
    private readonly min: number,
    private readonly max: number,
  ) {
    this.#scale = Number.isFinite(max - min) ? 1 : 0.5;
  }

  add(values: TensorValues): void {
    const scale = this.#scale;
    const low = this.min * scale;
    const width = this.max * scale - low;
    for (const value of values) {
      const number = Number(value);
      if (!Number.isFinite(number)) continue;
      const at = width === 0 ? 0 : Math.floor(((number * scale - low) / width) * BINS);
      this.#counts[Math.min(at, BINS - 1)]!++;
    }
  }

  bins(): HistogramBin[] {
    if (this.min === this.max) return [{ from: this.min, to: this.max, count: this.#counts[0]! }];
    const bound = (i: number) => (i === BINS ? this.max : this.min * (1 - i / BINS) + this.max * (i / BINS));
    return this.#counts.map((count, i) => ({ from: bound(i), to: bound(i + 1), count }));
  }
}
