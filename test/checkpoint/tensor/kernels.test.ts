import { describe, expect, it } from "vitest";
// The build script has no types of its own.
// @ts-expect-error
import { assemble } from "../../../scripts/build-kernels.mjs";
import { f32BitsToF16 } from "../../../src/checkpoint/tensor/cast.js";
import { blocksWith, narrow } from "../../../src/checkpoint/tensor/kernels.js";
import { KERNELS } from "../../../src/checkpoint/tensor/kernels-code.js";

const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

it("the committed code is kernels.wat, assembled", async () => {
  const code = (await assemble()) as Uint8Array;
  expect(Buffer.from(KERNELS, "base64").equals(code)).toBe(true);
});

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The float32 of these bits. */
function floatOf(bits: number): number {
  word[0] = bits;
  return float[0]!;
}

/** The bfloat16 nearest to a float32, the even one of two that are as near; by comparing the values. */
function nearestBf16(bits: number): number {
  const value = (half: number) => floatOf(half * 65536);
  const exact = floatOf(bits);
  const low = bits >>> 16;
  if (Number.isNaN(exact)) return 0x7fc0;
  if (!Number.isFinite(exact)) return low;
  // One step above the largest number, infinity stands for 2^128.
  const above = Number.isFinite(value(low + 1)) ? value(low + 1) : Math.sign(exact) * 2 ** 128;
  const [down, up] = [Math.abs(exact - value(low)), Math.abs(above - exact)];
  return down < up || (down === up && low % 2 === 0) ? low : low + 1;
}

describe("float32 to 16 bits", () => {
  // Every sign, exponent and seven bits of the fraction; below them, what decides on rounding to either type.
  const lower = [0, 1, 0x0fff, 0x1000, 0x1001, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff];
  const all = Uint32Array.from({ length: 65536 * lower.length }, (_, i) => {
    return (i % 65536) * 65536 + lower[Math.floor(i / 65536)]!;
  });
  it.each([
    ["BF16", nearestBf16],
    ["F16", f32BitsToF16],
  ] as const)("%s: as one by one", (to, one) => {
    const target = new Uint16Array(all.length);
    narrow(to, bytesOf(all), bytesOf(target));
    let different = 0;
    for (let i = 0; i < all.length; i++) if (target[i] !== one(all[i]!)) different++;
    expect(different).toBe(0);
  });

  it("any number of elements, at any address, and nothing behind them", () => {
    for (const count of [0, 1, 3, 4, 5, 16_383, 16_384, 16_385, 40_001]) {
      const source = new Uint8Array(4 * count + 1);
      const view = new DataView(source.buffer, 1);
      for (let i = 0; i < count; i++) view.setFloat32(4 * i, i % 97, true);
      const target = new Uint8Array(2 * count + 2).fill(0xee);
      narrow("F16", source.subarray(1), target.subarray(1, 2 * count + 1));
      const result = new DataView(target.buffer, 1);
      const floats = new Float32Array(1);
      const bits = new Uint32Array(floats.buffer);
      for (let i = 0; i < count; i++) {
        floats[0] = i % 97;
        if (result.getUint16(2 * i, true) !== f32BitsToF16(bits[0]!)) expect.fail(`element ${i} of ${count}`);
      }
      expect([target[0], target.at(-1)]).toEqual([0xee, 0xee]);
    }
  });
});

describe("blocks with NaN or infinity", () => {
  /** The places of the blocks that are looked at. */
  function found(width: 16 | 32 | 64, exponent: number, bytes: Uint8Array): number[] {
    const places: number[] = [];
    blocksWith(width, exponent, bytes, (block) => places.push(block.byteOffset - bytes.byteOffset));
    return places;
  }

  it.each([
    [32, 0x7f800000],
    [16, 0x7c00],
    [16, 0x7f80],
    [64, 0x7ff00000],
  ] as const)("%i bits, exponent %i: wherever it is, and nowhere else", (width, exponent) => {
    const size = width / 8;
    for (const length of [size, 32, 40, 65_536, 65_536 + 4 * size, 150_000]) {
      const bytes = new Uint8Array(length);
      const view = new DataView(bytes.buffer);
      const set = (at: number, value: number) => {
        if (width === 16) view.setUint16(at, value, true);
        else view.setUint32(width === 64 ? at + 4 : at, value, true);
        // The lower half has every bit set, which must not count.
        if (width === 64) view.setUint32(at, 0xffffffff, true);
      };
      // The largest finite number everywhere: all bits of the fraction, all but one of the exponent.
      for (let at = 0; at < length; at += size) set(at, exponent - 1);
      expect(found(width, exponent, bytes)).toEqual([]);
      for (const at of [0, 65_536 - size, 65_536, length - size]) {
        if (at >= length) continue;
        set(at, exponent);
        expect(found(width, exponent, bytes)).toEqual([at < 65_536 ? 0 : at < 131_072 ? 65_536 : 131_072]);
        set(at, exponent - 1);
      }
    }
  });

  it("what an earlier call left behind does not count", () => {
    expect(found(32, 0x7f800000, new Uint8Array(64).fill(0x7f))).toEqual([]);
    expect(found(32, 0x7f800000, new Uint8Array(64).fill(0xff))).toEqual([0]);
    expect(found(32, 0x7f800000, new Uint8Array(4))).toEqual([]);
  });
});
