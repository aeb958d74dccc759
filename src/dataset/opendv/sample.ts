/** Which frames of a folder are opened: the first, the last, and some between, the same ones in every run. */
import { pathHash } from "../sample.js";
import { countFrames, type Runs } from "./runs.js";

/**
 * Frame numbers in ascending order: the first and the last frame of the folder, and `quota` others. The choice depends
 * on `seed`, on the name of the folder and on its frames, and on nothing else.
 */
export function* pickFrames(runs: Runs, quota: number, seed: number, path: string): Generator<number> {
  const total = countFrames(runs);
  if (total === 0) return;
  if (quota + 2 >= total) {
    for (let i = 0; i < runs.length; i += 2) {
      for (let frame = runs[i]!; frame <= runs[i + 1]!; frame++) yield frame;
    }
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

/** Numbers in [0, 1) from a 32-bit seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
