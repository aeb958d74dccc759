/**
 * Records of YouTube.json and of the language files, taken apart without building them: both have a few fields in a
 * fixed order, in files of up to 5 GB. Whatever is laid out in another way goes through `JSON.parse` instead.
 */

const QUOTE = 0x22;
const ZERO = 0x30;

/** A row that was taken apart; positions are in the array of bytes. */
export interface FastRow {
  folderFrom: number;
  folderTo: number;
  first: number;
  /** Digits of the first frame's name. */
  width: number;
  extensionFrom: number;
  extensionTo: number;
  /** The language files' own fields. */
  last: number;
  lastWidth: number;
  cmd: number;
}

const encode = (text: string) => new Uint8Array(Buffer.from(text));
const FOLDER_NAME = encode('"folder_name"');
const FOLDER = encode('"folder"');
const FIRST = encode('"first_frame"');
const LAST = encode('"last_frame"');
const CMD = encode('"cmd"');
const BLIP = encode('"blip"');

/** Reads rows of one kind; `row` holds the last one. */
export class FastRows {
  readonly row: FastRow = {
    folderFrom: 0,
    folderTo: 0,
    first: 0,
    width: 0,
    extensionFrom: 0,
    extensionTo: 0,
    last: 0,
    lastWidth: 0,
    cmd: 0,
  };
  #bytes: Uint8Array = new Uint8Array(0);
  #end = 0;

  /** `{"folder_name": "…", "first_frame": "000000000.jpg"}`. @returns the position after it, or -1 */
  youtube(bytes: Uint8Array, at: number, end: number): number {
    this.#bytes = bytes;
    this.#end = end;
    at = this.#key(this.#open(at), FOLDER_NAME);
    at = this.#folder(at);
    at = this.#key(this.#comma(at), FIRST);
    at = this.#frame(at, true);
    return this.#close(at);
  }

  /** `{"cmd": 2, "blip": "…", "folder": "…", "first_frame": "…", "last_frame": "…"}`. @returns as {@link youtube} */
  language(bytes: Uint8Array, at: number, end: number): number {
    this.#bytes = bytes;
    this.#end = end;
    at = this.#key(this.#open(at), CMD);
    at = this.#command(at);
    at = this.#key(this.#comma(at), BLIP);
    at = this.#string(at);
    at = this.#key(this.#comma(at), FOLDER);
    at = this.#folder(at);
    at = this.#key(this.#comma(at), FIRST);
    at = this.#frame(at, true);
    at = this.#key(this.#comma(at), LAST);
    at = this.#frame(at, false);
    return this.#close(at);
  }

  #space(at: number): number {
    const bytes = this.#bytes;
    while (at >= 0 && at < this.#end) {
      const byte = bytes[at]!;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
      at++;
    }
    return at;
  }

  #byte(at: number, wanted: number): number {
    return at >= 0 && at < this.#end && this.#bytes[at] === wanted ? at + 1 : -1;
  }

  #open(at: number): number {
    return this.#space(this.#byte(at, 0x7b));
  }

  #comma(at: number): number {
    return this.#space(this.#byte(this.#space(at), 0x2c));
  }

  #close(at: number): number {
    return this.#byte(this.#space(at), 0x7d);
  }

  /** The key and its colon; the result is at the value. */
  #key(at: number, key: Uint8Array): number {
    if (at < 0 || at + key.length > this.#end) return -1;
    const bytes = this.#bytes;
    for (let i = 0; i < key.length; i++) if (bytes[at + i] !== key[i]) return -1;
    return this.#space(this.#byte(this.#space(at + key.length), 0x3a));
  }

  /** A string of plain ASCII without escapes; the result is after its closing quote. */
  #string(at: number): number {
    if (at < 0 || this.#bytes[at] !== QUOTE) return -1;
    const bytes = this.#bytes;
    const end = this.#end;
    for (let i = at + 1; i < end; i++) {
      const byte = bytes[i]!;
      if (byte === QUOTE) return i + 1;
      if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return -1;
    }
    return -1;
  }

  #folder(at: number): number {
    const after = this.#string(at);
    this.row.folderFrom = at + 1;
    this.row.folderTo = after - 1;
    return after;
  }

  #command(at: number): number {
    if (at < 0) return -1;
    const start = at;
    let value = 0;
    for (; at < this.#end && at - start < 3; at++) {
      const digit = this.#bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === start || (at - start > 1 && this.#bytes[start] === ZERO)) return -1;
    this.row.cmd = value;
    return at;
  }

  /** `"000000123.jpg"`, at most 8 digits that count; the extension is letters only. */
  #frame(at: number, first: boolean): number {
    if (at < 0 || this.#bytes[at] !== QUOTE) return -1;
    const bytes = this.#bytes;
    const start = at + 1;
    let number = 0;
    for (at = start; at < this.#end; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      number = number * 10 + digit;
    }
    const width = at - start;
    if (width === 0 || width > 12 || number >= 2 ** 26 || bytes[at] !== 0x2e) return -1;
    const extension = ++at;
    while (at < this.#end && isLetter(bytes[at]!)) at++;
    if (at === extension || at >= this.#end || bytes[at] !== QUOTE) return -1;
    if (first) {
      this.row.first = number;
      this.row.width = width;
      this.row.extensionFrom = extension;
      this.row.extensionTo = at;
    } else {
      const length = at - extension;
      if (length !== this.row.extensionTo - this.row.extensionFrom) return -1;
      for (let i = 0; i < length; i++) {
        if (bytes[extension + i] !== bytes[this.row.extensionFrom + i]) return -1;
      }
      this.row.last = number;
      this.row.lastWidth = width;
    }
    return at + 1;
  }
}

function isLetter(byte: number): boolean {
  return (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a);
}

/** Remembers the text of the last range, so that equal ranges in a row make one string. */
export class LastText {
  #bytes = new Uint8Array(0);
  text = "";

  /** @returns true where the range is the same as the last one; else `text` is the new one */
  same(bytes: Uint8Array, from: number, to: number): boolean {
    const length = to - from;
    const last = this.#bytes;
    if (last.length === length) {
      let i = 0;
      while (i < length && last[i] === bytes[from + i]) i++;
      if (i === length && this.text !== "") return true;
    }
    this.#bytes = bytes.slice(from, to);
    this.text = Buffer.from(this.#bytes).toString("latin1");
    return false;
  }
}
