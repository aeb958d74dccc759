import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { castBytes, f32BitsToF16 } from "../../../src/checkpoint/tensor/cast.js";
import type { DType } from "../../../src/checkpoint/tensor/dtype.js";

const bytes = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

function toF32(source: ArrayBufferView, from: DType, count: number): number[] {
  const target = new Float32Array(count);
  castBytes(bytes(source), from, bytes(target), "F32");
  return [...target];
}

function fromF32(values: number[], to: "F16" | "BF16"): number[] {
  const target = new Uint16Array(values.length);
  castBytes(bytes(Float32Array.from(values)), "F32", bytes(target), to);
  return [...target];
}

describe("to float32", () => {
  // Values by the definitions of the formats: IEEE 754, OCP FP8, ONNX's float8 fnuz types.
  it.each<[DType, ArrayBufferView, number[]]>([
    ["BF16", Uint16Array.of(0x3f80, 0xc040, 0x7f80, 0x8000), [1, -3, Infinity, -0]],
    [
      "F16",
      Uint16Array.of(0x3c00, 0x0001, 0x03ff, 0x7bff, 0xfc00),
      [1, 2 ** -24, 1023 * 2 ** -24, 65504, -Infinity],
    ],
    ["F64", Float64Array.of(1e-3, 1e300), [Math.fround(1e-3), Infinity]],
    ["I8", Int8Array.of(-128, 127), [-128, 127]],
    ["U8", Uint8Array.of(255), [255]],
    ["I16", Int16Array.of(-32768), [-32768]],
    ["U16", Uint16Array.of(65535), [65535]],
    ["I32", Int32Array.of(-(2 ** 31)), [-(2 ** 31)]],
    ["U32", Uint32Array.of(2 ** 32 - 1), [2 ** 32]],
    ["I64", BigInt64Array.of(-3n, 2n ** 62n), [-3, 2 ** 62]],
    ["U64", BigUint64Array.of(2n ** 64n - 1n), [2 ** 64]],
    ["BOOL", Uint8Array.of(0, 1), [0, 1]],
    ["F8_E4M3", Uint8Array.of(0x38, 0x7e, 0x01, 0xb8), [1, 448, 2 ** -9, -1]],
    ["F8_E5M2", Uint8Array.of(0x3c, 0x7b, 0x7c, 0x01), [1, 57344, Infinity, 2 ** -16]],
    ["F8_E4M3FNUZ", Uint8Array.of(0x40, 0x7f, 0x01), [1, 240, 2 ** -10]],
    ["F8_E5M2FNUZ", Uint8Array.of(0x40, 0x7f, 0x01), [1, 57344, 2 ** -17]],
    ["F8_E8M0", Uint8Array.of(127, 130, 0), [1, 8, 2 ** -127]],
    ["C64", Float32Array.of(1.5, 9), [1.5]],
  ])("%s", (dtype, source, expected) => {
    expect(toF32(source, dtype, expected.length)).toEqual(expected);
  });

  it.each<[DType, number]>([
    ["F8_E4M3", 0x7f],
    ["F8_E5M2", 0x7d],
    ["F8_E4M3FNUZ", 0x80],
    ["F8_E5M2FNUZ", 0x80],
    ["F8_E8M0", 0xff],
  ])("%s: 0x%x is NaN", (dtype, value) => {
    expect(toF32(Uint8Array.of(value), dtype, 1)).toEqual([Number.NaN]);
  });

  it("64-bit integers round once: 2^54 + 2^30 + 1 is above the tie between two float32", () => {
    // Through float64 it would first become the tie itself and then round to even, 2^54.
    expect(toF32(BigInt64Array.of(2n ** 54n + 2n ** 30n + 1n), "I64", 1)).toEqual([2 ** 54 + 2 ** 31]);
    expect(toF32(BigInt64Array.of(-(2n ** 54n) - 2n ** 30n - 1n), "I64", 1)).toEqual([-(2 ** 54) - 2 ** 31]);
  });

  it("works at odd addresses", () => {
    const shifted = new Uint8Array(9);
    shifted.set(bytes(Uint16Array.of(0x3f80, 0x4000)), 1);
    expect(toF32(shifted.subarray(1, 5), "BF16", 2)).toEqual([1, 2]);
    const target = new Uint8Array(9);
    castBytes(bytes(Uint16Array.of(0x3f80)), "BF16", target.subarray(1, 5), "F32");
    expect(new DataView(target.buffer).getFloat32(1, true)).toBe(1);
  });
});

describe("to 16 bits, to nearest, ties to even", () => {
  it.each<[string, number, number]>([
    ["exact", 1.5, 0x3e00],
    ["tie goes to even, down", 1 + 2 ** -11, 0x3c00],
    ["tie goes to even, up", 1 + 3 * 2 ** -11, 0x3c02],
    ["just above a tie", 1 + 2 ** -11 + 2 ** -20, 0x3c01],
    ["the largest", 65504, 0x7bff],
    ["below half a step over the largest", 65519, 0x7bff],
    ["half a step over the largest", 65520, 0x7c00],
    ["the smallest normal", 2 ** -14, 0x0400],
    ["rounds up into the normals", 2 ** -14 - 2 ** -26, 0x0400],
    ["the smallest subnormal", 2 ** -24, 0x0001],
    ["a tie with zero", 2 ** -25, 0x0000],
    ["just above it", 2 ** -25 + 2 ** -40, 0x0001],
    ["negative zero", -0, 0x8000],
    ["infinity", -Infinity, 0xfc00],
  ])("F16: %s", (_, value, expected) => {
    expect(fromF32([value], "F16")).toEqual([expected]);
  });

  it.each<[string, number, number]>([
    ["exact", 1.5, 0x3fc0],
    ["tie, down", 1 + 2 ** -8, 0x3f80],
    ["tie, up", 1 + 3 * 2 ** -8, 0x3f82],
    ["overflow", 3.4028234663852886e38, 0x7f80],
    ["infinity", Infinity, 0x7f80],
  ])("BF16: %s", (_, value, expected) => {
    expect(fromF32([value], "BF16")).toEqual([expected]);
  });

  it("NaN stays NaN, also where rounding its bits would overflow", () => {
    const nan = new Uint32Array([0x7fffffff, 0x7f800001]);
    const target = new Uint16Array(2);
    for (const to of ["F16", "BF16"] as const) {
      castBytes(bytes(nan), "F32", bytes(target), to);
      expect(toF32(target, to, 2)).toEqual([Number.NaN, Number.NaN]);
    }
  });

  it("every half widens to the bits that torch's vector loop gives, NaNs with sign and payload", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const wide = new Float32Array(65536);
    castBytes(bytes(all), "F16", bytes(wide), "F32");
    // By torch 2.13: sha256 of torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.float16).float()
    expect(createHash("sha256").update(bytes(wide)).digest("hex")).toBe(
      "b636c5716ff84d972782faf02d0194cb8951526bea4cc487082feb47b1860ddf",
    );
  });

  it("every half survives the way through float32", () => {
    const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const wide = new Float32Array(65536);
    castBytes(bytes(all), "F16", bytes(wide), "F32");
    const wideBits = new Uint32Array(wide.buffer);
    // NaNs keep being NaN; their payload is not defined.
    const numbers = [...all.keys()].filter((i) => (i & 0x7fff) <= 0x7c00);
    expect(numbers.length).toBe(2 * 0x7c01);
    expect(numbers.filter((i) => f32BitsToF16(wideBits[i]!) !== i)).toEqual([]);
  });

  it("F16 is never further from the value than its neighbours", () => {
    const decode = (half: number) => toF32(Uint16Array.of(half), "F16", 1)[0]!;
    fc.assert(
      fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const [half] = fromF32([value], "F16");
        const error = Math.abs(decode(half!) - value);
        for (const other of [half! - 1, half! + 1]) {
          if ((other & 0x7fff) < 0x7c00 && other >= 0)
            expect(error).toBeLessThanOrEqual(Math.abs(decode(other) - value));
        }
      }),
    );
  });
});

it("a pair without a conversion is an error", () => {
  expect(() => castBytes(new Uint8Array(4), "F32", new Uint8Array(4), "I32")).toThrow(
    /no conversion from F32 to I32/,
  );
  expect(() => castBytes(new Uint8Array(3), "F6_E2M3", new Uint8Array(16), "F32")).toThrow(/F6_E2M3/);
});
