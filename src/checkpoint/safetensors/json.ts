/**
 * The JSON of a safetensors header, read from its bytes by a scanner that goes over them once. `JSON.parse` would not do:
 * it keeps the last of two equal names, takes `2.0` for a count, and builds whatever a hostile header asks for.
 *
 * Source of the rules: serde_json as safetensors/src/tensor.rs uses it (RFC 8259, at most 128 levels, counts are unsigned).
 */

/** What is wrong and where, in bytes from the header's start. The caller adds the file. */
export class JsonError extends Error {
  readonly at: number;
  constructor(what: string, at: number) {
    super(what);
    this.at = at;
  }
}

/** Levels of nesting that serde_json reads. */
const MAX_DEPTH = 128;

/** Dimensions of a tensor; torch has at most 64. */
const MAX_COUNTS = 256;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

export class JsonScanner {
  readonly #bytes: Buffer;
  #at = 0;

  /** @param bytes  valid UTF-8 */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  /**
   * An object: `member` is called before each value and must read it.
   * @throws JsonError where there is none, and for names that come twice
   */
  object(what: string, member: (name: string, at: number) => void): void {
    this.#expect(0x7b, `${what} is not an object`); // {
    const seen = new SeenNames();
    if (this.#next() === 0x7d) {
      this.#at++;
      return;
    }
    for (;;) {
      this.#space();
      const at = this.#at;
      const name = this.string(`a name in ${what}`);
      if (!seen.add(name)) throw new JsonError(`${what} has ${JSON.stringify(shortened(name))} twice`, at);
      this.#expect(0x3a, `no colon after ${JSON.stringify(shortened(name))}`); // :
      member(name, at);
      if (!this.#another(0x7d, what)) return;
    }
  }

  /** An array of at most {@link MAX_COUNTS} counts: integers from 0 to 2^53. */
  counts(what: string): number[] {
    this.#expect(0x5b, `${what} is not an array`); // [
    const values: number[] = [];
    if (this.#next() === 0x5d) {
      this.#at++;
      return values;
    }
    for (;;) {
      if (values.length === MAX_COUNTS)
        throw new JsonError(`${what} has more than ${MAX_COUNTS} numbers`, this.#at);
      values.push(this.#count(what));
      if (!this.#another(0x5d, what)) return values;
    }
  }

  string(what: string): string {
    this.#space();
    const start = this.#at + 1;
    if (this.#bytes[this.#at] !== QUOTE) throw new JsonError(`${what} is not a string`, this.#at);
    let at = start;
    let escaped = false;
    let ascii = true;
    for (; ; at++) {
      const byte = this.#bytes[at];
      if (byte === QUOTE) break;
      if (byte === undefined) throw new JsonError("a string without an end", start - 1);
      if (byte < 0x20) throw new JsonError("a control character inside a string", at);
      if (byte >= 0x80) ascii = false;
      if (byte === BACKSLASH) {
        escaped = true;
        at++;
      }
    }
    this.#at = at + 1;
    if (escaped) return unescapeJson(this.#bytes.toString("utf8", start - 1, at + 1), start - 1);
    return this.#bytes.toString(ascii ? "latin1" : "utf8", start, at);
  }

  /** True where the value is `null`, which is then read. */
  isNull(): boolean {
    this.#space();
    if (this.#bytes.toString("latin1", this.#at, this.#at + 4) !== "null") return false;
    this.#at += 4;
    return true;
  }

  /** Reads any value and forgets it. */
  skip(): void {
    const closers: number[] = [];
    do {
      const byte = this.#next();
      if (byte === 0x7b || byte === 0x5b) {
        if (closers.length >= MAX_DEPTH) throw new JsonError(`nested more than ${MAX_DEPTH} deep`, this.#at);
        this.#at++;
        const close = byte + 2;
        if (this.#next() === close) this.#at++;
        else {
          closers.push(close);
          if (close === 0x7d) this.#memberName();
          continue;
        }
      } else this.#scalar();
      // A value has ended: go on in the container around it, or out of those that end here.
      while (closers.length > 0) {
        if (this.#another(closers.at(-1)!, "a value")) {
          if (closers.at(-1) === 0x7d) this.#memberName();
          break;
        }
        closers.pop();
      }
    } while (closers.length > 0);
  }

  /** Only white space may follow. */
  end(): void {
    if (this.#next() !== undefined) throw new JsonError("characters after the header's object", this.#at);
  }

  #memberName(): void {
    this.string("a name");
    this.#expect(0x3a, "no colon after a name");
  }

  #scalar(): void {
    const byte = this.#next();
    if (byte === QUOTE) {
      this.string("a value");
      return;
    }
    const start = this.#at;
    let at = start;
    while (isWordByte(this.#bytes[at])) at++;
    // A single digit is by far the most common.
    const single = at === start + 1 && byte !== undefined && byte >= 0x30 && byte <= 0x39;
    if (!single && !SCALAR.test(this.#bytes.toString("latin1", start, Math.min(at, start + 1000)))) {
      throw new JsonError("not a JSON value", start);
    }
    this.#at = at;
  }

  #count(what: string): number {
    this.#space();
    const start = this.#at;
    let value = 0;
    let byte = this.#bytes[start];
    while (byte !== undefined && byte >= 0x30 && byte <= 0x39 && this.#at - start < 20) {
      value = value * 10 + (byte - 0x30);
      byte = this.#bytes[++this.#at];
    }
    const digits = this.#at - start;
    const follows = byte === 0x2e || byte === 0x65 || byte === 0x45 || (byte! >= 0x30 && byte! <= 0x39);
    const leadingZero = digits > 1 && this.#bytes[start] === 0x30;
    if (digits === 0 || follows || leadingZero) {
      const shown = this.#bytes.toString("latin1", start, start + 24).split(/[,\]}\s]/)[0]!;
      throw new JsonError(`${what} has ${JSON.stringify(shown)} where a count is needed`, start);
    }
    if (!Number.isSafeInteger(value)) {
      const shown = this.#bytes.toString("latin1", start, this.#at);
      throw new JsonError(`${what} has ${shown}, which is beyond 2^53: an overflow`, start);
    }
    return value;
  }

  /** After an item: true where another one follows, false at the end of the container. */
  #another(close: number, what: string): boolean {
    const byte = this.#next();
    if (byte !== 0x2c && byte !== close) {
      throw new JsonError(`no comma and no ${String.fromCharCode(close)} after a value in ${what}`, this.#at);
    }
    this.#at++;
    return byte === 0x2c;
  }

  #expect(wanted: number, otherwise: string): void {
    if (this.#next() !== wanted) throw new JsonError(otherwise, this.#at);
    this.#at++;
  }

  /** The byte after white space; `undefined` at the end. */
  #next(): number | undefined {
    this.#space();
    return this.#bytes[this.#at];
  }

  #space(): void {
    let byte = this.#bytes[this.#at];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = this.#bytes[++this.#at];
  }
}

const SCALAR = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/;

/** Letters, digits and signs: what numbers and words are made of. */
function isWordByte(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x45 ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x2e
  );
}

/** With the `u` flag only halves without their partner match. */
export const LONE_SURROGATE = /\p{Surrogate}/u;

/** @param quoted  a string with its quotes */
function unescapeJson(quoted: string, at: number): string {
  let text: string;
  try {
    text = JSON.parse(quoted) as string;
  } catch {
    throw new JsonError("a string with an escape that JSON does not have", at);
  }
  if (LONE_SURROGATE.test(text)) throw new JsonError("half of a surrogate pair in a string", at);
  return text;
}

/** The names of one object: an array while they are few, as in nearly every object, then a Set. */
class SeenNames {
  readonly #few: string[] = [];
  #many: Set<string> | undefined;

  /** False where the name was there. */
  add(name: string): boolean {
    if (this.#many !== undefined) {
      if (this.#many.has(name)) return false;
      this.#many.add(name);
      return true;
    }
    if (this.#few.includes(name)) return false;
    this.#few.push(name);
    if (this.#few.length > 8) this.#many = new Set(this.#few);
    return true;
  }
}

/** Names come from files: keep messages short. */
function shortened(name: string): string {
  return name.length > 80 ? `${name.slice(0, 80)}…` : name;
}
