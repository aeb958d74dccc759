/**
 * Reads the JSON of a safetensors header from its bytes once, member by member. `JSON.parse` would not do: it keeps the last of
 * two equal names, takes `2.0` for a count, and builds whatever a hostile header asks for.
 */
import { INCOMPLETE, type JsonRules, JsonSyntaxError, skipSpace, skipValue } from "../../core/json/scan.js";

/** The rules of serde_json as safetensors/src/tensor.rs uses it (RFC 8259, at most 128 levels). */
const SERDE: JsonRules = { depth: 128, nonFinite: false, halfPairs: false };

/** The largest number of dimensions of a tensor; torch has at most 64. */
const MAX_COUNTS = 256;

const QUOTE = 0x22;

/** Returns a name as messages show it. */
export function shownName(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

export class JsonScanner {
  #at = 0;

  /** Begins at the first byte. @param bytes  valid UTF-8 */
  constructor(private readonly bytes: Buffer) {}

  /**
   * Reads an object; `member` is called before each value and must read it.
   * @throws JsonSyntaxError where there is none, and for names that come twice
   */
  object(what: string, member: (name: string, at: number) => void): void {
    const seen = new Set<string>();
    this.#items("object", what, () => {
      this.#next();
      const at = this.#at;
      const name = this.string(`a name in ${what}`);
      if (seen.has(name)) throw new JsonSyntaxError(at, `${what} has ${shownName(name)} twice`);
      seen.add(name);
      if (this.#next() !== 0x3a) throw new JsonSyntaxError(this.#at, `no colon after ${shownName(name)}`);
      this.#at++;
      member(name, at);
    });
  }

  /** Reads an array of at most {@link MAX_COUNTS} counts, which are integers from 0 to 2^53. */
  counts(what: string): number[] {
    const values: number[] = [];
    this.#items("array", what, () => {
      if (values.length === MAX_COUNTS)
        throw new JsonSyntaxError(this.#at, `${what} has more than ${MAX_COUNTS} numbers`);
      values.push(this.#count(what));
    });
    // A list that grew has room for 17 numbers, and 100,000 shapes are kept.
    return values.slice();
  }

  string(what: string): string {
    if (this.#next() !== QUOTE) throw new JsonSyntaxError(this.#at, `${what} is not a string`);
    const start = this.#at;
    this.skip();
    const text = this.bytes.toString("utf8", start + 1, this.#at - 1);
    return text.includes("\\") ? (JSON.parse(`"${text}"`) as string) : text;
  }

  /** Tells whether the value is `null`, which is then read. */
  isNull(): boolean {
    this.#next();
    if (this.bytes.toString("latin1", this.#at, this.#at + 4) !== "null") return false;
    this.#at += 4;
    return true;
  }

  /** Reads any value and forgets it. */
  skip(): void {
    this.#next();
    const end = skipValue(this.bytes, this.#at, this.bytes.length, SERDE);
    if (end === INCOMPLETE) throw new JsonSyntaxError(this.#at, "a value without an end");
    this.#at = end;
  }

  /** Checks that only white space follows. */
  end(): void {
    if (this.#next() !== undefined)
      throw new JsonSyntaxError(this.#at, "characters after the header's object");
  }

  #count(what: string): number {
    this.#next();
    const start = this.#at;
    let value = 0;
    let byte = this.bytes[start];
    while (byte !== undefined && byte >= 0x30 && byte <= 0x39 && this.#at - start < 20) {
      value = value * 10 + (byte - 0x30);
      byte = this.bytes[++this.#at];
    }
    const digits = this.#at - start;
    const follows = byte === 0x2e || byte === 0x65 || byte === 0x45 || (byte! >= 0x30 && byte! <= 0x39);
    const leadingZero = digits > 1 && this.bytes[start] === 0x30;
    if (digits === 0 || follows || leadingZero) {
      const shown = this.bytes.toString("latin1", start, start + 24).split(/[,\]}\s]/)[0]!;
      throw new JsonSyntaxError(start, `${what} has ${JSON.stringify(shown)} where a count is needed`);
    }
    if (!Number.isSafeInteger(value)) {
      const shown = this.bytes.toString("latin1", start, this.#at);
      throw new JsonSyntaxError(start, `${what} has ${shown}, which is beyond 2^53: an overflow`);
    }
    return value;
  }

  /** Reads an object or an array; `item` is called before each of its items and must read it. */
  #items(kind: "object" | "array", what: string, item: () => void): void {
    const [open, close] = kind === "object" ? [0x7b, 0x7d] : [0x5b, 0x5d];
    if (this.#next() !== open) throw new JsonSyntaxError(this.#at, `${what} is not an ${kind}`);
    this.#at++;
    let byte = this.#next();
    while (byte !== close) {
      item();
      byte = this.#next();
      if (byte === 0x2c) this.#at++;
      else if (byte !== close) {
        const wanted = String.fromCharCode(close!);
        throw new JsonSyntaxError(this.#at, `no comma and no ${wanted} after a value in ${what}`);
      }
    }
    this.#at++;
  }

  /** Returns the byte after white space; `undefined` at the end. */
  #next(): number | undefined {
    this.#at = skipSpace(this.bytes, this.#at, this.bytes.length);
    return this.bytes[this.#at];
  }
}
