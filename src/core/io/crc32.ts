/**
 * The CRC-32 of zip. That of joined runs of bytes is computed from the CRCs of the runs, as zlib's crc32_combine does it:
 * appending n zero bytes to a message multiplies its CRC by x^(8n) modulo the polynomial.
 */
import { createRequire } from "node:module";
import { crc32 as zlibCrc32 } from "node:zlib";

/**
 * Returns the CRC-32 function of @node-rs/crc32. Where that has no binary or is not installed, zlib's gives the same numbers at a
 * third of the speed.
 */
function loadFastest(): (bytes: Uint8Array, start: number) => number {
  try {
    return (createRequire(import.meta.url)("@node-rs/crc32") as typeof import("@node-rs/crc32")).crc32;
  } catch {
    return zlibCrc32;
  }
}

let fastest: ((bytes: Uint8Array, start: number) => number) | undefined;

/**
 * The number of bytes, over all calls, below which the faster library is not loaded: that spares a small checkpoint, and the
 * opening of a large one, 4 ms of loading.
 */
const WORTH_LOADING = 4 * 1024 * 1024;
let seen = 0;

/**
 * Returns the CRC-32 of `bytes`. With `start`, the CRC-32 of earlier bytes, it returns that of the earlier bytes followed by
 * these.
 */
export function crc32(bytes: Uint8Array, start = 0): number {
  // The one of zlib returns 0 for no bytes, whatever came before them.
  if (bytes.byteLength === 0) return start;
  if (fastest === undefined) {
    seen += bytes.byteLength;
    if (seen < WORTH_LOADING) return zlibCrc32(bytes, start);
    fastest = loadFastest();
  }
  return fastest(bytes, start);
}

/** The CRC-32 polynomial of zip with its bits reversed. */
const POLYNOMIAL = 0xedb88320;

/** Returns a · b modulo the polynomial, with x^0 in the highest bit. */
function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) !== 0 ? (factor >>> 1) ^ POLYNOMIAL : factor >>> 1;
  }
  return product >>> 0;
}

/** The powers x^(2^k) for k = 0 …, enough for any length in bits below 2^64. */
const POWERS: number[] = [0x40000000];
for (let k = 1; k < 64; k++) POWERS.push(multiply(POWERS[k - 1]!, POWERS[k - 1]!));

/** Returns x^(8·bytes) modulo the polynomial. */
function shiftBy(bytes: number): number {
  let result = 0x80000000;
  let rest = bytes;
  for (let k = 3; rest > 0; k++) {
    if (rest % 2 === 1) result = multiply(POWERS[k]!, result);
    rest = Math.floor(rest / 2);
  }
  return result;
}

/** The shifts by the lengths that were met. Tensors of a model have some dozens of lengths, and V8 has optimised nothing yet. */
const shifts = new Map<number, number>();
const MAX_SHIFTS = 1000;

function knownShiftBy(bytes: number): number {
  let shift = shifts.get(bytes);
  if (shift === undefined) {
    shift = shiftBy(bytes);
    if (shifts.size === MAX_SHIFTS) shifts.clear();
    shifts.set(bytes, shift);
  }
  return shift;
}

/** Returns the CRC-32 of A followed by B, computed from the CRC-32 of each and the length of B in bytes. */
export function combineCrc32(crcA: number, crcB: number, lengthB: number): number {
  return (multiply(knownShiftBy(lengthB), crcA) ^ crcB) >>> 0;
}

/** Formats a CRC as messages show it: `0x0badcafe`. */
export function formatCrc32(crc: number): string {
  return `0x${hexCrc32(crc)}`;
}

export function hexCrc32(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}
