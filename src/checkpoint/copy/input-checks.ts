/**
 * The checks of the CRC-32 of every region that is read. They use the reads that the output needs anyway. Bytes that no tensor
 * covers (padding, gaps) are read for the check alone; a region of which bytes were read twice (overlapping or strided views) is
 * checked by a pass of its own.
 */

import { VistaError } from "../../core/errors.js";
import { combineCrc32, formatCrc32 } from "../../core/io/crc32.js";
import type { Piece, Region } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";

interface Range {
  readonly start: number;
  readonly end: number;
}

/** A read that is made for the check alone. */
export interface CheckRead extends Range {
  readonly region: Region;
}

export interface DoneRead extends Piece {
  /** The CRC-32 of these bytes; `undefined` where it is of no use, as the same bytes may be read again. */
  readonly crc32: number | undefined;
}

interface Run extends Range {
  readonly crc32: number;
}

export class RegionChecks {
  /** What was read of the regions that are not whole yet. One that was read whole is forgotten, since there may be 100,000. */
  readonly #open = new Map<Region, JoinedRuns>();
  #mismatch: VistaError | undefined;

  /** Takes note of a read. They may come in any order. */
  add({ region, start, length, crc32 }: DoneRead): void {
    // torch.serialization.set_crc32_options(False) writes 0 for "not computed"; formats without CRCs give none.
    if (region.crc32 === undefined || region.crc32 === 0) return;
    const read = crc32 === undefined ? undefined : { start, end: start + length, crc32 };
    const whole =
      read !== undefined && isWhole(read, region)
        ? read
        : remember(this.#open, region, () => new JoinedRuns(region)).add(read);
    if (whole === undefined) return;
    if (whole.crc32 !== region.crc32) this.#mismatch ??= mismatchOf(region, whole.crc32);
    this.#open.delete(region);
  }

  /** Ends the reads for the output. @returns what the checks need beside, each of which is to be read and added */
  missing(): CheckRead[] {
    return [...this.#open].flatMap(([region, joined]) => {
      const gaps = joined.gaps();
      if (gaps === undefined) this.#open.set(region, new JoinedRuns(region));
      return (gaps ?? [{ start: 0, end: region.length }]).map((gap) => ({ region, ...gap }));
    });
  }

  /** Compares the regions that were read whole. @throws VistaError `CHECKSUM` for the first whose bytes do not match */
  compare(): void {
    if (this.#mismatch !== undefined) throw this.#mismatch;
  }

  /** Compares all regions, when everything that was {@link missing} is read. @throws VistaError `CHECKSUM` */
  finish(): void {
    this.compare();
    for (const { name } of this.#open.keys()) throw new Error(`the reads of ${name} are not all of it`);
  }
}

function isWhole({ start, end }: Range, region: Region): boolean {
  return start === 0 && end === region.length;
}

/** Runs of reads of one region that come in any order, joined where one ends at another's start. */
class JoinedRuns {
  readonly #byStart = new Map<number, Run>();
  readonly #byEnd = new Map<number, Run>();
  /** Whether some byte is known to have been read twice or without its CRC; overlaps that are not noted here show in the runs. */
  #overlap = false;

  constructor(private readonly region: Region) {}

  /** Adds a read; `undefined` stands for one without its CRC. @returns the run that is all of the region, if there is one */
  add(read: Run | undefined): Run | undefined {
    this.#overlap ||= read === undefined;
    if (this.#overlap || read === undefined || read.start === read.end) return undefined;
    const before = this.#take(this.#byEnd.get(read.start));
    const after = this.#take(this.#byStart.get(read.end));
    const run = joined(joined(before, read), after);
    this.#overlap = this.#byStart.has(run.start) || this.#byEnd.has(run.end);
    this.#byStart.set(run.start, run);
    this.#byEnd.set(run.end, run);
    return this.#byStart.size === 1 && isWhole(run, this.region) ? run : undefined;
  }

  /** Returns what lies between the runs; `undefined` where they overlap. */
  gaps(): Range[] | undefined {
    if (this.#overlap) return undefined;
    const gaps: Range[] = [];
    let at = 0;
    for (const { start, end } of [...this.#byStart.values()].sort((a, b) => a.start - b.start)) {
      if (start < at) return undefined;
      if (start > at) gaps.push({ start: at, end: start });
      at = end;
    }
    if (at < this.region.length) gaps.push({ start: at, end: this.region.length });
    return gaps;
  }

  #take(run: Run | undefined): Run | undefined {
    if (run !== undefined) {
      this.#byStart.delete(run.start);
      this.#byEnd.delete(run.end);
    }
    return run;
  }
}

/** Joins a run with the next one, where there are both. */
function joined(run: Run | undefined, next: Run): Run;
function joined(run: Run, next: Run | undefined): Run;
function joined(run: Run | undefined, next: Run | undefined): Run | undefined {
  if (run === undefined || next === undefined) return run ?? next;
  const crc32 = combineCrc32(run.crc32, next.crc32, next.end - next.start);
  return { start: run.start, end: next.end, crc32 };
}

function mismatchOf(region: Region, found: number): VistaError {
  return region.mismatch?.(found) ?? checksumError(region, found);
}

export function checksumError(region: Region, found: number): VistaError {
  return new VistaError(
    "CHECKSUM",
    `the ${region.length} bytes have CRC-32 ${formatCrc32(found)}, the file says ${formatCrc32(region.crc32 ?? 0)}: they are damaged`,
    {
      path: region.file.path,
      record: region.name,
      offset: region.offset,
      hint: "Copy the file again from where it was saved; --no-verify goes on with the damaged bytes.",
    },
  );
}
