/** The choice of the frames of a folder that are opened: the first, the last, and some between, the same ones in every run. */
import { firstWhere } from "../../core/search.js";
import { pathHash } from "../sample.js";
import { countFrames, framesOf, type Runs } from "./runs.js";

/**
 * Returns frame numbers in ascending order: the first and the last frame of the folder, and `quota` others. The choice depends on
 * `seed`, on the name of the folder and on its frames, and on nothing else.
 */
export function pickFrames(runs: Runs, quota: number, seed: number, path: string): Iterable<number> {
  if (quota + 2 >= countFrames(runs)) return framesOf(runs);
  return [...inTime(spreadFrames(runs, seed, path), quota + 2)].sort((a, b) => a - b);
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
export function* inTime(
  frames: Iterable<number>,
  limit: number,
  until = Number.POSITIVE_INFINITY,
): Generator<number> {
  let count = 0;
  for (const frame of frames) {
    if (count >= limit || (count >= 2 && performance.now() > until)) return;
    count++;
    yield frame;
  }
}
