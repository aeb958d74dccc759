/** Reads the arguments of pickle operations from bytes, every read checked against the end. */
import { isUtf8 } from "node:buffer";
import { VistaError, type Where } from "../../core/errors.js";
import { PICKLE_LIMITS } from "./limits.js";

export class PickleCursor {
  /** The offset at which the next read starts. */
  at: number;
  /** The offset at which the current operation starts, for error messages. */
  operation: number;
  readonly #data: Buffer;
  /** The offset at which the frame ends that the current operation lies in; infinite outside of frames. */
  #frameEnd = Infinity;

  constructor(
    data: Uint8Array,
    start: number,
    private readonly path: string,
    private readonly record: string | undefined,
  ) {
    this.#data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.at = start;
    this.operation = start;
    if (data.byteLength - start > PICKLE_LIMITS.size) {
      this.fail(`the pickle has ${data.byteLength - start} bytes, the limit is ${PICKLE_LIMITS.size}`);
    }
  }

  /**
   * Begins the next operation. None may reach beyond the end of its frame: reading from a file, CPython then loses the beginning of
   * a name, and so calls another one than a reader without frames has seen.
   */
  begin(): void {
    if (this.at > this.#frameEnd) this.fail("an operation that reaches beyond the end of its frame");
    if (this.at === this.#frameEnd) this.#frameEnd = Infinity;
    this.operation = this.at;
  }

  /** Reads the argument of FRAME: the number of bytes from here on that are read together, which pickles do in no other frame. */
  frame(): void {
    const length = this.length8();
    if (this.#frameEnd !== Infinity) this.fail("a frame within another frame");
    if (length > this.#data.length - this.at)
      this.short(`a frame of ${length} bytes, ${this.#data.length - this.at} left`);
    this.#frameEnd = this.at + length;
  }

  /** Moves past `count` bytes and returns where they start. */
  take(count: number): number {
    const at = this.at;
    if (count > this.#data.length - at) {
      this.short(`${count} bytes wanted at ${at}, ${this.#data.length - at} left`);
    }
    this.at = at + count;
    return at;
  }

  /** Reads a byte, without {@link take} for the sake of speed: every operation begins with one. */
  u8(): number {
    if (this.at >= this.#data.length) this.short(`1 byte wanted at ${this.at}, 0 left`);
    return this.#data[this.at++]!;
  }

  uint32(): number {
    return this.#data.readUInt32LE(this.take(4));
  }

  length8(): number {
    const length = this.#data.readBigUInt64LE(this.take(8));
    if (length > BigInt(this.#data.length)) {
      this.short(`a length of ${length} bytes in a pickle of ${this.#data.length}`);
    }
    return Number(length);
  }

  text(length: number, encoding: "utf8" | "latin1"): string {
    const at = this.take(length);
    const text = this.#data.toString(encoding, at, at + length);
    // U+FFFD stands for bytes that are no UTF-8: names that differ only in such bytes must not become the same.
    return encoding === "utf8" && text.includes("\ufffd") ? this.#utf8(at, at + length) : text;
  }

  /** Decodes UTF-8 with lone surrogates, as Python's pickle writes and reads them. */
  #utf8(start: number, end: number): string {
    const parts: string[] = [];
    let from = start;
    const plain = (to: number) => {
      const bytes = this.#data.subarray(from, to);
      if (!isUtf8(bytes)) this.fail("text that is no UTF-8");
      parts.push(bytes.toString("utf8"));
    };
    for (let i = this.#data.indexOf(0xed, start); i >= 0 && i < end; i = this.#data.indexOf(0xed, i + 1)) {
      const [second, third] = [this.#data[i + 1]!, this.#data[i + 2]!];
      if (i + 2 >= end || second < 0xa0 || second > 0xbf || (third & 0xc0) !== 0x80) continue;
      plain(i);
      parts.push(String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f)));
      from = i + 3;
    }
    plain(end);
    return parts.join("");
  }

  bytes(length: number): Uint8Array {
    const at = this.take(length);
    return this.#data.subarray(at, at + length);
  }

  /** Returns bytes that were read before. */
  between(start: number, end: number): Buffer {
    return this.#data.subarray(start, end);
  }

  line(): string {
    const text = this.#line("utf8");
    return text.endsWith("\r") ? text.slice(0, -1) : text;
  }

  /** Reads the argument of UNICODE, which is Latin-1 with escapes for all other characters (raw-unicode-escape). */
  rawUnicode(): string {
    return unescapeRawUnicode(this.#line("latin1"));
  }

  #line(encoding: "utf8" | "latin1"): string {
    const end = this.#data.indexOf(0x0a, this.at);
    if (end < 0) this.short("a line without an end");
    const text = this.#data.toString(encoding, this.at, end);
    this.at = end + 1;
    return text;
  }

  /** Reads an integer of `length` bytes in little-endian two's complement. */
  long(length: number): number | bigint {
    if (length > PICKLE_LIMITS.longBytes) {
      this.fail(`an integer of ${length} bytes, the limit is ${PICKLE_LIMITS.longBytes}`);
    }
    const at = this.take(length);
    if (length === 0) return 0;
    let hex = "";
    for (let i = at + length - 1; i >= at; i--) hex += this.#data[i]!.toString(16).padStart(2, "0");
    return safeNumber(BigInt.asIntN(8 * length, BigInt(`0x${hex}`)));
  }

  integerText(text: string): number | bigint {
    if (!/^[+-]?\d{1,4096}$/.test(text)) this.fail("an integer that is not one");
    return safeNumber(BigInt(text.replace(/^\+/, "")));
  }

  /** Reads the argument of INT, where `01` and `00` are booleans. */
  booleanOrInteger(): boolean | number | bigint {
    const line = this.line();
    return line === "01" ? true : line === "00" ? false : this.integerText(line);
  }

  /** Reads the argument of STRING, a quoted Python literal. */
  literal(): string {
    const line = this.line();
    const quoted = line.length >= 2 && (line[0] === "'" || line[0] === '"') && line.at(-1) === line[0];
    if (!quoted) this.fail("a STRING without quotes");
    return unescapeLiteral(line.slice(1, -1));
  }

  floatText(text: string): number {
    const value = SPECIAL_FLOATS.get(text) ?? Number(text);
    if (text === "" || (Number.isNaN(value) && text !== "nan")) this.fail("a float that is not one");
    return value;
  }

  memoIndex(): number {
    const line = this.line();
    if (!/^\d{1,10}$/.test(line)) this.fail("a memo index that is not a number");
    return Number(line);
  }

  /** Reads the argument of BININT, which is signed. */
  int32(): number {
    return this.#data.readInt32LE(this.take(4));
  }

  uint16(): number {
    return this.#data.readUInt16LE(this.take(2));
  }

  /** Reads the argument of BINFLOAT, which is big-endian. */
  float64(): number {
    return this.#data.readDoubleBE(this.take(8));
  }

  /** Throws `TRUNCATED` and not `PICKLE`, so that a caller who gave only the beginning of a file can come back with more. */
  short(what: string): never {
    throw new VistaError("TRUNCATED", `the pickle ends early: ${what}`, {
      ...this.#where(),
      hint: "The file is incomplete: copy it again.",
    });
  }

  fail(what: string): never {
    throw new VistaError("PICKLE", `not a pickle that can be read: ${what}`, {
      ...this.#where(),
      hint: "The file is damaged, or was not written by torch.save.",
    });
  }

  #where(): Where {
    const where: Where = { path: this.path, offset: this.operation };
    if (this.record !== undefined) where.record = this.record;
    return where;
  }
}

function safeNumber(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;
}

/** Replaces the escapes of UNICODE. A backslash behind another one begins none, and both stay. */
function unescapeRawUnicode(text: string): string {
  return text.replace(
    /\\U([0-9a-fA-F]{8})|\\u([0-9a-fA-F]{4})|\\\\/g,
    (whole, long?: string, short?: string) => {
      const code = Number.parseInt(long ?? short ?? "", 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

const SPECIAL_FLOATS: ReadonlyMap<string, number> = new Map([
  ["nan", Number.NaN],
  ["inf", Infinity],
  ["-inf", -Infinity],
]);

const ESCAPES: Record<string, string> = {
  n: "\n",
  r: "\r",
  t: "\t",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
};

/** Replaces the escapes of STRING. */
function unescapeLiteral(text: string): string {
  return text.replace(
    /\\(?:x([0-9a-fA-F]{2})|([\\'"nrtabfv]))/g,
    (_, hex: string | undefined, char: string) =>
      hex === undefined ? ESCAPES[char]! : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
