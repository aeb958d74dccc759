import { expect, it } from "vitest";
import type { DType } from "../../../src/checkpoint/tensor/dtype.js";
import { canBeNonFinite, countNonFinite } from "../../../src/checkpoint/tensor/non-finite.js";

function count(dtype: DType, bytes: Uint8Array): [nan: number, inf: number] {
  const found = { nan: 0, inf: 0 };
  countNonFinite(dtype, bytes, found);
  return [found.nan, found.inf];
}
const of = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);

it("float32, wherever in a long tensor, also at an odd address", () => {
  const values = new Float32Array(5000);
  values[0] = Number.NaN;
  values[4999] = -Infinity;
  values[2500] = 3.4028234663852886e38;
  expect(count("F32", new Uint8Array(values.buffer))).toEqual([1, 1]);
  const shifted = new Uint8Array(20_001);
  shifted.set(new Uint8Array(values.buffer), 1);
  expect(count("F32", shifted.subarray(1))).toEqual([1, 1]);
});

it("float64 and complex", () => {
  const values = Float64Array.of(Number.NaN, Infinity, -Infinity, Number.MAX_VALUE, 0);
  expect(count("F64", new Uint8Array(values.buffer))).toEqual([1, 2]);
  expect(count("C64", new Uint8Array(Float32Array.of(1, Number.NaN).buffer))).toEqual([1, 0]);
});

it("16 bits", () => {
  expect(count("F16", of(0x7c00, 0xfc00, 0x7c01, 0x7bff, 0x3c00))).toEqual([1, 2]);
  expect(count("BF16", of(0x7f80, 0xff80, 0xffff, 0x7f7f, 0x8000))).toEqual([1, 2]);
});

it("8 bits, each format with its own special values", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  expect(count("F8_E5M2", all)).toEqual([6, 2]);
  expect(count("F8_E4M3", all)).toEqual([2, 0]);
  expect(count("F8_E5M2FNUZ", all)).toEqual([1, 0]);
  expect(count("F8_E4M3FNUZ", all)).toEqual([1, 0]);
  expect(count("F8_E8M0", all)).toEqual([1, 0]);
});

it("integers have none", () => {
  expect(canBeNonFinite("I32")).toBe(false);
  expect(count("I32", new Uint8Array(8).fill(255))).toEqual([0, 0]);
});
