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
    this.#compare(
      region,
      read !== undefined && isWhole(read, region)
        ? read
        : remember(this.#open, region, () => new JoinedRuns(region)).add(read),
    );
  }

  /** Compares a region that was read whole, and forgets it. */
  #compare(region: Region, whole: Run | undefined): void {
    if (whole === undefined) return;
    if (whole.crc32 !== region.crc32) this.#mismatch ??= mismatchOf(region, whole.crc32);
    this.#open.delete(region);
  }

  /** Ends the reads for the output. @returns what the checks need beside, each of which is to be read and added */
  missing(): Piece[] {
    return [...this.#open].flatMap(([region, joined]) => {
      const gaps = joined.gaps();
      this.#compare(region, joined.whole);
      if (gaps === undefined) this.#open.set(region, new JoinedRuns(region));
      const ranges = gaps ?? [{ start: 0, end: region.length }];
      return ranges.map(({ start, end }) => ({ region, start, length: end - start }));
    });
  }

  /** Compares the regions that were read whole. @throws VistaError `CHECKSUM` for the first whose bytes do not match */
  compare(): void {
    if (this.#mismatch !== undefined) throw this.#mismatch;
  }

  /** Compares all regions, when everything that was {@link missing} is read. @throws VistaError `CHECKSUM` */
  finish(): void {
    const [missing] = this.missing();
    if (missing !== undefined) throw new Error(`the reads of ${missing.region.name} are not all of it`);
    this.compare();
  }
}

function isWhole({ start, end }: Range, region: Region): boolean {
  return start === 0 && end === region.length;
}

type GrowingRun = { -readonly [Key in keyof Run]: Run[Key] };

/** The number of runs up to which they are not joined. */
const FEW = 64;

/** Runs of reads of one region that come in any order, joined where one ends at another's start. */
class JoinedRuns {
  #runs: GrowingRun[] = [];
  /** The number of runs at which they are joined next: twice what was left. */
  #limit = FEW;
  /** Whether some byte was read twice or without its CRC, as far as that is known. */
  #overlap = false;

  constructor(private readonly region: Region) {}

  /** The run that is all of the region, where it is the only one. */
  get whole(): Run | undefined {
    const [run] = this.#runs;
    return this.#runs.length === 1 && !this.#overlap && isWhole(run!, this.region) ? run : undefined;
  }

  /** Adds a read; `undefined` stands for one without its CRC. @returns {@link whole} */
  add(read: Run | undefined): Run | undefined {
    this.#overlap ||= read === undefined;
    if (this.#overlap || read === undefined) return undefined;
    // Nearly all reads follow one another.
    if (!extend(this.#runs.at(-1), read)) this.#runs.push({ ...read });
    if (this.#runs.length > this.#limit) this.#join();
    return this.whole;
  }

  #join(): void {
    const joined: GrowingRun[] = [];
    for (const run of this.#runs.sort((a, b) => a.start - b.start || a.end - b.end)) {
      const last = joined.at(-1);
      this.#overlap ||= last !== undefined && run.start < last.end;
      if (!extend(last, run)) joined.push(run);
    }
    this.#runs = joined;
    this.#limit = Math.max(FEW, 2 * joined.length);
  }

  /** Returns what lies between the runs; `undefined` where they overlap. */
  gaps(): Range[] | undefined {
    this.#join();
    if (this.#overlap) return undefined;
    const gaps: Range[] = [];
    let at = 0;
    for (const { start, end } of this.#runs) {
      if (start > at) gaps.push({ start: at, end: start });
      at = end;
    }
    if (at < this.region.length) gaps.push({ start: at, end: this.region.length });
    return gaps;
  }
}

/** Makes a run longer by one that begins where it ends. @returns whether it does */
function extend(run: GrowingRun | undefined, next: Run): boolean {
  if (run?.end !== next.start) return false;
  run.crc32 = combineCrc32(run.crc32, next.crc32, next.end - next.start);
  run.end = next.end;
  return true;
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
