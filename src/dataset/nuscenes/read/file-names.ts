/** File names in columns: a hash of the base name, and a number for the folder. */
import { posix } from "node:path";
import { VistaError } from "../../../core/errors.js";
import type { RowDecoder } from "./decode.js";

/** The number in the `folder` column for a row without a usable file name. */
export const NO_FOLDER = 0xffff;

/**
 * Writes the key of a file: two 32-bit hashes of its base name, which is enough that 2.6 million names do not meet by chance, the
 * number of its folder, and nothing.
 */
export function writeFileKey(
  view: DataView,
  from: number,
  to: number,
  folder: number,
  out: Uint32Array,
  slot: number,
): void {
  let a = 0x811c9dc5;
  let b = 0x9747b28c ^ (to - from);
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const word = view.getUint32(i, true);
    a = Math.imul(a ^ word, 0x01000193);
    a ^= a >>> 15;
    b = Math.imul(b ^ word, 0x5bd1e995);
    b ^= b >>> 13;
  }
  for (; i < to; i++) {
    a = Math.imul(a ^ view.getUint8(i), 0x01000193);
    b = Math.imul(b ^ view.getUint8(i), 0x5bd1e995);
  }
  out[slot] = Math.imul(a ^ (a >>> 16), 0x85ebca6b);
  out[slot + 1] = Math.imul(b ^ (b >>> 15), 0xc2b2ae35);
  out[slot + 2] = folder;
}

/** Returns the path of a folder in its shortest form: `./sweeps//CAM_FRONT` is `sweeps/CAM_FRONT`, and `.` is ``. */
export function shortestPath(folder: string): string {
  const path = posix.normalize(folder).replace(/\/$/, "");
  return path === "." ? "" : path;
}

/** A table of numbers for the few distinct strings of a column (folders, file formats with their sizes). */
export class Dictionary {
  readonly entries: { text: string; a: number; b: number }[] = [];
  readonly #ids = new Map<string, number>();
  /** The entries by a cheap hash of their bytes; an entry whose place another one took is found by its name. */
  readonly #recent: ({ bytes: Uint8Array; extra: number; id: number } | undefined)[] = new Array(256);

  /**
   * Makes an empty table.
   *
   * @param path  the path of the table of nuScenes, for the error
   * @param what  what the strings are
   * @param form  gives the one form of strings that mean the same
   */
  constructor(
    private readonly path: string,
    private readonly what: string,
    private readonly form = (text: string) => text,
  ) {}

  /**
   * Returns the number of the string in `from … to` together with two numbers `a` and `b`.
   *
   * @throws VistaError `UNSUPPORTED` for more than 65,535 of them, which the 16 bits of a column cannot tell apart
   */
  id(decoder: Pick<RowDecoder, "bytes" | "text">, from: number, to: number, a = 0, b = 0): number {
    const extra = a * 100_003 + b;
    const { bytes } = decoder;
    const length = to - from;
    // These letters tell the 24 folders of the sensors apart.
    const letter = (i: number) => bytes[from + Math.max(i, 0)]!;
    const place =
      (length * 23 + letter(length - 6) * 3 + letter(length - 4) * 19 + letter(length >> 1)) & 255;
    const recent = this.#recent[place];
    if (recent !== undefined && recent.extra === extra && sameBytes(recent.bytes, bytes, from, to))
      return recent.id;
    const text = this.form(decoder.text(from, to));
    const key = `${text} ${a} ${b}`;
    let id = this.#ids.get(key);
    if (id === undefined) {
      if (this.entries.length === NO_FOLDER) {
        throw new VistaError("UNSUPPORTED", `more than ${NO_FOLDER} different ${this.what}`, {
          path: this.path,
          hint: "Check parts of the set, each with tables of its own.",
        });
      }
      id = this.entries.push({ text, a, b }) - 1;
      this.#ids.set(key, id);
    }
    // The bytes are copied, because slice() of a Buffer would share its memory.
    this.#recent[place] = { bytes: Uint8Array.from(bytes.subarray(from, to)), extra, id };
    return id;
  }
}

function sameBytes(known: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (known.length !== to - from) return false;
  // The comparison starts at the end, because folders differ there.
  for (let i = known.length - 1; i >= 0; i--) if (known[i] !== bytes[from + i]) return false;
  return true;
}
