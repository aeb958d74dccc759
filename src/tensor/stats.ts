/** Counting what is no finite number, fast enough to keep up with a disk. */
import type { DType } from "./dtype.js";

export interface NonFinite {
  nan: number;
  inf: number;
}

/** Whether a dtype can hold NaN or infinity at all. */
export function canBeNonFinite(dtype: DType): boolean {
  return WIDE[dtype] !== undefined || SMALL[dtype] !== undefined;
}

/**
 * Adds the NaNs and infinities among the elements of `bytes` to `count`; of complex numbers each part counts.
 * @param bytes  whole elements
 */
export function countNonFinite(dtype: DType, bytes: Uint8Array, count: NonFinite): void {
  const wide = WIDE[dtype];
  if (wide !== undefined) {
    wide(bytes, count);
    return;
  }
  const small = SMALL[dtype];
  if (small === undefined) return;
  for (const byte of bytes) {
    if (small.nan(byte)) count.nan++;
    else if (small.inf?.(byte)) count.inf++;
  }
}

/** Elements looked at together: where all exponents are ordinary, nothing else is asked. */
const BLOCK = 1024;

function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes);
}

function countF32(bytes: Uint8Array, count: NonFinite): void {
  const view = aligned(bytes, 4);
  countWords(new Int32Array(view.buffer, view.byteOffset, view.byteLength / 4), count);
}

/** Adding one to an exponent of all ones carries into the sign bit: or-ing the sums shows whether there is any in the block. */
function countWords(words: Int32Array, count: NonFinite): void {
  const mask = 0x7f800000;
  const one = 0x00800000;
  for (let start = 0; start < words.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, words.length);
    let any = 0;
    let i = start;
    // Eight at a time: the loop itself would cost as much as the look.
    for (; i + 8 <= end; i += 8) {
      any |=
        ((words[i]! & mask) + one) |
        ((words[i + 1]! & mask) + one) |
        ((words[i + 2]! & mask) + one) |
        ((words[i + 3]! & mask) + one) |
        ((words[i + 4]! & mask) + one) |
        ((words[i + 5]! & mask) + one) |
        ((words[i + 6]! & mask) + one) |
        ((words[i + 7]! & mask) + one);
    }
    for (; i < end; i++) any |= (words[i]! & mask) + one;
    if (any >= 0) continue;
    for (let at = start; at < end; at++) {
      const magnitude = words[at]! & 0x7fffffff;
      if (magnitude > mask) count.nan++;
      else if (magnitude === mask) count.inf++;
    }
  }
}

function countF64(bytes: Uint8Array, count: NonFinite): void {
  const view = aligned(bytes, 4);
  const words = new Int32Array(view.buffer, view.byteOffset, view.byteLength / 4);
  for (let i = 0; i < words.length; i += 2) {
    const high = words[i + 1]! & 0x7fffffff;
    if (high < 0x7ff00000) continue;
    if (high === 0x7ff00000 && words[i] === 0) count.inf++;
    else count.nan++;
  }
}

/** 16-bit floats by the bits of their exponent. */
function count16(exponent: number) {
  return (bytes: Uint8Array, count: NonFinite): void => {
    const view = aligned(bytes, 2);
    const words = new Uint16Array(view.buffer, view.byteOffset, view.byteLength / 2);
    const lowest = exponent & -exponent;
    for (let start = 0; start < words.length; start += BLOCK) {
      const end = Math.min(start + BLOCK, words.length);
      let any = 0;
      for (let i = start; i < end; i++) any |= (words[i]! & exponent) + lowest;
      if ((any & 0x8000) === 0) continue;
      for (let i = start; i < end; i++) {
        const magnitude = words[i]! & 0x7fff;
        if (magnitude > exponent) count.nan++;
        else if (magnitude === exponent) count.inf++;
      }
    }
  };
}

const WIDE: Partial<Record<DType, (bytes: Uint8Array, count: NonFinite) => void>> = {
  F64: countF64,
  C128: countF64,
  F32: countF32,
  C64: countF32,
  F16: count16(0x7c00),
  BF16: count16(0x7f80),
};

/** 8-bit floats; see the decoders in cast.ts for their special values. */
const SMALL: Partial<Record<DType, { nan: (byte: number) => boolean; inf?: (byte: number) => boolean }>> = {
  F8_E5M2: { nan: (byte) => (byte & 0x7f) > 0x7c, inf: (byte) => (byte & 0x7f) === 0x7c },
  F8_E4M3: { nan: (byte) => (byte & 0x7f) === 0x7f },
  F8_E5M2FNUZ: { nan: (byte) => byte === 0x80 },
  F8_E4M3FNUZ: { nan: (byte) => byte === 0x80 },
  F8_E8M0: { nan: (byte) => byte === 0xff },
};
