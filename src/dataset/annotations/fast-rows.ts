/**
 * A fast reader of the records of YouTube.json and of the language files, which does not build objects from them: both kinds have
 * a few fields in a fixed order, in files of up to 5 GB. V8 compiles the patterns to machine code, which is faster here than a
 * parser in JavaScript and than `JSON.parse`. Whatever is laid out in another way goes through `JSON.parse` instead.
 */

/** A pattern for ASCII without quotes, backslashes and control characters, which inside quotes is JSON that stands for itself. */
const TEXT = "[ !#-\\[\\]-~]*";
/** A pattern for a frame's name such as `000000123.jpg`; whether the number is too large is checked later. */
const FRAME = '"([0-9]{1,8}|0[0-9]{8,11})\\.([A-Za-z]+)"';
const field = (key: string, value: string) => `"${key}": ?${value}`;
const record = (fields: readonly string[]) => new RegExp(`\\{${fields.join(", ?")}\\}`, "y");

const YOUTUBE = record([field("folder_name", `"(${TEXT})"`), field("first_frame", FRAME)]);
const LANGUAGE = record([
  field("cmd", "([0-9]|[1-9][0-9]{1,2})"),
  field("blip", `"${TEXT}"`),
  field("folder", `"(${TEXT})"`),
  field("first_frame", FRAME),
  field("last_frame", FRAME),
]);

/** The fields of one record. */
export interface FastRow {
  folder: string;
  /** The digits in the name of the first frame. */
  first: string;
  extension: string;
  /** The first of the fields that only language files have. */
  last: string;
  cmd: number;
}

/** A reader of records of one kind from the chunks that `readRows` offers. */
export class FastRows {
  /** The last record. Its strings are parts of a larger string, so what is to be kept must be copied. */
  readonly row: FastRow = { folder: "", first: "", extension: "", last: "", cmd: 0 };
  readonly #pattern: RegExp;
  /** The chunk as text; `#base` and `#end` say where it starts in the file and where it ends in the buffer. */
  #text = "";
  #base = -1;
  #end = -1;

  constructor(kind: "YouTube" | "language") {
    this.#pattern = kind === "YouTube" ? YOUTUBE : LANGUAGE;
  }

  /** Reads a record, as the `fast` of `RowSink`: returns the position after the record that starts at `at`, or -1. */
  read(bytes: Uint8Array, at: number, end: number, offset: number): number {
    const base = offset - at;
    if (base !== this.#base || end !== this.#end) {
      this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, end).toString("latin1");
      this.#base = base;
      this.#end = end;
    }
    const pattern = this.#pattern;
    pattern.lastIndex = at;
    const match = pattern.exec(this.#text);
    if (match === null) return -1;
    const { row } = this;
    if (pattern === YOUTUBE) {
      row.folder = match[1]!;
      row.first = match[2]!;
      row.extension = match[3]!;
    } else {
      // Both ends must have the same extension.
      if (match[4] !== match[6]) return -1;
      row.cmd = Number(match[1]);
      row.folder = match[2]!;
      row.first = match[3]!;
      row.extension = match[4]!;
      row.last = match[5]!;
    }
    return pattern.lastIndex;
  }
}

/** Returns a string of its own with the same text, because a part of a chunk would keep the whole chunk in memory. */
export function copyText(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
