/**
 * Rows from the middle of a JSON array that is too large to be read in the time there is. Some of its bytes are read here and
 * there, and the `}, {` between two rows shows where rows begin.
 */
import { closeSync, fstatSync } from "node:fs";
import { openRegularSync, readIntoSync } from "../../core/io/regular.js";
import { INCOMPLETE, JsonSyntaxError, parseValue, skipValue } from "../../core/json/scan.js";
import { mix } from "../sample.js";

/** The number of bytes that are read at one place, which are some rows of an annotation file. */
const WINDOW = 64 << 10;
/** The number of bytes after which a place where no row ends counts as damaged; real rows have a few kB at most. */
const MAX_WINDOW = 1 << 20;
/** The number of bytes that are enough for the end of the array and the white space after it. */
const TAIL = 4 << 10;
const BETWEEN = /\}\s*,\s*\{/g;

interface SampledRows {
  rows: number;
  /** The first place that was found where the file is no JSON, and the reason. */
  error?: { offset: number; reason: string };
}

/**
 * Takes one row from each of `count` equal stretches of the file from byte `from` on, in no particular order.
 *
 * @param seed  the seed of the places within the stretches
 * @param take  gets a row; returns false where it is none of the file's own (an object within one), so that another is looked for
 * @param goOn  asked before each row whether to go on
 */
export function sampleRows(
  path: string,
  from: number,
  count: number,
  seed: number,
  take: (value: unknown, offset: number, end: number) => boolean,
  goOn: () => boolean,
): SampledRows {
  const fd = openRegularSync(path);
  try {
    const { size } = fstatSync(fd);
    const result: SampledRows = { rows: 0 };
    const error = tailError(fd, size);
    if (error !== undefined) result.error = error;
    const taken = new Set<number>();
    for (const stretch of shuffled(count, seed)) {
      if (!goOn()) break;
      const place = from + Math.floor(((stretch + mix(seed, stretch) / 2 ** 32) * (size - from)) / count);
      const row = rowAfter(
        fd,
        place,
        size,
        (value, offset, end) => taken.has(offset) || take(value, offset, end),
      );
      if (typeof row === "number") {
        if (!taken.has(row)) result.rows++;
        taken.add(row);
      } else if (row !== undefined && (result.error === undefined || row.offset < result.error.offset)) {
        result.error = row;
      }
    }
    return result;
  } finally {
    closeSync(fd);
  }
}

/** Returns an error where the file does not end with a bracket, as one that was cut off while it was copied. */
function tailError(fd: number, size: number): SampledRows["error"] {
  const bytes = readAt(fd, Math.max(0, size - TAIL), TAIL);
  const text = bytes.toString("latin1").trimEnd();
  return text.endsWith("]")
    ? undefined
    : { offset: size, reason: "the file ends before its array is closed" };
}

/**
 * Finds the first row that starts after `place` and is taken.
 *
 * @returns its offset; what is wrong where none can be read; undefined where none is taken
 */
function rowAfter(
  fd: number,
  place: number,
  size: number,
  take: (value: unknown, offset: number, end: number) => boolean,
): number | SampledRows["error"] {
  for (let length = WINDOW; ; length *= 4) {
    const bytes = readAt(fd, place, length);
    const isLast = length >= MAX_WINDOW || place + bytes.length >= size;
    const text = bytes.toString("latin1");
    let wrong: SampledRows["error"];
    let read = 0;
    for (const match of text.matchAll(BETWEEN)) {
      const start = match.index + match[0].length - 1;
      try {
        const end = skipValue(bytes, start, bytes.length);
        if (end === INCOMPLETE) break;
        read++;
        if (take(parseValue(bytes, start, end), place + start, place + end)) return place + start;
      } catch (error) {
        if (!(error instanceof JsonSyntaxError)) throw error;
        wrong ??= { offset: place + error.at, reason: error.message };
      }
    }
    if (wrong !== undefined && read === 0) return wrong;
    if (!isLast) continue;
    // No other row begins within the last one.
    if (read > 0 || place + bytes.length >= size) return undefined;
    return { offset: place, reason: `no row begins in the ${bytes.length} bytes from here on` };
  }
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  return buffer.subarray(0, readIntoSync(fd, buffer, position));
}

/**
 * Returns the numbers from 0 to `count` − 1 in an order that depends on the seed, so that what a bound on the time leaves out is
 * spread over the file.
 */
function shuffled(count: number, seed: number): number[] {
  const order = Array.from({ length: count }, (_, i) => ({ i, key: mix(seed + 1, i) }));
  return order.sort((a, b) => a.key - b.key).map(({ i }) => i);
}
