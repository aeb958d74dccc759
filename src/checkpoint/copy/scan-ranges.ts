/** The scan of every byte of many ranges in two threads, for checksums and for numbers that are not finite. */

import { throwIfAborted } from "../../core/errors.js";
import { combineCrc32 } from "../../core/io/crc32.js";
import { mapOrdered } from "../../core/io/map-ordered.js";
import type { SourceFile } from "../../core/io/source.js";
import type { DType } from "../tensor/dtype.js";
import type { NonFinite } from "../tensor/non-finite.js";
import { roundUp } from "./arena.js";
import { JobFiles } from "./job-files.js";
import type { LaneScan } from "./lane.js";
import { readError } from "./lane-plan.js";
import type { Lanes } from "./lanes.js";
import { WINDOW } from "./parts.js";

/** The largest number of bytes of one job, which may be those of several ranges. */
const JOB = 2 * WINDOW;
/** The largest number of ranges in one job. */
const MAX_READS = 256;
/** The largest number of jobs that are begun before the first of them is done. */
const AHEAD = 8;

export interface ScanRange {
  readonly file: SourceFile;
  readonly offset: number;
  readonly length: number;
  /** Whether the CRC-32 is wanted. */
  readonly crc: boolean;
  /** The type of the elements where NaN and infinity are to be counted. */
  readonly dtype: DType | undefined;
}

export interface Scanned {
  /** The CRC-32 of the range; 0 where it was not wanted. */
  readonly crc32: number;
  readonly nonFinite: NonFinite;
}

export interface ScanOptions<Range extends ScanRange> {
  /** The threads that do the work. */
  readonly lanes: Lanes;
  readonly signal: AbortSignal | undefined;
  /** Gets the number of bytes of every stretch that has been looked at. */
  readonly onBytes: (bytes: number) => void;
  /** Gets the result of each range that could be read, in the order of the ranges. */
  readonly onScanned: (range: Range, scanned: Scanned) => void;
  /** Gets the error, in place of `onScanned`, for a range that could not be read. */
  readonly onError: (error: unknown, range: Range) => void;
}

/** Scans the ranges. @throws VistaError `ABORTED`, and what the callbacks throw */
export async function scanRanges<Range extends ScanRange>(
  ranges: readonly Range[],
  options: ScanOptions<Range>,
): Promise<void> {
  const { lanes, signal } = options;
  const results = new Results(options);
  const jobs = mapOrdered(jobsOf(ranges), AHEAD, async (stretches) => {
    throwIfAborted(signal);
    return { stretches, outcomes: await scan(stretches, lanes, signal) };
  });
  for await (const { stretches, outcomes } of jobs) {
    throwIfAborted(signal);
    for (const [i, stretch] of stretches.entries()) results.add(stretch, outcomes[i]!);
  }
}

/** A part of a range, or all of it. */
interface Stretch<Range extends ScanRange> {
  readonly range: Range;
  /** The distance from the start of the range in bytes. */
  readonly at: number;
  readonly length: number;
}

type Outcome = { readonly scanned: Scanned } | { readonly error: unknown };

/** Cuts the ranges into stretches and gathers these into jobs. */
function* jobsOf<Range extends ScanRange>(ranges: readonly Range[]): Generator<readonly Stretch<Range>[]> {
  let stretches: Stretch<Range>[] = [];
  let room = JOB;
  for (const range of ranges) {
    let at = 0;
    do {
      const length = Math.min(range.length - at, room);
      stretches.push({ range, at, length });
      at += length;
      // The room that is left is a multiple of every element's size, so that no element is cut.
      room -= roundUp(length);
      if (room === 0 || stretches.length === MAX_READS) {
        yield stretches;
        stretches = [];
        room = JOB;
      }
    } while (at < range.length);
  }
  if (stretches.length > 0) yield stretches;
}

/**
 * Scans the stretches of one job. It never rejects: an error of a local read is the outcome of its stretch; any other error is
 * the outcome of all stretches of the job that have none yet.
 */
async function scan<Range extends ScanRange>(
  stretches: readonly Stretch<Range>[],
  lanes: Lanes,
  signal: AbortSignal | undefined,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const files = new JobFiles();
  try {
    const reads: LaneScan[] = [];
    for (const { range, at, length } of stretches) {
      const { file, offset, crc, dtype } = range;
      const fd = files.descriptorOf(file) ?? (await files.hold(file));
      const read: LaneScan = { fd, position: offset + at, length, crc, dtype };
      files.note(file, read);
      reads.push(read);
    }
    const received = await files.receive();
    const { crcs, nonFinite, failure } = await lanes.run({ kind: "scan", reads, received }, signal);
    for (const [i, crc32] of crcs.entries()) outcomes.push({ scanned: { crc32, nonFinite: nonFinite[i]! } });
    // A stretch that cannot be read ends the job, so another job goes on behind it.
    if (failure !== undefined) {
      const { file } = stretches[outcomes.length]!.range;
      const { position, length } = reads[outcomes.length]!;
      outcomes.push({ error: readError(failure, file, position, length) });
      outcomes.push(...(await scan(stretches.slice(outcomes.length), lanes, signal)));
    }
  } catch (error) {
    while (outcomes.length < stretches.length) outcomes.push({ error });
  } finally {
    files.release();
  }
  return outcomes;
}

/** The results of ranges, put together again from those of their stretches. */
class Results<Range extends ScanRange> {
  #crc32 = 0;
  readonly #nonFinite = { nan: 0, inf: 0 };
  #failed = false;

  constructor(private readonly options: ScanOptions<Range>) {}

  /** Adds a stretch. They come in the order of the ranges and of their bytes. */
  add({ range, at, length }: Stretch<Range>, outcome: Outcome): void {
    const { onBytes, onError, onScanned } = this.options;
    if (at === 0) {
      this.#crc32 = 0;
      this.#nonFinite.nan = 0;
      this.#nonFinite.inf = 0;
      this.#failed = false;
    }
    if (this.#failed) return;
    if ("error" in outcome) {
      this.#failed = true;
      onError(outcome.error, range);
      return;
    }
    const { crc32, nonFinite } = outcome.scanned;
    if (range.crc) this.#crc32 = at === 0 ? crc32 : combineCrc32(this.#crc32, crc32, length);
    this.#nonFinite.nan += nonFinite.nan;
    this.#nonFinite.inf += nonFinite.inf;
    onBytes(length);
    if (at + length === range.length)
      onScanned(range, { crc32: this.#crc32, nonFinite: { ...this.#nonFinite } });
  }
}
