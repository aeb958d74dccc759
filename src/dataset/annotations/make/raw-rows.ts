/**
 * The rows of a table in the text that the file has, to be copied with some of their values replaced: numbers keep their digits,
 * and keys that the schema does not know stay. Text is taken byte for byte (latin1), so that what is not ASCII comes through
 * unchanged.
 */
import { closeSync, fsyncSync, writeSync } from "node:fs";
import { createFileSync } from "../../../core/io/output-folder.js";
import { INCOMPLETE, skipSpace, skipValue } from "../../../core/json/scan.js";
import { RowReader } from "../../json/row-reader.js";
import { tokenWords } from "../../nuscenes/read/tokens.js";

const FLUSH = 1 << 20;

export class RawRow {
  /** Where the row starts in the file. */
  offset = 0;
  #source: Uint8Array | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  #count = 0;
  readonly #from: number[] = [];
  readonly #to: number[] = [];
  /** The keys as they stand in the row, quotes included; most rows have the keys of the row before. */
  readonly #keys: Uint8Array[] = [];
  readonly #names: string[] = [];
  #places = new Map<string, number>();

  /**
   * Takes the row apart that starts at `at`, and at `offset` in the file.
   *
   * @returns the position after the row, or -1 where the bytes end first or it is no object
   * @throws JsonSyntaxError
   */
  scan(bytes: Uint8Array, at: number, end: number, offset: number): number {
    if (bytes[at] !== 0x7b) return -1;
    // A new view is made only for other bytes, because rows follow each other in the same ones.
    if (bytes !== this.#source) this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#source = bytes;
    at = skipSpace(bytes, at + 1, end);
    let i = 0;
    for (let isMore = bytes[at] !== 0x7d; isMore; i++) {
      if (bytes[at] !== 0x22) return -1;
      const afterKey = skipValue(bytes, at, end);
      if (afterKey === INCOMPLETE) return -1;
      this.#key(i, at, afterKey);
      at = skipSpace(bytes, afterKey, end);
      if (at >= end || bytes[at] !== 0x3a) return -1;
      at = skipSpace(bytes, at + 1, end);
      const after = skipValue(bytes, at, end);
      if (after === INCOMPLETE) return -1;
      this.#from[i] = at;
      this.#to[i] = after;
      at = skipSpace(bytes, after, end);
      if (at >= end) return -1;
      isMore = bytes[at] === 0x2c;
      if (isMore) at = skipSpace(bytes, at + 1, end);
      else if (bytes[at] !== 0x7d) return -1;
    }
    this.#count = i;
    this.offset = offset;
    return at + 1;
  }

  has(key: string): boolean {
    return this.#place(key) >= 0;
  }

  /** Returns the JSON text of the value of a member, which the row must have. */
  text(key: string): string {
    const place = this.#place(key);
    return this.#bytes.toString("latin1", this.#from[place], this.#to[place]);
  }

  /** Returns the value of a member; `undefined` where no member has this key. */
  value(key: string): unknown {
    const place = this.#place(key);
    if (place < 0) return undefined;
    const text = this.#bytes.toString("utf8", this.#from[place], this.#to[place]);
    try {
      return JSON.parse(text);
    } catch {
      return null; // The value has a NaN in it.
    }
  }

  /** Writes the 128 bits of a token into `words`; returns false where the member is no string, or an empty one. */
  token(key: string, words: Uint32Array): boolean {
    const value = this.value(key);
    if (typeof value !== "string" || value === "") return false;
    words.set(tokenWords(value));
    return true;
  }

  /** Returns the row in a form that stays when the next one is read. */
  template(): RowTemplate {
    const names = this.#names.slice(0, this.#count);
    const parts = names.map((name, i) => {
      return `${name}: ${oneLine(this.#bytes.toString("latin1", this.#from[i], this.#to[i]))}`;
    });
    return new RowTemplate(names, parts, this.#places);
  }

  /** Returns the place of the member that has this key, or -1. */
  #place(key: string): number {
    const place = this.#places.get(key);
    return place === undefined || place >= this.#count ? -1 : place;
  }

  #key(i: number, from: number, to: number): void {
    const known = this.#keys[i];
    if (known !== undefined && known.length === to - from) {
      let same = 0;
      while (same < known.length && known[same] === this.#bytes[from + same]) same++;
      if (same === known.length) return;
    }
    this.#keys[i] = Uint8Array.from(this.#bytes.subarray(from, to));
    this.#keys.length = i + 1;
    this.#names[i] = Buffer.from(this.#keys[i]!).toString("latin1");
    this.#names.length = i + 1;
    this.#places = new Map(this.#names.map((name, place) => [JSON.parse(name) as string, place]));
  }
}

/** A row from which others are made. */
export class RowTemplate {
  /** @param names  the keys with their quotes; `parts` are the members as `"key": value` */
  constructor(
    private readonly names: readonly string[],
    private readonly parts: readonly string[],
    private readonly places: ReadonlyMap<string, number>,
  ) {}

  /** Returns the row on one line, with other values for some of its keys; these are given as JSON text. */
  with(values: Readonly<Record<string, string>>): string {
    const own = this.parts.slice();
    for (const key in values) {
      const place = this.places.get(key)!;
      own[place] = `${this.names[place]}: ${values[key]}`;
    }
    return `{${own.join(", ")}}`;
  }
}

/** Returns a token's JSON text with something after the token. */
export function suffixed(token: string, suffix: string | number): string {
  return `${token.slice(0, -1)}${suffix}"`;
}

/** Puts a value on one line, because the official tables have one number a line. */
function oneLine(text: string): string {
  if (!text.includes("\n")) return text;
  if (!text.includes('"')) return text.replace(/\s+/g, "").replaceAll(",", ", ");
  // White space within strings stays.
  return text.replace(/"(?:[^"\\]|\\.)*"|,\s*|\s+/g, (match) => {
    if (match.startsWith('"')) return match;
    return match.startsWith(",") ? ", " : "";
  });
}

/** A reader of rows here and there in a file. */
export class RawRowAt extends RowReader {
  readonly #row = new RawRow();

  /** Returns the row that starts at this byte; it is valid until the next one is read. */
  at(offset: number): RawRow {
    const row = this.read(offset, (bytes, end) =>
      this.#row.scan(bytes, 0, end, offset) === -1 ? undefined : this.#row,
    );
    if (row === undefined) throw new Error("a row that was there is gone");
    return row;
  }
}

/** A writer of a table, with one row a line. It is synchronous because it runs in worker threads. */
export class TableWriter {
  readonly #fd: number;
  #text = "[";
  rows = 0;
  bytes = 0;

  constructor(path: string) {
    this.#fd = createFileSync(path);
  }

  add(row: string): void {
    this.#text += this.rows++ === 0 ? `\n${row}` : `,\n${row}`;
    if (this.#text.length > FLUSH) this.#flush();
  }

  /** Writes the end of the table. */
  finish(sync: boolean): void {
    this.#text += "\n]\n";
    this.#flush();
    if (sync) fsyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#text, "latin1");
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    this.bytes += bytes.length;
    this.#text = "";
  }
}
