/**
 * The checks of the CRC-32 of every region that a plan touches. They use the reads that the plan makes anyway. Bytes that no
 * tensor covers (padding, gaps) are read for the check alone; a region of which bytes may be read twice (overlapping or strided
 * views) is checked by a pass of its own.
 */

import { VistaError } from "../../core/errors.js";
import { combineCrc32, formatCrc32 } from "../../core/io/crc32.js";
import type { Piece, Region } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";
import { sum } from "../../core/sum.js";
import type { Tensor } from "../tensor/tensor.js";
import { dependencyOrder } from "./computed.js";

interface Range {
  readonly start: number;
  readonly end: number;
}

/** A read that is made for the check alone. */
export interface CheckRead extends Range {
  readonly region: Region;
}

export interface DoneRead extends Piece {
  /** The CRC-32 of these bytes; `undefined` where nobody asked for it. */
  readonly crc32: number | undefined;
}

interface Run extends Range {
  readonly crc32: number;
}

export class RegionChecks {
  /** The runs of reads by region. There may be 100,000 regions and nearly all have one run, so only the others have a list. */
  readonly #runs = new Map<Region, Run | Run[] | undefined>();
  /** The reads that the checks need and reading the tensors does not make. */
  readonly extra: CheckRead[] = [];
  /** The regions whose reads for tensors do not count, since an extra pass covers them whole. */
  readonly #whole = new Set<Region>();
  /** The runs of regions that are first heard of when they are read; a region that was read whole is compared and forgotten. */
  #late: Map<Region, JoinedRuns> | undefined;
  #mismatch: VistaError | undefined;

  /**
   * @param tensors  all tensors that will be read, each once
   * @throws VistaError `FORMAT` where one depends on itself
   */
  constructor(tensors: Iterable<Tensor>) {
    const ranges: Ranges = new Map();
    for (const tensor of tensors) this.#collect(tensor, ranges);
    for (const [region, used] of ranges) {
      // torch.serialization.set_crc32_options(False) writes 0 for "not computed"; formats without CRCs give none.
      if (region.crc32 === undefined || region.crc32 === 0) continue;
      this.#runs.set(region, undefined);
      const gaps = this.#whole.has(region) ? undefined : gapsBetween([used].flat(), region.length);
      if (gaps === undefined) {
        this.#whole.add(region);
        this.extra.push({ region, start: 0, end: region.length });
      } else for (const gap of gaps) this.extra.push({ region, ...gap });
    }
  }

  /** Checks from now on also reads of regions that no tensor of the constructor has, in whatever order they come. */
  expectMore(): void {
    this.#late = new Map();
  }

  /** Ends the reads for the output and adds to {@link extra} what the regions of {@link expectMore} lack. */
  endReads(): void {
    for (const [region, joined] of this.#late ?? []) {
      const runs = joined.all();
      const gaps = joined.overlap ? undefined : gapsBetween(runs, region.length);
      this.#runs.set(region, gaps === undefined ? undefined : runs);
      if (gaps === undefined) this.extra.push({ region, start: 0, end: region.length });
      else for (const gap of gaps) this.extra.push({ region, ...gap });
    }
    this.#late = undefined;
  }

  #addLate(late: Map<Region, JoinedRuns>, { region, start, length, crc32 }: DoneRead): void {
    if (region.crc32 === undefined || region.crc32 === 0) return;
    const joined = remember(late, region, () => new JoinedRuns());
    if (crc32 === undefined) joined.overlap = true;
    else joined.add({ start, end: start + length, crc32 });
    const whole = joined.whole(region.length);
    if (whole === undefined) return;
    if (whole.crc32 !== region.crc32) this.#mismatch ??= mismatchOf(region, whole.crc32);
    late.delete(region);
  }

  /** Notes the ranges that reading a tensor reads, as often as it reads them. */
  #collect(tensor: Tensor, ranges: Ranges): void {
    const { source } = withoutCasts(tensor);
    if (source.kind === "strided") {
      this.#whole.add(source.region);
      if (!ranges.has(source.region)) ranges.set(source.region, []);
    } else if (source.kind === "pieces") {
      for (const { region, start, length } of source.pieces) addRange(ranges, region, start, length);
    } else if (source.kind === "boxes") {
      for (const { region } of source.boxes) addRange(ranges, region, 0, region.length);
    } else {
      for (const each of dependencyOrder([tensor])) {
        if (each.source.kind !== "computed") continue;
        for (const input of each.source.inputs)
          if (withoutCasts(input).source.kind !== "computed") this.#collect(input, ranges);
      }
    }
  }

  /** The number of bytes that are read for the checks alone. */
  get extraBytes(): number {
    return sum(this.extra, (read) => read.end - read.start);
  }

  /** Takes note of a read that was made for the output. */
  addRead(read: DoneRead): void {
    const { region, start, length, crc32 } = read;
    if (this.#late !== undefined && !this.#runs.has(region)) this.#addLate(this.#late, read);
    else if (crc32 !== undefined && !this.#whole.has(region)) this.#add(region, start, length, crc32);
  }

  /** Takes note of one of the {@link extra} reads, or of a part of it. */
  addExtra(region: Region, start: number, length: number, crc32: number): void {
    this.#add(region, start, length, crc32);
  }

  #add(region: Region, start: number, length: number, crc32: number): void {
    if (!this.#runs.has(region)) return;
    const runs = this.#runs.get(region);
    const last = Array.isArray(runs) ? runs.at(-1) : runs;
    const end = start + length;
    // Nearly all reads follow one another, so one run grows where millions would be kept.
    const run =
      last?.end === start
        ? { start: last.start, end, crc32: combineCrc32(last.crc32, crc32, length) }
        : { start, end, crc32 };
    // A region that is whole and right is done with and forgotten, since there may be 100,000.
    if (run.start === 0 && run.end === region.length && run.crc32 === region.crc32) this.#runs.delete(region);
    else if (Array.isArray(runs)) runs.splice(runs.length - (last?.end === start ? 1 : 0), 1, run);
    else this.#runs.set(region, last === undefined || last.end === start ? run : [last, run]);
  }

  /** Compares what was read. @throws VistaError `CHECKSUM` for the first region whose bytes do not match */
  finish(): void {
    if (this.#mismatch !== undefined) throw this.#mismatch;
    for (const [region, found] of this.#runs) {
      const runs = found === undefined ? [] : [found].flat();
      runs.sort((a, b) => a.start - b.start || a.end - b.end);
      let crc = 0;
      let at = 0;
      for (const run of runs) {
        if (run.start !== at) throw new Error(`reads of ${region.name} do not join at byte ${at}`);
        crc = combineCrc32(crc, run.crc32, run.end - run.start);
        at = run.end;
      }
      if (at !== region.length)
        throw new Error(`reads of ${region.name} end at byte ${at} of ${region.length}`);
      if (crc !== region.crc32) throw mismatchOf(region, crc);
    }
  }
}

/** Runs of reads that come in any order, joined where one ends at another's start. */
class JoinedRuns {
  readonly #byStart = new Map<number, Run>();
  readonly #byEnd = new Map<number, Run>();
  /** Whether some byte is known to have been read twice or without its CRC; overlaps that are not noted here show in the runs. */
  overlap = false;

  add(read: Run): void {
    if (read.start === read.end) return;
    const run = this.#join(
      this.#take(this.#byEnd.get(read.start)),
      read,
      this.#take(this.#byStart.get(read.end)),
    );
    this.overlap ||= this.#byStart.has(run.start) || this.#byEnd.has(run.end);
    this.#byStart.set(run.start, run);
    this.#byEnd.set(run.end, run);
  }

  /** Returns the run that is all of a region, if there is one. */
  whole(length: number): Run | undefined {
    const run = this.#byStart.size === 1 && !this.overlap ? this.#byStart.get(0) : undefined;
    return run?.end === length ? run : undefined;
  }

  all(): Run[] {
    return [...this.#byStart.values()];
  }

  #take(run: Run | undefined): Run | undefined {
    if (run !== undefined) {
      this.#byStart.delete(run.start);
      this.#byEnd.delete(run.end);
    }
    return run;
  }

  #join(...runs: (Run | undefined)[]): Run {
    const there = runs.filter((run) => run !== undefined);
    return there.reduce(({ start, crc32 }, next) => ({
      start,
      end: next.end,
      crc32: combineCrc32(crc32, next.crc32, next.end - next.start),
    }));
  }
}

function mismatchOf(region: Region, found: number): VistaError {
  return region.mismatch?.(found) ?? checksumError(region, found);
}

function withoutCasts(tensor: Tensor): Tensor {
  let inner = tensor;
  while (inner.source.kind === "cast") inner = inner.source.from;
  return inner;
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

/** Returns the gaps that `ranges` leave in `[0, length)`; `undefined` where they overlap. */
function gapsBetween(ranges: Range[], length: number): Range[] | undefined {
  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  const gaps: Range[] = [];
  let at = 0;
  for (const range of ranges) {
    if (range.start < at) return undefined;
    if (range.start > at) gaps.push({ start: at, end: range.start });
    at = range.end;
  }
  if (at < length) gaps.push({ start: at, end: length });
  return gaps;
}

/** The ranges that are read by region; most regions have one, and only the others a list. */
type Ranges = Map<Region, Growing | Growing[]>;

interface Growing {
  readonly start: number;
  end: number;
}

function addRange(ranges: Ranges, region: Region, start: number, length: number): void {
  const known = ranges.get(region);
  const last = Array.isArray(known) ? known.at(-1) : known;
  const range = { start, end: start + length };
  // Thousands of parameters have a part on each of a thousand ranks, where one follows the other.
  if (last?.end === start) last.end = range.end;
  else if (known === undefined) ranges.set(region, range);
  else if (Array.isArray(known)) known.push(range);
  else ranges.set(region, [known, range]);
}
