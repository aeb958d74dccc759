/** base + scale · up @ down, in float64 with one rounding at the end: what merging a LoRA adapter into a weight is. */
import { castBytes, f32BitsToF16 } from "./cast.js";
import type { DType } from "./dtype.js";

/** The types whose values {@link lowRankUpdate} can read and round to. */
export function isMatrixDType(dtype: DType): boolean {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** A matrix in row-major order, as a tensor's bytes. */
export interface Matrix {
  readonly dtype: DType;
  readonly bytes: Uint8Array;
}

/**
 * Computes base + scale · up @ down, in base's dtype.
 *
 * @param base  rows × columns
 * @param up  rows × rank
 * @param down  rank × columns
 * @param result  gets the bytes; of the length of base, at an address that suits its elements
 */
export function lowRankUpdate(
  base: Matrix,
  up: Matrix,
  down: Matrix,
  [rows, rank, columns]: readonly [rows: number, rank: number, columns: number],
  scale: number,
  result: Uint8Array,
): void {
  const from = valuesOf(base);
  const left = Float64Array.from(valuesOf(up), (value) => value * scale);
  const right = Float64Array.from(valuesOf(down));
  const round = rounderTo(base.dtype, result);
  // Two rows at a time share what is loaded of `right`; the second is empty where the number of rows is odd.
  const row = new Float64Array(columns);
  const next = new Float64Array(columns);
  for (let i = 0; i < rows; i += 2) {
    const at = i * columns;
    const two = i + 1 < rows;
    for (let j = 0; j < columns; j++) row[j] = from[at + j]!;
    if (two) for (let j = 0; j < columns; j++) next[j] = from[at + columns + j]!;
    addProducts(row, next, left, i * rank, two ? rank : 0, right, rank);
    round(row, at);
    if (two) round(next, at + columns);
  }
}

/**
 * Adds to `row` the vector `left[start …]` · `right`, to `next` the one `stride` further on; four rows of `right` at a
 * time, so that eight products cost two loads and two stores of the sums.
 */
function addProducts(
  row: Float64Array,
  next: Float64Array,
  left: Float64Array,
  start: number,
  stride: number,
  right: Float64Array,
  rank: number,
): void {
  const columns = row.length;
  let k = 0;
  for (; k + 4 <= rank; k += 4) {
    const a = start + k;
    const b = a + stride;
    const a0 = left[a]!;
    const a1 = left[a + 1]!;
    const a2 = left[a + 2]!;
    const a3 = left[a + 3]!;
    const b0 = left[b]!;
    const b1 = left[b + 1]!;
    const b2 = left[b + 2]!;
    const b3 = left[b + 3]!;
    const r0 = k * columns;
    const r1 = r0 + columns;
    const r2 = r1 + columns;
    const r3 = r2 + columns;
    for (let j = 0; j < columns; j++) {
      const v0 = right[r0 + j]!;
      const v1 = right[r1 + j]!;
      const v2 = right[r2 + j]!;
      const v3 = right[r3 + j]!;
      row[j] = row[j]! + (a0 * v0 + a1 * v1 + (a2 * v2 + a3 * v3));
      next[j] = next[j]! + (b0 * v0 + b1 * v1 + (b2 * v2 + b3 * v3));
    }
  }
  for (; k < rank; k++) {
    const a0 = left[start + k]!;
    const b0 = left[start + stride + k]!;
    for (let j = 0; j < columns; j++) {
      const value = right[k * columns + j]!;
      row[j] = row[j]! + a0 * value;
      next[j] = next[j]! + b0 * value;
    }
  }
}

function valuesOf({ dtype, bytes }: Matrix): Float32Array | Float64Array {
  const width = dtype === "F64" ? 8 : 4;
  const copy = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes);
  if (dtype === "F64") return new Float64Array(copy.buffer, copy.byteOffset, copy.byteLength / 8);
  if (dtype === "F32") return new Float32Array(copy.buffer, copy.byteOffset, copy.byteLength / 4);
  const floats = new Float32Array(bytes.byteLength / 2);
  castBytes(bytes, dtype, new Uint8Array(floats.buffer), "F32");
  return floats;
}

/** Writes a row of sums as elements of `dtype`, from element `at` on. */
function rounderTo(dtype: DType, target: Uint8Array): (row: Float64Array, at: number) => void {
  if (dtype === "F64") {
    const out = new Float64Array(target.buffer, target.byteOffset, target.byteLength / 8);
    return (row, at) => out.set(row, at);
  }
  if (dtype === "F32") {
    const out = new Float32Array(target.buffer, target.byteOffset, target.byteLength / 4);
    return (row, at) => out.set(row, at);
  }
  const out = new Uint16Array(target.buffer, target.byteOffset, target.byteLength / 2);
  const narrow = dtype === "F16" ? f32BitsToF16 : f32BitsToBf16;
  return (row, at) => {
    for (let j = 0; j < row.length; j++) out[at + j] = narrow(roundToOdd(row[j]!));
  };
}

const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);

/**
 * The bits of a float32 next to `value`: the value itself, or of its two neighbours the one whose last bit is 1. Rounding
 * that once more, to 16 bits, gives what rounding `value` once would.
 */
function roundToOdd(value: number): number {
  float[0] = value;
  const bits = floatBits[0]!;
  const near = float[0]!;
  if (near === value || Number.isNaN(value) || (bits & 1) === 1) return bits;
  return Math.abs(near) > Math.abs(value) ? bits - 1 : bits + 1;
}

function f32BitsToBf16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
