/** The choice of the frames of a folder that are opened: the first, the last, and some between, the same ones in every run. */
import { firstWhere } from "../../core/search.js";
import { pathHash } from "../sample.js";
import { countFrames, framesOf, type Runs } from "./runs.js";

/**
 * Yields frame numbers in ascending order: the first and the last frame of the folder, and `quota` others. The choice depends on
 * `seed`, on the name of the folder and on its frames, and on nothing else.
 */
export function* pickFrames(runs: Runs, quota: number, seed: number, path: string): Generator<number> {
  const total = countFrames(runs);
  if (total === 0) return;
  if (quota + 2 >= total) {
    yield* framesOf(runs);
    return;
  }
  const random = randomFrom(pathHash(path) ^ seed);
  const picked = new Set([0, total - 1]);
  while (picked.size < quota + 2) picked.add(Math.floor(random() * total));
  let run = 0;
  let before = 0;
  for (const index of [...picked].sort((a, b) => a - b)) {
    while (index - before > runs[run + 1]! - runs[run]!) {
      before += runs[run + 1]! - runs[run]! + 1;
      run += 2;
    }
    yield runs[run]! + index - before;
  }
}

/**
 * Yields all frames of a folder. The first and the last one come first, and the others in such an order that any number of them
 * is spread over the folder: each is some 0.618 of the folder's length after the one before, which meets every frame once.
 */
export function* spreadFrames(runs: Runs, seed: number, path: string): Generator<number> {
  const total = countFrames(runs);
  if (total === 0) return;
  const starts: number[] = [];
  let before = 0;
  for (let i = 0; i < runs.length; i += 2) {
    starts.push(before);
    before += runs[i + 1]! - runs[i]! + 1;
  }
  const frameAt = (index: number) => {
    const run = firstWhere(starts.length, (at) => starts[at]! > index) - 1;
    return runs[run * 2]! + index - starts[run]!;
  };
  yield runs[0]!;
  if (total > 1) yield runs[runs.length - 1]!;
  let step = Math.max(1, Math.floor(total * 0.618));
  while (commonDivisor(step, total) > 1) step++;
  let index = (pathHash(path) ^ seed) >>> 0;
  for (let i = 0; i < total; i++) {
    index = (index + step) % total;
    if (index !== 0 && index !== total - 1) yield frameAt(index);
  }
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/**
 * Yields at most `limit` of the frames, as long as there is time; but it yields the first two, which are the first and the last
 * frame of a folder, whatever the time.
 */
export function* inTime(frames: Iterable<number>, limit: number, until: number): Generator<number> {
  let count = 0;
  for (const frame of frames) {
    if (count >= limit || (count >= 2 && performance.now() > until)) return;
    count++;
    yield frame;
  }
}

/** Returns a source of numbers in [0, 1) that follow from a 32-bit seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
