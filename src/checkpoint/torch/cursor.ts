/** Reads the arguments of pickle operations from bytes, every read checked against the end. */
import { isUtf8 } from "node:buffer";
import { VistaError, type Where } from "../../core/errors.js";
import { PICKLE_LIMITS } from "./limits.js";
import { PyLatin1 } from "./objects.js";

export class PickleCursor {
  /** The offset at which the next read starts. */
  at: number;
  /** The offset at which the current operation starts, for error messages. */
  operation: number;
  private readonly data: Buffer;
  private readonly size: number;
  /** The same bytes, for numbers: Buffer's own functions check again what {@link take} has, in JavaScript. */
  private readonly view: DataView;
  /** The offset at which the frame ends that the current operation lies in; infinite outside of frames. */
  private frameEnd = Infinity;

  constructor(
    data: Uint8Array,
    start: number,
    private readonly path: string,
    private readonly record: string | undefined,
  ) {
    this.data = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.size = data.byteLength;
    this.at = start;
    this.operation = start;
    if (data.byteLength - start > PICKLE_LIMITS.size) {
      this.fail(`the pickle has ${data.byteLength - start} bytes, the limit is ${PICKLE_LIMITS.size}`);
    }
  }

  /**
   * Begins the next operation and returns its code. None may reach beyond the end of its frame: reading from a file, CPython then loses the beginning of
   * a name, and so calls another one than a reader without frames has seen.
   */
  opcode(): number {
    const { at } = this;
    if (at >= this.frameEnd) {
      if (at > this.frameEnd) this.fail("an operation that reaches beyond the end of its frame");
      this.frameEnd = Infinity;
    }
    if (at >= this.size) this.short(`1 byte wanted at ${at}, 0 left`);
    this.operation = at;
    this.at = at + 1;
    return this.data[at]!;
  }

  /** Reads the argument of FRAME: the number of bytes from here on that are read together, which pickles do in no other frame. */
  frame(): void {
    const length = this.length8();
    if (this.frameEnd !== Infinity) this.fail("a frame within another frame");
    if (length > this.size - this.at) this.short(`a frame of ${length} bytes, ${this.size - this.at} left`);
    this.frameEnd = this.at + length;
  }

  /** Moves past `count` bytes and returns where they start. */
  take(count: number): number {
    const at = this.at;
    if (count > this.size - at) {
      this.short(`${count} bytes wanted at ${at}, ${this.size - at} left`);
    }
    this.at = at + count;
    return at;
  }

  /** Reads a byte, without {@link take} for the sake of speed: a quarter of all operations have one. */
  u8(): number {
    if (this.at >= this.size) this.short(`1 byte wanted at ${this.at}, 0 left`);
    return this.data[this.at++]!;
  }

  uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  length8(): number {
    const length = this.view.getBigUint64(this.take(8), true);
    if (length > BigInt(this.size)) {
      this.short(`a length of ${length} bytes in a pickle of ${this.size}`);
    }
    return Number(length);
  }

  text(length: number): string {
    const at = this.take(length);
    const text = this.data.toString("utf8", at, at + length);
    // U+FFFD stands for bytes that are no UTF-8: names that differ only in such bytes must not become the same.
    return text.includes("\ufffd") ? this.utf8(at, at + length) : text;
  }

  /** Decodes UTF-8 with lone surrogates, as Python's pickle writes and reads them. */
  private utf8(start: number, end: number): string {
    const parts: string[] = [];
    let from = start;
    let highEnd = -1;
    const plain = (to: number) => {
      const bytes = this.data.subarray(from, to);
      if (!isUtf8(bytes)) this.fail("text that is no UTF-8");
      parts.push(bytes.toString("utf8"));
    };
    for (let i = this.data.indexOf(0xed, start); i >= 0 && i < end; i = this.data.indexOf(0xed, i + 1)) {
      const [second, third] = [this.data[i + 1]!, this.data[i + 2]!];
      if (i + 2 >= end || second < 0xa0 || second > 0xbf || (third & 0xc0) !== 0x80) continue;
      if (second >= 0xb0 && i === highEnd) this.fail(TWO_HALVES);
      if (second < 0xb0) highEnd = i + 3;
      plain(i);
      parts.push(String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f)));
      from = i + 3;
    }
    plain(end);
    return parts.join("");
  }

  bytes(length: number): Uint8Array {
    const at = this.take(length);
    return this.data.subarray(at, at + length);
  }

  line(): string {
    const line = this.lineBytes();
    if (line.length === 0) this.fail("a line without anything in it");
    const text = line.toString("utf8");
    if (text.includes("\ufffd") && !isUtf8(line)) this.fail("text that is no UTF-8");
    return text;
  }

  /** Reads the argument of UNICODE, which is Latin-1 with escapes for all other characters (raw-unicode-escape). */
  rawUnicode(): string {
    const text = this.lineBytes().toString("latin1");
    if (ESCAPED_PAIR.test(text)) this.fail(TWO_HALVES);
    return text.replace(/\\(?:U(.{0,8})|u(.{0,4})|\\)/gs, (whole, long?: string, short?: string) => {
      const digits = long ?? short;
      // A backslash behind another one begins no escape, and both stay.
      if (digits === undefined) return whole;
      const code = Number.parseInt(digits, 16);
      const isWhole = digits.length === (long === undefined ? 4 : 8) && /^[0-9a-fA-F]+$/.test(digits);
      if (!isWhole || code > 0x10ffff) this.fail("an escape of UNICODE that is none");
      return String.fromCodePoint(code);
    });
  }

  private lineBytes(): Buffer {
    const end = this.data.indexOf(0x0a, this.at);
    if (end < 0) this.short("a line without an end");
    const line = this.data.subarray(this.at, end);
    this.at = end + 1;
    return line;
  }

  /** Reads an integer of `length` bytes in little-endian two's complement. */
  long(length: number): number | bigint {
    if (length > PICKLE_LIMITS.longBytes) {
      this.fail(`an integer of ${length} bytes, the limit is ${PICKLE_LIMITS.longBytes}`);
    }
    const at = this.take(length);
    if (length === 0) return 0;
    let hex = "";
    for (let i = at + length - 1; i >= at; i--) hex += this.data[i]!.toString(16).padStart(2, "0");
    return safeNumber(BigInt.asIntN(8 * length, BigInt(`0x${hex}`)));
  }

  /** Reads an integer as pickle writes it; Python also takes spaces, underscores and other bases, and a zero before it for octal. */
  integerText(text: string): number | bigint {
    if (!/^(?:0|-?[1-9]\d{0,4095})$/.test(text)) this.fail("an integer that is not one");
    return safeNumber(BigInt(text));
  }

  /** Reads the argument of INT, where `01` and `00` are booleans. */
  booleanOrInteger(): boolean | number | bigint {
    const line = this.line();
    return line === "01" ? true : line === "00" ? false : this.integerText(line);
  }

  /** Reads the argument of STRING, a quoted literal of Python's bytes. */
  literal(): string | PyLatin1 {
    const line = this.lineBytes().toString("latin1");
    const quoted = line.length >= 2 && (line[0] === "'" || line[0] === '"') && line.at(-1) === line[0];
    if (!quoted) this.fail("a STRING without quotes");
    const pattern = /\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]?))/g;
    const bytes = line.slice(1, -1).replace(pattern, (whole, hex?: string, octal?: string, char?: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
      if (char === "" || char === "x") this.fail("an escape of STRING that is none");
      return ESCAPES[char!] ?? whole;
    });
    return textOfPython2(Buffer.from(bytes, "latin1"));
  }

  /** Reads the argument of BINSTRING and SHORT_BINSTRING, bytes that Python 2 called text. */
  python2Text(length: number): string | PyLatin1 {
    return textOfPython2(this.bytes(length));
  }

  floatText(text: string): number {
    const special = SPECIAL_FLOAT.exec(text);
    if (special !== null) return special[2] === undefined ? Number(`${special[1]}Infinity`) : Number.NaN;
    const value = FLOAT.test(text) ? Number(text) : Number.NaN;
    // Python refuses a number beyond the largest.
    if (!Number.isFinite(value)) this.fail("a float that is not one");
    return value;
  }

  memoIndex(): number {
    const line = this.line();
    if (!/^\d{1,10}$/.test(line)) this.fail("a memo index that is not a number");
    return Number(line);
  }

  /** Reads the argument of BININT, which is signed. */
  int32(): number {
    return this.view.getInt32(this.take(4), true);
  }

  uint16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  /** Reads the argument of BINFLOAT, which is big-endian. */
  float64(): number {
    return this.view.getFloat64(this.take(8));
  }

  /** Throws `TRUNCATED` and not `PICKLE`, so that a caller who gave only the beginning of a file can come back with more. */
  short(what: string): never {
    throw new VistaError("TRUNCATED", `the pickle ends early: ${what}`, {
      ...this.where(),
      hint: "The file is incomplete: copy it again.",
    });
  }

  fail(what: string): never {
    throw new VistaError("PICKLE", `not a pickle that can be read: ${what}`, {
      ...this.where(),
      hint: "The file is damaged, or was not written by torch.save.",
    });
  }

  private where(): Where {
    return { path: this.path, record: this.record, offset: this.operation };
  }
}

function safeNumber(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)
    ? Number(value)
    : value;
}

/** Two escapes of UNICODE that make the halves of a surrogate pair. */
const ESCAPED_PAIR = /\\(?:u|U0000)d[89ab]..\\(?:u|U0000)d[c-f]/i;
/** Python keeps them as two characters that are none; here they would become the one that they make elsewhere. */
const TWO_HALVES = "the halves of a surrogate pair, one after the other";

const FLOAT = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

const SPECIAL_FLOAT = /^([+-]?)(?:inf|infinity|(nan))$/i;

const ESCAPES: Readonly<Record<string, string>> = {
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

/**
 * Returns text of Python 2 as torch.load reads it, which is UTF-8. What is none may be the numbers of an array of NumPy, which were
 * text to Python 2: it stays bytes, which are the name of nothing.
 */
function textOfPython2(bytes: Uint8Array): string | PyLatin1 {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(bytes) ? buffer.toString("utf8") : new PyLatin1(buffer.toString("latin1"));
}
