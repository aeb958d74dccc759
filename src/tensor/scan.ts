/** Looking at every byte of many ranges, in two threads: checksums, and what is no finite number. */
import { throwIfAborted } from "../errors.js";
import { combineCrc32 } from "../io/crc32.js";
import type { SourceFile } from "../io/source.js";
import type { DType } from "./dtype.js";
import { readError } from "./lane-plan.js";
import { Lanes } from "./lanes.js";
import { WINDOW } from "./parts.js";
import type { NonFinite } from "./stats.js";

/** Ranges that are begun before the first of them is done. */
const AHEAD = 16;
/** Bytes of one range that are asked for at once. */
const BATCH = 8 * WINDOW;

export interface ScanRange {
  readonly file: SourceFile;
  readonly offset: number;
  readonly length: number;
  /** Whether the CRC-32 is wanted. */
  readonly crc: boolean;
  /** What the elements are, where NaN and infinity are to be counted. */
  readonly dtype: DType | undefined;
}

export interface Scanned {
  /** 0 where it was not wanted. */
  readonly crc32: number;
  readonly nonFinite: NonFinite;
}

export interface ScanOptions<Range extends ScanRange> {
  readonly signal: AbortSignal | undefined;
  /** Called for every stretch that has been looked at, with its bytes. */
  readonly onBytes: (bytes: number) => void;
  /** Called in the order of the ranges, for each that could be read. */
  readonly onScanned: (range: Range, scanned: Scanned) => void;
  /** Called in the place of `onScanned` for a range that could not be read. */
  readonly onError: (error: unknown, range: Range) => void;
}

/** @throws VistaError `ABORTED`, and what the callbacks throw */
export async function scanRanges<Range extends ScanRange>(
  ranges: readonly Range[],
  options: ScanOptions<Range>,
): Promise<void> {
  const lanes = new Lanes(ranges.reduce((sum, { length }) => sum + length, 0));
  const ahead: { range: Range; scanned: Promise<{ value: Scanned } | { error: unknown }> }[] = [];
  const takeFirst = async () => {
    const { range, scanned } = ahead.shift()!;
    const outcome = await scanned;
    throwIfAborted(options.signal);
    if ("value" in outcome) options.onScanned(range, outcome.value);
    else options.onError(outcome.error, range);
  };
  try {
    for (const range of ranges) {
      throwIfAborted(options.signal);
      // The outcome as a value: a range that fails before its turn must not be an unhandled rejection.
      const scanned = scan(range, lanes, options).then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      ahead.push({ range, scanned });
      if (ahead.length === AHEAD) await takeFirst();
    }
    while (ahead.length > 0) await takeFirst();
  } finally {
    await Promise.all(ahead.map(({ scanned }) => scanned));
    lanes.close();
  }
}

/** One range, window by window; as many at once as keep the lanes busy. */
async function scan<Range extends ScanRange>(
  range: Range,
  lanes: Lanes,
  { signal, onBytes }: ScanOptions<Range>,
): Promise<Scanned> {
  const { file, offset, length, crc, dtype } = range;
  const nonFinite = { nan: 0, inf: 0 };
  let crc32 = 0;
  const fd = await file.hold();
  try {
    for (let start = 0; start < length && !signal?.aborted; start += BATCH) {
      const windows: number[] = [];
      for (let at = start; at < Math.min(length, start + BATCH); at += WINDOW) windows.push(at);
      // All of them, whatever becomes of one: the file is let go of afterwards.
      const outcomes = await Promise.allSettled(
        windows.map((at) => {
          const bytes = Math.min(WINDOW, length - at);
          const read = { fd, position: offset + at, length: bytes, crc };
          return lanes.run({ kind: "scan", read, dtype }, signal);
        }),
      );
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.status === "rejected") throw outcome.reason;
        const result = outcome.value;
        const bytes = Math.min(WINDOW, length - windows[i]!);
        if (result.failure !== undefined) throw readError(result.failure, file, offset + windows[i]!, bytes);
        if (crc) crc32 = combineCrc32(crc32, result.crcs[0]!, bytes);
        nonFinite.nan += result.nonFinite.nan;
        nonFinite.inf += result.nonFinite.inf;
        onBytes(bytes);
      }
    }
    return { crc32, nonFinite };
  } finally {
    file.release();
  }
}
