/** Counts NaN and infinity, fast enough to keep up with a disk. */
import { elementsOf } from "./cast.js";
import type { DType } from "./dtype.js";
import { blocksWith } from "./kernels.js";

export interface NonFinite {
  nan: number;
  inf: number;
}

/** Tells whether a dtype can hold NaN or infinity at all. */
export function canBeNonFinite(dtype: DType): boolean {
  return WIDE[dtype] !== undefined || SMALL[dtype] !== undefined;
}

/**
 * Adds the NaNs and infinities among the elements of `bytes` to `count`; each part of a complex number counts.
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

/**
 * Returns a counter for one width of elements.
 * @param exponent  the bits of the exponent, for elements of 64 bits those of the upper half; all of them are set in NaN and
 *   infinity alone
 */
function countWide(width: 16 | 32 | 64, exponent: number) {
  const count = { 16: count16, 32: count32, 64: count64 }[width];
  return (bytes: Uint8Array, found: NonFinite): void =>
    blocksWith(width, exponent, bytes, (block) => count(block, exponent, found));
}

function count16(block: Uint8Array, exponent: number, found: NonFinite): void {
  for (const word of elementsOf(Uint16Array, block)) {
    const magnitude = word & 0x7fff;
    if (magnitude > exponent) found.nan++;
    else if (magnitude === exponent) found.inf++;
  }
}

function count32(block: Uint8Array, exponent: number, found: NonFinite): void {
  for (const word of elementsOf(Uint32Array, block)) {
    const magnitude = word & 0x7fffffff;
    if (magnitude > exponent) found.nan++;
    else if (magnitude === exponent) found.inf++;
  }
}

function count64(block: Uint8Array, exponent: number, found: NonFinite): void {
  const words = elementsOf(Uint32Array, block);
  for (let i = 0; i < words.length; i += 2) {
    const high = words[i + 1]! & 0x7fffffff;
    if (high < exponent) continue;
    if (high === exponent && words[i] === 0) found.inf++;
    else found.nan++;
  }
}

const WIDE: Partial<Record<DType, (bytes: Uint8Array, count: NonFinite) => void>> = {
  F64: countWide(64, 0x7ff00000),
  C128: countWide(64, 0x7ff00000),
  F32: countWide(32, 0x7f800000),
  C64: countWide(32, 0x7f800000),
  F16: countWide(16, 0x7c00),
  BF16: countWide(16, 0x7f80),
};

/** The tests for the special values of 8-bit floats, as the decoders in cast.ts have them. */
const SMALL: Partial<Record<DType, { nan: (byte: number) => boolean; inf?: (byte: number) => boolean }>> = {
  F8_E5M2: { nan: (byte) => (byte & 0x7f) > 0x7c, inf: (byte) => (byte & 0x7f) === 0x7c },
  F8_E4M3: { nan: (byte) => (byte & 0x7f) === 0x7f },
  F8_E5M2FNUZ: { nan: (byte) => byte === 0x80 },
  F8_E4M3FNUZ: { nan: (byte) => byte === 0x80 },
  F8_E8M0: { nan: (byte) => byte === 0xff },
};
