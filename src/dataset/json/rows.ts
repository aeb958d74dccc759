/**
 * A reader of files that are one JSON array. It reads row by row, whatever the size, because V8 cannot hold the larger tables of
 * nuScenes as one string. It is synchronous on purpose: it runs in worker threads, or on files of a few megabytes.
 */
import { closeSync } from "node:fs";
import { fromSystem, VistaError } from "../../core/errors.js";
import { openRegularSync, readIntoSync } from "../../core/io/regular.js";
import { INCOMPLETE, JsonSyntaxError, parseValue, skipSpace, skipValue } from "../../core/json/scan.js";
import { isRecord } from "../../core/maps.js";

const CHUNK = 512 << 10;
const REPORT_EVERY = 8 << 20;
/** The size in bytes above which a row is taken for damage (an unclosed quote); real rows have a few hundred bytes. */
const MAX_ROW = 64 << 20;

export interface RowSink {
  /**
   * Tries to take the row that starts at `at`. It may take only what is valid JSON.
   *
   * @param offset  where the row starts in the file
   * @returns the position after the row, or -1 where it cannot tell (any other layout, or the bytes end): the row is then
   *   validated byte for byte and given to {@link value}
   */
  fast?(bytes: Uint8Array, at: number, end: number, offset: number): number;
  /** Takes a row as `JSON.parse` gives it, which may be any JSON value. @param end  the offset after the row */
  value(value: unknown, offset: number, index: number, end: number): void;
}

export interface RowsResult {
  rows: number;
  /** The size of the file in bytes, or how far it was read where it is not JSON. */
  bytes: number;
  /**
   * The place where the file stops being JSON, and the reason; rows before it have been delivered. It is undefined where all is
   * JSON.
   */
  error?: { offset: number; reason: string };
}

/**
 * Reads the rows of a file.
 *
 * @param onBytes  called now and then with the bytes read so far; may throw to stop
 * @throws the system's error where the file cannot be read
 */
export function readRows(path: string, sink: RowSink, onBytes?: (bytes: number) => void): RowsResult {
  const fd = openRegularSync(path);
  try {
    return new Reader(fd, sink, onBytes).run();
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads the rows of a file, as {@link readRows} does, that is of no use unless it is whole.
 *
 * @param doing  what is tried, for the error: "read the table"
 * @throws VistaError `FORMAT` where it stops being JSON, `NOT_FOUND`, `IO`
 */
export function readWholeRows(
  path: string,
  doing: string,
  sink: RowSink,
  onBytes?: (bytes: number) => void,
): RowsResult {
  try {
    const result = readRows(path, sink, onBytes);
    const { error } = result;
    if (error !== undefined) throw new VistaError("FORMAT", error.reason, { path, offset: error.offset });
    return result;
  } catch (error) {
    throw fromSystem(error, path, doing);
  }
}

/**
 * Reads the rows of a small table that are objects, where the table is of no use unless it is whole.
 *
 * @throws VistaError as {@link readWholeRows} does
 */
export function readRecords(path: string, take: (row: Record<string, unknown>) => void): void {
  readWholeRows(path, "read the table", { value: (row) => void (isRecord(row) && take(row)) });
}

class Reader {
  /** The buffer, which is not filled with zeros because most tables are much smaller. */
  #buffer = new Uint8Array(Buffer.allocUnsafeSlow(CHUNK + 1).buffer);
  /** The number of bytes of the buffer that hold data. */
  #end = 0;
  /** The offset in the file of the buffer's first byte. */
  #base = 0;
  #eof = false;
  #told = 0;
  #rows = 0;

  constructor(
    private readonly fd: number,
    private readonly sink: RowSink,
    private readonly onBytes?: (bytes: number) => void,
  ) {}

  run(): RowsResult {
    try {
      this.#readArray();
      return { rows: this.#rows, bytes: this.#base + this.#end };
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error;
      return {
        rows: this.#rows,
        bytes: this.#base + this.#end,
        error: { offset: this.#base + error.at, reason: error.message },
      };
    }
  }

  #readArray(): void {
    this.#fill(0);
    const buffer = this.#buffer;
    if (this.#end >= 3 && buffer[0] === 0xef && buffer[1] === 0xbb && buffer[2] === 0xbf) {
      throw new JsonSyntaxError(0, "starts with a byte order mark, which Python's json refuses");
    }
    let at = this.#space(0);
    if (at >= this.#end)
      throw new JsonSyntaxError(at, this.#end === 0 ? "the file is empty" : "no JSON in it");
    if (this.#buffer[at] !== 0x5b) {
      // A syntax error, which this throws, says more than a remark about the kind.
      skipValue(this.#buffer, at, this.#end);
      throw new JsonSyntaxError(at, "the file does not start with an array of rows");
    }
    at = this.#space(at + 1);
    if (this.#byte(at) !== 0x5d) {
      at = this.#space(this.#row(at));
      while (this.#byte(at) === 0x2c) at = this.#space(this.#row(this.#space(at + 1)));
      if (this.#byte(at) !== 0x5d) {
        throw new JsonSyntaxError(at, `no "," or "]" after row ${this.#rows - 1}`);
      }
    }
    at = this.#space(at + 1);
    if (at < this.#end) throw new JsonSyntaxError(at, "more text after the end of the array");
  }

  /** Takes one row and returns the position after it (in the buffer as it is then). */
  #row(at: number): number {
    for (;;) {
      const fast = this.sink.fast?.(this.#buffer, at, this.#end, this.#base + at) ?? -1;
      if (fast !== -1) {
        this.#rows++;
        return fast;
      }
      const end = skipValue(this.#buffer, at, this.#end);
      if (end !== INCOMPLETE) {
        const value = parseValue(this.#buffer, at, end);
        this.sink.value(value, this.#base + at, this.#rows, this.#base + end);
        this.#rows++;
        return end;
      }
      if (this.#eof) throw new JsonSyntaxError(this.#end, `the file ends inside row ${this.#rows}`);
      if (this.#end - at > MAX_ROW) {
        throw new JsonSyntaxError(at, `row ${this.#rows} goes on for more than ${MAX_ROW} bytes`);
      }
      at = this.#fill(at);
    }
  }

  /** Skips white space, and reads on as needed. */
  #space(at: number): number {
    for (;;) {
      at = skipSpace(this.#buffer, at, this.#end);
      if (at < this.#end || this.#eof) return at;
      at = this.#fill(at);
    }
  }

  #byte(at: number): number {
    if (at >= this.#end) throw new JsonSyntaxError(this.#end, "the file ends before its array is closed");
    return this.#buffer[at]!;
  }

  /** Moves what is at and after `keep` to the front and fills up the buffer; returns where `keep` is now. */
  #fill(keep: number): number {
    const kept = this.#end - keep;
    if (kept > this.#buffer.length / 2) {
      const larger = new Uint8Array((this.#buffer.length - 1) * 2 + 1);
      larger.set(this.#buffer.subarray(keep, this.#end));
      this.#buffer = larger;
    } else {
      this.#buffer.copyWithin(0, keep, this.#end);
    }
    this.#base += keep;
    this.#end = kept;
    // The last byte stays free, because fast parsers read one byte past the end and find a zero there.
    const room = this.#buffer.subarray(this.#end, -1);
    const got = readIntoSync(this.fd, room, this.#base + this.#end);
    this.#eof = got < room.byteLength;
    this.#end += got;
    this.#buffer[this.#end] = 0;
    if (this.#base + this.#end >= this.#told + REPORT_EVERY || this.#eof) {
      this.#told = this.#base + this.#end;
      this.onBytes?.(this.#told);
    }
    return 0;
  }
}
