/** File names in columns: a hash of the base name, and a number for the folder. */
import type { RowDecoder } from "./decode.js";

/** In the `folder` column: no usable file name (or more than 65,535 folders). */
export const NO_FOLDER = 0xffff;

/** Two 32-bit hashes of a file name: enough that 2.6 million names do not meet by chance. */
export function hashName(bytes: Uint8Array, from: number, to: number, out: Uint32Array): void {
  let a = 0x811c9dc5;
  let b = 0x9747b28c ^ (to - from);
  for (let i = from; i < to; i++) {
    const byte = bytes[i]!;
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x5bd1e995);
    b ^= b >>> 15;
  }
  out[0] = a;
  out[1] = b;
}

/** Numbers the few distinct strings of a column (folders, file formats with their sizes). */
export class Dictionary {
  readonly names: string[] = [];
  readonly #ids = new Map<string, number>();
  /** The bytes of the entries seen last: rows of one sensor often come together. */
  readonly #recent: { bytes: Uint8Array; extra: number; id: number }[] = [];

  /** The number of the string in `from … to`, told apart by two numbers as well. At most 65,535 are told apart. */
  id(decoder: RowDecoder, from: number, to: number, a = 0, b = 0): number {
    const extra = a * 100_003 + b;
    for (const entry of this.#recent) {
      if (entry.extra === extra && sameBytes(entry.bytes, decoder.bytes, from, to)) return entry.id;
    }
    const name = decoder.text(from, to);
    const key = `${name} ${a} ${b}`;
    let id = this.#ids.get(key);
    if (id === undefined) {
      if (this.names.length === NO_FOLDER) return NO_FOLDER;
      id = this.names.length;
      this.names.push(name);
      this.#ids.set(key, id);
    }
    if (this.#recent.length < 64 && !Number.isNaN(extra)) {
      // A copy: slice() of a Buffer would share its memory.
      this.#recent.push({ bytes: Uint8Array.from(decoder.bytes.subarray(from, to)), extra, id });
    }
    return id;
  }
}

function sameBytes(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  // From the end: folders differ there.
  for (let i = known.length - 1; i >= 0; i--) if (known[i] !== bytes[from + i]) return false;
  return true;
}
