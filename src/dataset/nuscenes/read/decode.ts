/**
 * A decoder of the rows of a large table, from JSON bytes to numbers. Rows in the layout of the row before are read by a parser
 * that knows which key comes next. It gives up on anything else (another order of keys, escapes, letters outside ASCII, a fault),
 * and such a row is validated, parsed by `JSON.parse` and checked field by field.
 */

import { skipSpace } from "../../../core/json/scan.js";
import { isRecord } from "../../../core/maps.js";
import type { RowSink } from "../../json/rows.js";
import { fastVector, sameAt, stringEnd } from "./fast-json.js";
import { describeProblem, kindOf } from "./field-types.js";
import { type FieldName, type FieldType, SCHEMA, type TableName } from "./schema.js";
import type { RowProblem } from "./table-state.js";
import { readHexToken, readToken, viewOf } from "./tokens.js";

/** The states of a field of the current row. */
export const FIELD = { ok: 0, empty: 1, bad: 2 } as const;

const TRUE = Buffer.from("true");
const FALSE = Buffer.from("false");

interface DecoderEvents {
  /** Called when the decoder holds one more row. */
  row(offset: number): void;
  /** Called for a row that is no object, which the decoder does not hold. */
  noRow(problem: RowProblem): void;
  /** Called when a field of a row is not what the schema says. */
  problem(problem: RowProblem): void;
}

export class RowDecoder<Table extends TableName = TableName> implements RowSink {
  /** The place of each field in the arrays, by its name. */
  readonly fields: Readonly<Record<FieldName<Table>, number>>;
  /** The names of the fields; the other arrays follow this order. */
  readonly names: readonly string[];
  /** The {@link FIELD} of each field. */
  readonly state: Uint8Array;
  /** The fields of type token and link, with four words each. */
  readonly words: Uint32Array;
  /** The fields of type int and bool; NaN where they are bad. */
  readonly numbers: Float64Array;
  /** The starts of the fields of type token, link and string in {@link bytes}; `to` holds their ends. */
  readonly from: Int32Array;
  readonly to: Int32Array;
  bytes: Uint8Array = new Uint8Array(0);
  /** The starts and the ends of the entries in the table's field of type tokens, as pairs. */
  readonly list: number[] = [];

  readonly #types: readonly FieldType[];
  readonly #keys: readonly Uint8Array[];
  /** The order in which the fields come. */
  #order: number[];
  #text = Buffer.alloc(4096);
  #index = 0;
  /**
   * The bytes that stood between the values of the row before (white space, comma, key, colon), by place in {@link #order}; those
   * at the end of the row come last. They have been parsed once, so where the same bytes come again, they mean the same.
   */
  #between: DataView[] = [];
  #betweenLength: number[] = [];

  constructor(
    table: Table,
    private readonly events: DecoderEvents,
  ) {
    const fields = SCHEMA[table].fields;
    this.names = Object.keys(fields);
    this.fields = Object.fromEntries(this.names.map((name, i) => [name, i])) as typeof this.fields;
    this.#types = Object.values(fields);
    this.#keys = this.names.map((name) => Buffer.from(`"${name}"`));
    this.#order = this.names.map((_, i) => i);
    const count = this.names.length;
    this.state = new Uint8Array(count);
    this.words = new Uint32Array(count * 4);
    this.numbers = new Float64Array(count);
    this.from = new Int32Array(count);
    this.to = new Int32Array(count);
  }

  /** Returns the string of a field or list entry, from its range. */
  text(from: number, to: number): string {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, to - from).toString("utf8");
  }

  fast(bytes: Uint8Array, at: number, end: number, offset: number): number {
    const view = viewOf(bytes);
    const order = this.#order;
    const last = order.length;
    for (let i = 0; i <= last; i++) {
      const length = this.#betweenLength[i];
      if (length !== undefined && at + length <= end && sameAt(view, at, this.#between[i]!, length))
        at += length;
      else {
        const after = this.#parseBetween(bytes, at, end, i);
        if (after === -1) return -1;
        this.#between[i] = new DataView(bytes.slice(at, after).buffer);
        this.#betweenLength[i] = after - at;
        at = after;
      }
      if (i === last) break;
      at = this.#fastValue(bytes, view, at, end, order[i]!);
      if (at === -1) return -1;
    }
    this.bytes = bytes;
    this.#index++;
    this.events.row(offset);
    return at;
  }

  /** Returns the position after what stands before value `i`, or after the row's end; -1 where that is not what was expected. */
  #parseBetween(bytes: Uint8Array, at: number, end: number, i: number): number {
    if (i > 0) at = skipSpace(bytes, at, end);
    const last = i === this.#order.length;
    if (bytes[at] !== (i === 0 ? 0x7b : last ? 0x7d : 0x2c)) return -1;
    if (last) return at < end ? at + 1 : -1;
    at = skipSpace(bytes, at + 1, end);
    const key = this.#keys[this.#order[i]!]!;
    for (let k = 0; k < key.length; k++) if (bytes[at + k] !== key[k]) return -1;
    at = skipSpace(bytes, at + key.length, end);
    if (bytes[at] !== 0x3a) return -1;
    at = skipSpace(bytes, at + 1, end);
    return at < end ? at : -1;
  }

  #fastValue(bytes: Uint8Array, view: DataView, at: number, end: number, field: number): number {
    switch (this.#types[field]) {
      case "token":
      case "link":
      case "string":
        return this.#fastText(bytes, view, at, end, field);
      case "int":
        return this.#fastInt(bytes, at, field);
      case "bool": {
        const yes = bytes[at] === 0x74;
        const word = yes ? TRUE : FALSE;
        for (let k = 0; k < word.length; k++) if (bytes[at + k] !== word[k]) return -1;
        this.numbers[field] = yes ? 1 : 0;
        this.state[field] = FIELD.ok;
        return at + word.length;
      }
      case "vector3":
        this.state[field] = FIELD.ok;
        return fastVector(bytes, at, end, 3);
      case "rotation":
        return this.#fastRotation(bytes, at, end, field);
      case "tokens":
        return this.#fastTokens(bytes, at, end, field);
      default:
        return -1;
    }
  }

  #fastText(bytes: Uint8Array, view: DataView, at: number, end: number, field: number): number {
    const type = this.#types[field];
    this.from[field] = at + 1;
    this.state[field] = FIELD.ok;
    // The first way is for 32 hexadecimal digits between quotes, which all official tokens are.
    if (
      type !== "string" &&
      at + 34 <= end &&
      bytes[at] === 0x22 &&
      bytes[at + 33] === 0x22 &&
      readHexToken(view, at + 1, this.words, field * 4)
    ) {
      this.to[field] = at + 33;
      return at + 34;
    }
    const after = stringEnd(bytes, at);
    if (after === -1) return -1;
    this.to[field] = after - 1;
    if (type === "string") return after;
    if (after > at + 2) readToken(bytes, at + 1, after - 1, this.words, field * 4);
    else if (type === "token") return -1;
    else this.state[field] = FIELD.empty;
    return after;
  }

  #fastRotation(bytes: Uint8Array, at: number, end: number, field: number): number {
    const after = fastVector(bytes, at, end, 4);
    // A rotation of zeros, which is none, has no other digit.
    for (let i = at; i < after; i++) {
      if (bytes[i]! < 0x31 || bytes[i]! > 0x39) continue;
      this.state[field] = FIELD.ok;
      return after;
    }
    return -1;
  }

  /** Reads an integer of at most 16 digits: this is enough for every timestamp in µs, and exact as a double. */
  #fastInt(bytes: Uint8Array, at: number, field: number): number {
    const negative = bytes[at] === 0x2d;
    if (negative) at++;
    const start = at;
    let value = 0;
    for (let digit = bytes[at]! - 0x30; digit >= 0 && digit <= 9; digit = bytes[++at]! - 0x30) {
      value = value * 10 + digit;
    }
    const digits = at - start;
    if (digits === 0 || digits > 16 || (bytes[start] === 0x30 && digits > 1)) return -1;
    if (value > Number.MAX_SAFE_INTEGER) return -1;
    const next = bytes[at]!;
    // A fraction or an exponent is left to JSON.parse. A zero byte means that the bytes end here, and that more digits may
    // follow.
    if (next === 0x2e || next === 0x65 || next === 0x45 || next === 0) return -1;
    this.numbers[field] = negative ? -value : value;
    this.state[field] = FIELD.ok;
    return at;
  }

  #fastTokens(bytes: Uint8Array, at: number, end: number, field: number): number {
    if (bytes[at] !== 0x5b) return -1;
    this.list.length = 0;
    this.state[field] = FIELD.ok;
    at = skipSpace(bytes, at + 1, end);
    if (bytes[at] === 0x5d) return at + 1;
    for (;;) {
      const after = stringEnd(bytes, at);
      if (after === -1 || after === at + 2) return -1;
      this.list.push(at + 1, after - 1);
      at = skipSpace(bytes, after, end);
      if (bytes[at] === 0x5d) return at + 1;
      if (bytes[at] !== 0x2c) return -1;
      at = skipSpace(bytes, at + 1, end);
    }
  }

  value(value: unknown, offset: number): void {
    const index = this.#index++;
    if (!isRecord(value)) {
      const message = `the row is ${kindOf(value)}, not an object`;
      this.events.noRow({ message, offset, index, token: undefined });
      return;
    }
    const token = typeof value.token === "string" ? value.token : undefined;
    for (let field = 0, used = 0; field < this.names.length; field++) {
      const type = this.#types[field]!;
      const given = value[this.names[field]!];
      const message = describeProblem(this.names[field]!, type, given);
      this.state[field] = message === undefined ? FIELD.ok : FIELD.bad;
      if (message !== undefined) {
        this.numbers[field] = Number.NaN;
        this.from[field] = 0;
        this.to[field] = 0;
        if (type === "tokens") this.list.length = 0;
        this.events.problem({ message, offset, index, token });
      } else if (typeof given === "string") {
        const after = this.#write(given, used);
        this.from[field] = used;
        this.to[field] = after;
        if (given === "") this.state[field] = type === "string" ? FIELD.ok : FIELD.empty;
        else if (type !== "string") readToken(this.#text, used, after, this.words, field * 4);
        used = after;
      } else if (type === "int" || type === "bool") {
        this.numbers[field] = Number(given);
      } else if (type === "tokens") {
        this.list.length = 0;
        for (const entry of given as string[]) {
          const after = this.#write(entry, used);
          this.list.push(used, after);
          used = after;
        }
      }
    }
    this.bytes = this.#text;
    this.#learn(Object.keys(value));
    this.events.row(offset);
  }

  /** Puts a string into the scratch buffer at `at`; the buffer may be a larger one afterwards. */
  #write(text: string, at: number): number {
    const needed = at + Buffer.byteLength(text);
    if (needed > this.#text.length) {
      const larger = Buffer.alloc(needed * 2);
      this.#text.copy(larger);
      this.#text = larger;
    }
    this.#text.write(text, at, "utf8");
    return needed;
  }

  /** Takes the key order of this row for the next ones, if it has just the fields of the schema. */
  #learn(keys: readonly string[]): void {
    if (keys.length !== this.names.length) return;
    const order = keys.map((key) => this.names.indexOf(key));
    if (order.includes(-1) || order.every((field, i) => field === this.#order[i])) return;
    this.#order = order;
    this.#between = [];
    this.#betweenLength = [];
  }
}
