/**
 * Records of YouTube.json and of the language files, taken apart without building them: both have a few fields in a
 * fixed order, in files of up to 5 GB. V8 compiles the patterns to machine code, which is faster here than a parser in
 * JavaScript and than `JSON.parse`. Whatever is laid out in another way goes through `JSON.parse` instead.
 */

/** ASCII without quotes, backslashes and control characters: inside quotes this is JSON that means itself. */
const TEXT = "[ !#-\\[\\]-~]*";
/** `000000123.jpg`; the digits are checked for size later. */
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

/** A record that was taken apart. */
export interface FastRow {
  folder: string;
  /** Digits of the first frame's name. */
  first: string;
  extension: string;
  /** The language files' own fields. */
  last: string;
  cmd: number;
}

/** Reads records of one kind from the chunks that `readRows` offers. */
export class FastRows {
  /** The last record. Its strings are parts of a large one: copy what is to be kept. */
  readonly row: FastRow = { folder: "", first: "", extension: "", last: "", cmd: 0 };
  readonly #pattern: RegExp;
  /** The chunk as text, and where in the file it starts and ends. */
  #text = "";
  #base = -1;
  #end = -1;

  constructor(kind: "YouTube" | "language") {
    this.#pattern = kind === "YouTube" ? YOUTUBE : LANGUAGE;
  }

  /** As `fast` of `RowSink`: the position after the record that starts at `at`, or -1. */
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
      if (match[4] !== match[6]) return -1; // one extension for both ends
      row.cmd = Number(match[1]);
      row.folder = match[2]!;
      row.first = match[3]!;
      row.extension = match[4]!;
      row.last = match[5]!;
    }
    return pattern.lastIndex;
  }
}

/** A string of its own with the same text; a part of a chunk would keep the whole chunk in memory. */
export function copyText(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}
