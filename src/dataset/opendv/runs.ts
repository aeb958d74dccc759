import { firstWhere } from "../../core/search.js";

/**
 * Runs of consecutive frame numbers as `[first, last, first, last, …]`, which are inclusive, ascending and never touch. A folder
 * of 300,000 frames without a gap is two numbers.
 */
export type Runs = readonly number[];

/** The largest number that is taken for that of a frame: 77 days at 10 Hz. Larger numbers are time stamps or hashes. */
export const MAX_FRAME = 2 ** 26 - 1;

/** A set of frame numbers as bits, whose size in memory does not depend on the order in which a folder lists its files. */
export class FrameSet {
  #words = new Uint32Array(256);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds a frame. @returns false where the number was there before */
  add(frame: number): boolean {
    const word = frame >>> 5;
    if (word >= this.#words.length) this.#grow(word + 1);
    const bit = 1 << (frame & 31);
    if ((this.#words[word]! & bit) !== 0) return false;
    this.#words[word]! |= bit;
    this.#size++;
    return true;
  }

  has(frame: number): boolean {
    const word = this.#words[frame >>> 5];
    return word !== undefined && (word & (1 << (frame & 31))) !== 0;
  }

  runs(): number[] {
    const runs: number[] = [];
    let open = -1;
    for (let index = 0; index < this.#words.length; index++) {
      const word = this.#words[index]!;
      // Words whose bits are all alike are passed over at once, because nearly all of them are like this.
      if (open < 0 ? word === 0 : word === 0xffffffff) continue;
      for (let bit = 0; bit < 32; bit++) {
        const set = (word & (1 << bit)) !== 0;
        if (set && open < 0) open = index * 32 + bit;
        else if (!set && open >= 0) {
          runs.push(open, index * 32 + bit - 1);
          open = -1;
        }
      }
    }
    if (open >= 0) runs.push(open, this.#words.length * 32 - 1);
    return runs;
  }

  #grow(words: number): void {
    const larger = new Uint32Array(Math.max(words, this.#words.length * 2));
    larger.set(this.#words);
    this.#words = larger;
  }
}

export function countFrames(runs: Runs): number {
  let count = 0;
  for (let i = 0; i < runs.length; i += 2) count += runs[i + 1]! - runs[i]! + 1;
  return count;
}

export function* framesOf(runs: Runs): Generator<number> {
  for (let i = 0; i < runs.length; i += 2) {
    for (let frame = runs[i]!; frame <= runs[i + 1]!; frame++) yield frame;
  }
}

/** Returns the numbers between `first` and the last frame that are in no run, as runs. */
export function findGaps(runs: Runs, first: number): number[] {
  const gaps: number[] = [];
  let next = first;
  for (let i = 0; i < runs.length; i += 2) {
    if (runs[i]! > next) gaps.push(next, runs[i]! - 1);
    next = Math.max(next, runs[i + 1]! + 1);
  }
  return gaps;
}

/** Returns the index (into `runs`) of the run that holds `frame`, or -1. */
export function findRun(runs: Runs, frame: number): number {
  const at = 2 * firstWhere(runs.length / 2, (run) => runs[run * 2 + 1]! >= frame);
  return at < runs.length && runs[at]! <= frame ? at : -1;
}

/** Returns how many clips of `length` frames start in these runs, one every `stride` frames of a run. */
export function countClips(runs: Runs, length: number, stride: number): number {
  let clips = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const starts = runs[i + 1]! - runs[i]! + 2 - length;
    if (starts > 0) clips += Math.ceil(starts / stride);
  }
  return clips;
}

/** Sorts runs and joins those that touch or overlap. */
export function joinRuns(runs: Runs): number[] {
  const pairs: [number, number][] = [];
  for (let i = 0; i < runs.length; i += 2) if (runs[i]! <= runs[i + 1]!) pairs.push([runs[i]!, runs[i + 1]!]);
  pairs.sort((a, b) => a[0] - b[0]);
  const joined: number[] = [];
  for (const [from, to] of pairs) {
    const end = joined[joined.length - 1];
    if (end !== undefined && from <= end + 1) joined[joined.length - 1] = Math.max(end, to);
    else joined.push(from, to);
  }
  return joined;
}

/** Returns the numbers that are in both. */
export function intersectRuns(a: Runs, b: Runs): number[] {
  const both: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const from = Math.max(a[i]!, b[j]!);
    const to = Math.min(a[i + 1]!, b[j + 1]!);
    if (from <= to) both.push(from, to);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return both;
}
