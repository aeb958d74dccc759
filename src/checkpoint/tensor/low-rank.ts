/** Computes base + scale · up @ down in float64 with one rounding at the end, which merges a LoRA adapter into a weight. */
import { f32BitsToF16, floatsOf } from "./cast.js";
import type { DType } from "./dtype.js";
import { RowProducts } from "./kernels.js";

/** Tells whether {@link lowRankUpdate} can read the values of a type and round to it. */
export function isMatrixDType(dtype: DType): boolean {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

/** A matrix in row-major order, given by the bytes of a tensor. */
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
 * @param result  the place for the bytes, as long as base and at an address that suits its elements
 */
export function lowRankUpdate(
  base: Matrix,
  up: Matrix,
  down: Matrix,
  [rows, rank, columns]: readonly [rows: number, rank: number, columns: number],
  scale: number,
  result: Uint8Array,
): void {
  const from = floatsOf(base.bytes, base.dtype);
  const products = new RowProducts(Float64Array.from(floatsOf(down.bytes, down.dtype)), rank, columns);
  // There is one more row of zeros, which is the second of two where the number of rows is odd.
  const left = new Float64Array((rows + 1) * products.rank);
  floatsOf(up.bytes, up.dtype).forEach((value, i) => {
    left[Math.floor(i / rank) * products.rank + (i % rank)] = value * scale;
  });
  const { row, next } = products;
  const round = rounderTo(base.dtype, result);
  for (let i = 0; i < rows; i += 2) {
    const at = i * columns;
    const two = i + 1 < rows;
    row.set(from.subarray(at, at + columns));
    if (two) next.set(from.subarray(at + columns, at + 2 * columns));
    products.add(left, i * products.rank, (i + 1) * products.rank);
    round(row, at);
    if (two) round(next, at + columns);
  }
}

/** Returns a function that writes a row of sums as elements of `dtype`, from element `at` on. */
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
 * Returns the bits of a float32 next to `value`: the value itself or, of its two neighbours, the one whose last bit is 1.
 * Rounding that once more, to 16 bits, gives what rounding `value` once would.
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
