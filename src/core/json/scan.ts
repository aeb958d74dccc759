/**
 * A strict JSON validator over bytes: it says where a value ends, or at which byte the text stops being JSON. It builds no
 * values: callers that want one hand the validated range to {@link parseValue}.
 */
import { isUtf8 } from "node:buffer";
import { LONE_SURROGATE } from "../text.js";

/** The result for a value that goes on past the end of the bytes at hand. */
export const INCOMPLETE = -1;

/** The points on which readers of JSON do not agree. */
export interface JsonRules {
  /** The deepest nesting of objects and arrays. */
  readonly depth: number;
  /** Whether `NaN` and `Infinity` are numbers. */
  readonly nonFinite: boolean;
  /** Whether an escape in a string may be one half of a surrogate pair. */
  readonly halfPairs: boolean;
}

/**
 * The rules of Python's `json`, which every reader of the data sets uses. Python's own limit of depth is near 1,000; no real
 * table nests deeper than 4.
 */
const PYTHON: JsonRules = { depth: 500, nonFinite: true, halfPairs: true };

/** The error that says where and why bytes are not JSON. `at` is a position in the array that was scanned, not in the file. */
export class JsonSyntaxError extends Error {
  constructor(
    readonly at: number,
    reason: string,
  ) {
    super(reason);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Returns the first position at or after `at` that is not JSON white space; it may be `end`. */
export function skipSpace(bytes: Uint8Array, at: number, end: number): number {
  while (at < end) {
    const byte = bytes[at]!;
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    at++;
  }
  return at;
}

/**
 * Skips one value.
 *
 * @returns the position after the value that starts at `at` (no white space before it), or {@link INCOMPLETE} where the
 *   bytes end first. A number that touches `end` counts as incomplete: its next digit may follow.
 * @throws JsonSyntaxError
 */
export function skipValue(
  bytes: Uint8Array,
  at: number,
  end: number,
  rules: JsonRules = PYTHON,
  depth = 0,
): number {
  if (at >= end) return INCOMPLETE;
  const byte = bytes[at]!;
  switch (byte) {
    case QUOTE:
      return skipString(bytes, at, end, rules);
    case 0x7b:
    case 0x5b:
      if (depth >= rules.depth) throw new JsonSyntaxError(at, `nested more than ${rules.depth} deep`);
      return skipMembers(bytes, at, end, rules, depth + 1);
    case 0x74:
      return skipWord(bytes, at, end, "true");
    case 0x66:
      return skipWord(bytes, at, end, "false");
    case 0x6e:
      return skipWord(bytes, at, end, "null");
    default:
      if (byte === 0x2d || isDigit(byte)) return skipNumber(bytes, at, end, rules);
      if (byte === 0x4e && rules.nonFinite) return skipWord(bytes, at, end, "NaN");
      if (byte === 0x49 && rules.nonFinite) return skipWord(bytes, at, end, "Infinity");
      throw unexpected(bytes, at, "a value should start");
  }
}

/** Skips an object or an array; `bytes[at]` is its opening bracket. */
function skipMembers(bytes: Uint8Array, at: number, end: number, rules: JsonRules, depth: number): number {
  const isObject = bytes[at] === 0x7b;
  const close = isObject ? 0x7d : 0x5d;
  at = skipSpace(bytes, at + 1, end);
  if (at >= end) return INCOMPLETE;
  if (bytes[at] === close) return at + 1;
  for (;;) {
    if (isObject) {
      if (bytes[at] !== QUOTE) throw unexpected(bytes, at, "a quoted key should start");
      at = skipString(bytes, at, end, rules);
      if (at === INCOMPLETE) return INCOMPLETE;
      at = skipSpace(bytes, at, end);
      if (at >= end) return INCOMPLETE;
      if (bytes[at] !== 0x3a) throw unexpected(bytes, at, '":" should be');
      at = skipSpace(bytes, at + 1, end);
    }
    at = skipValue(bytes, at, end, rules, depth);
    if (at === INCOMPLETE) return INCOMPLETE;
    at = skipSpace(bytes, at, end);
    if (at >= end) return INCOMPLETE;
    if (bytes[at] === close) return at + 1;
    if (bytes[at] !== 0x2c) throw unexpected(bytes, at, `"," or "${isObject ? "}" : "]"}" should be`);
    at = skipSpace(bytes, at + 1, end);
    if (at >= end) return INCOMPLETE;
  }
}

function skipString(bytes: Uint8Array, start: number, end: number, rules: JsonRules): number {
  let ascii = true;
  let escaped = false;
  let at = start + 1;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      if (!ascii && !isUtf8(bytes.subarray(start, at))) {
        throw new JsonSyntaxError(start, "a string that is not UTF-8");
      }
      if (escaped && !rules.halfPairs && LONE_SURROGATE.test(parseValue(bytes, start, at + 1) as string)) {
        throw new JsonSyntaxError(start, "half of a surrogate pair in a string");
      }
      return at + 1;
    }
    if (byte === BACKSLASH) {
      const after = skipEscape(bytes, at, end);
      if (after === INCOMPLETE) return INCOMPLETE;
      at = after - 1;
      escaped = true;
    } else if (byte < 0x20) {
      throw new JsonSyntaxError(at, `${show(byte)} inside a string`);
    } else if (byte > 0x7f) {
      ascii = false;
    }
  }
  return INCOMPLETE;
}

function skipEscape(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return INCOMPLETE;
  const kind = bytes[at + 1]!;
  if (kind !== 0x75) {
    if (!'"\\/bfnrt'.includes(String.fromCharCode(kind))) {
      throw new JsonSyntaxError(at, `unknown escape \\${show(kind).replaceAll('"', "")}`);
    }
    return at + 2;
  }
  for (let i = at + 2; i < at + 6; i++) {
    if (i >= end) return INCOMPLETE;
    if (!isHex(bytes[i]!)) throw new JsonSyntaxError(at, "\\u without four hexadecimal digits");
  }
  return at + 6;
}

function skipWord(bytes: Uint8Array, at: number, end: number, word: string): number {
  for (let i = 0; i < word.length; i++) {
    if (at + i >= end) return INCOMPLETE;
    if (bytes[at + i] !== word.charCodeAt(i)) throw unexpected(bytes, at, "a value should start");
  }
  return at + word.length;
}

function skipNumber(bytes: Uint8Array, start: number, end: number, rules: JsonRules): number {
  let at = start;
  if (bytes[at] === 0x2d) {
    at++;
    if (at >= end) return INCOMPLETE;
    if (bytes[at] === 0x49 && rules.nonFinite) return skipWord(bytes, at, end, "Infinity");
  }
  if (!isDigit(bytes[at]!)) throw new JsonSyntaxError(start, "a minus sign without a number");
  if (bytes[at] === 0x30 && at + 1 < end && isDigit(bytes[at + 1]!)) {
    throw new JsonSyntaxError(start, "a number with a leading zero");
  }
  while (at < end && isDigit(bytes[at]!)) at++;
  if (at < end && bytes[at] === 0x2e) {
    at++;
    if (at >= end) return INCOMPLETE;
    if (!isDigit(bytes[at]!)) throw new JsonSyntaxError(start, "a number without digits after its point");
    while (at < end && isDigit(bytes[at]!)) at++;
  }
  if (at < end && (bytes[at] === 0x65 || bytes[at] === 0x45)) {
    at++;
    if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++;
    if (at >= end) return INCOMPLETE;
    if (!isDigit(bytes[at]!)) throw new JsonSyntaxError(start, "a number without digits in its exponent");
    while (at < end && isDigit(bytes[at]!)) at++;
  }
  return at >= end ? INCOMPLETE : at;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isHex(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}

function unexpected(bytes: Uint8Array, at: number, where: string): JsonSyntaxError {
  return new JsonSyntaxError(at, `unexpected ${show(bytes[at]!)} where ${where}`);
}

/** Returns a byte as a person would name it. */
function show(byte: number): string {
  if (byte === QUOTE) return "a quote";
  if (byte > 0x20 && byte < 0x7f) return `"${String.fromCharCode(byte)}"`;
  return `byte 0x${byte.toString(16).padStart(2, "0")}`;
}

/**
 * Returns the value of a range that {@link skipValue} has accepted. `NaN` and infinities, which `JSON.parse` refuses, become
 * `null`, so that a reader that wants a number finds none.
 */
export function parseValue(bytes: Uint8Array, from: number, to: number): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("utf8");
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(
      text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (match) => (match.startsWith('"') ? match : "null")),
    );
  }
}

/** Parses bytes that must be one value and nothing else. @throws JsonSyntaxError */
export function parseWhole(bytes: Uint8Array): unknown {
  const start = skipSpace(bytes, 0, bytes.length);
  const end = skipValue(bytes, start, bytes.length);
  if (end === INCOMPLETE) throw new JsonSyntaxError(bytes.length, "the file ends before its JSON does");
  const after = skipSpace(bytes, end, bytes.length);
  if (after < bytes.length) throw new JsonSyntaxError(after, "more text after the JSON");
  return parseValue(bytes, start, end);
}
