/**
 * Tokens as 128-bit keys, and a hash table from token to row in typed arrays; a Map with 2.6 million strings would take ten times
 * the memory.
 */

/**
 * The value of each pair of hexadecimal digits in lower case, which is indexed by the pair as a little-endian 16-bit word; 0x8000
 * for all other pairs.
 */
const PAIR = new Uint16Array(65_536).fill(0x8000);
for (let value = 0; value < 256; value++) {
  const text = value.toString(16).padStart(2, "0");
  PAIR[text.charCodeAt(0) | (text.charCodeAt(1) << 8)] = value;
}

/**
 * Writes the 128 bits of a token of exactly 32 lower-case hexadecimal digits.
 *
 * @param view  must have 32 bytes at `at`
 * @returns false where one of these bytes is no such digit
 */
export function readHexToken(view: DataView, at: number, out: Uint32Array, slot: number): boolean {
  let invalid = 0;
  for (let word = 0; word < 4; word++, at += 8) {
    const a = PAIR[view.getUint16(at, true)]!;
    const b = PAIR[view.getUint16(at + 2, true)]!;
    const c = PAIR[view.getUint16(at + 4, true)]!;
    const d = PAIR[view.getUint16(at + 6, true)]!;
    invalid |= a | b | c | d;
    out[slot + word] = (a << 24) | (b << 16) | (c << 8) | d;
  }
  return invalid < 0x8000;
}

/** The view over the bytes that {@link viewOf} was given last. */
let view = new DataView(new ArrayBuffer(0)) as DataView;
let viewed: Uint8Array | undefined;

/** Returns a view over all of some bytes. Nearly all calls are for the bytes of the call before. */
export function viewOf(bytes: Uint8Array): DataView {
  if (bytes !== viewed) {
    viewed = bytes;
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  return view;
}

/**
 * Writes the 128 bits of any token, which is given as the UTF-8 bytes of its string: hexadecimal tokens are taken as they are,
 * others are hashed.
 */
export function readToken(bytes: Uint8Array, from: number, to: number, out: Uint32Array, slot: number): void {
  if (to - from === 32 && readHexToken(viewOf(bytes), from, out, slot)) return;
  // There are four multiplicative hashes side by side, which are mixed at the end.
  let a = 0x9e3779b1 ^ (to - from);
  let b = 0x85ebca77;
  let c = 0xc2b2ae3d;
  let d = 0x27d4eb2f;
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x5bd1e995) ^ (b >>> 13);
    c = Math.imul(c + byte, 0x2c1b3c6d) ^ (c >>> 12);
    d = Math.imul(d + byte, 0x297a2d39) ^ (d >>> 15);
  }
  out[slot] = Math.imul(a ^ (b >>> 16), 0x85ebca6b);
  out[slot + 1] = Math.imul(b ^ (c >>> 15), 0xc2b2ae35);
  out[slot + 2] = Math.imul(c ^ (d >>> 14), 0x27d4eb2f);
  out[slot + 3] = Math.imul(d ^ (a >>> 13), 0x165667b1);
}

const scratch = new Uint32Array(4);

/** Returns the 128 bits of a token that is given as a string. The next call uses the array again. */
export function tokenWords(token: string): Uint32Array {
  const bytes = Buffer.from(token, "utf8");
  readToken(bytes, 0, bytes.length, scratch, 0);
  return scratch;
}

/**
 * A hash table from token to row, which threads can share. The rows are those of `keys`; where two have the same token, the first
 * counts.
 */
export interface TokenTable {
  /** The tokens, with four words for each row. */
  keys: Uint32Array;
  /** The slots, each with a row + 1, or 0 where it is free; their number is a power of two. */
  slots: Int32Array;
}

/** Makes an empty table over `keys`, with room for `rows`. */
export function newTokenTable(keys: Uint32Array, rows: number): TokenTable {
  let size = 16;
  while (size < rows * 1.5) size *= 2;
  return { keys, slots: new Int32Array(new SharedArrayBuffer(size * 4)) };
}

/** Puts a row into the table. @returns -1, or the earlier row with the same token */
export function insertRow(table: TokenTable, row: number): number {
  const at = slotOf(table, table.keys, row * 4);
  const held = table.slots[at]!;
  if (held !== 0) return held - 1;
  table.slots[at] = row + 1;
  return -1;
}

/** Returns the row with the token at `words[at …]`, or -1. */
export function lookUp(table: TokenTable, words: Uint32Array, at = 0): number {
  return table.slots[slotOf(table, words, at)]! - 1;
}

/** Returns the slot that holds this token, or the free one where it would go. */
function slotOf({ keys, slots }: TokenTable, words: Uint32Array, at: number): number {
  const mask = slots.length - 1;
  const a = words[at]!;
  const b = words[at + 1]!;
  const c = words[at + 2]!;
  const d = words[at + 3]!;
  let hash = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77) ^ Math.imul(c, 0xc2b2ae3d) ^ d;
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash ^= hash >>> 13;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const held = slots[slot]!;
    if (held === 0) return slot;
    const key = (held - 1) * 4;
    if (keys[key] === a && keys[key + 1] === b && keys[key + 2] === c && keys[key + 3] === d) return slot;
  }
}
