/**
 * Quick steps over JSON in its usual form. They say where a value ends, or -1 where it is in another form, which need not be a fault.
 * A zero byte follows the data, so that none of them has to ask where the data ends.
 */
import { skipSpace } from "../../../core/json/scan.js";

/** Tells whether the bytes at `at` are those of `known`. */
export function sameAt(view: DataView, at: number, known: DataView, length: number): boolean {
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    if (view.getUint32(at + i, true) !== known.getUint32(i, true)) return false;
  }
  for (; i < length; i++) if (view.getUint8(at + i) !== known.getUint8(i)) return false;
  return true;
}

/** Returns the position after a string of printable ASCII without escapes, or -1. */
export function stringEnd(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== 0x22) return -1;
  for (;;) {
    const byte = bytes[++at]!;
    if (byte === 0x22) return at + 1;
    if (byte < 0x20 || byte > 0x7f || byte === 0x5c) return -1;
  }
}

/** Returns the position after an array of `length` numbers, or -1. */
export function fastVector(bytes: Uint8Array, at: number, end: number, length: number): number {
  if (bytes[at] !== 0x5b) return -1;
  for (let i = 0; i < length; i++) {
    at = fastNumber(bytes, skipSpace(bytes, at + 1, end));
    if (at === -1) return -1;
    at = skipSpace(bytes, at, end);
    if (bytes[at] !== (i === length - 1 ? 0x5d : 0x2c)) return -1;
  }
  return at + 1;
}

/**
 * Returns the position after a JSON number, or -1, also where it may be too large for a place or a length: that is left to
 * JSON.parse. The zero byte after the data ends any run of digits.
 */
function fastNumber(bytes: Uint8Array, at: number): number {
  const first = at;
  if (bytes[at] === 0x2d) at++;
  let byte = bytes[at]!;
  if (byte === 0x30) {
    byte = bytes[++at]!;
  } else {
    if (byte < 0x31 || byte > 0x39) return -1;
    do byte = bytes[++at]!;
    while (byte >= 0x30 && byte <= 0x39);
    if (at - first > MAX_DIGITS) return -1;
  }
  if (byte === 0x2e) {
    const start = ++at;
    byte = bytes[at]!;
    while (byte >= 0x30 && byte <= 0x39) byte = bytes[++at]!;
    if (at === start) return -1;
  }
  if (byte === 0x65 || byte === 0x45) {
    byte = bytes[++at]!;
    if (byte !== 0x2d) return -1;
    byte = bytes[++at]!;
    const start = at;
    while (byte >= 0x30 && byte <= 0x39) byte = bytes[++at]!;
    if (at === start || at - start > 2) return -1;
  }
  return at - first > MAX_NUMBER ? -1 : at;
}

/** The length of a number beyond which it is left to JSON.parse; none of the official tables is longer than 25. */
const MAX_NUMBER = 100;

/** The digits, with a sign, that any number up to MAX_METRES of field-types.ts has at most. */
const MAX_DIGITS = 7;
