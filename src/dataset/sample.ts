/** The choice of the images that a check opens and of those that a report shows, which is the same with and without shards. */
import { compareText } from "../core/text.js";
import type { CheckOptions } from "./finding.js";

/** The number of seconds for reading headers where the caller does not give one. */
const DEFAULT_BUDGET = 60;

/** Returns how many images are opened at most, and for how many seconds. */
export function boundsOf({ images = "headers", sample, budget }: CheckOptions): {
  limit: number;
  seconds: number;
} {
  const unbounded = sample !== undefined || images !== "headers";
  return {
    limit: sample ?? Number.POSITIVE_INFINITY,
    seconds: budget ?? (unbounded ? Number.POSITIVE_INFINITY : DEFAULT_BUDGET),
  };
}

/** Returns what this level of looking at images leaves out, for the verdict. */
export function unseenAt(images: CheckOptions["images"]): string[] {
  if (images === "decode") return [];
  return images === "names" ? ["headers and pixels of pictures"] : ["pixels of pictures (--decode)"];
}

/** The number of sound images that a report shows. */
export const SHOWN = 24;

/** Returns a number from 0 to 2³² − 1 that depends on both arguments and looks random. */
export function mix(seed: number, value: number): number {
  let hash = Math.imul(value ^ Math.imul(seed + 1, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 13), 0x27d4eb2f);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Returns a hash of a path: its FNV-1a, mixed once more. */
export function pathHash(path: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) hash = Math.imul(hash ^ path.charCodeAt(i), 0x01000193);
  return mix(0, hash);
}

/**
 * Returns the images to show: those with the smallest hashes, so that the shards' choices, merged, are the choice of one whole
 * run.
 */
export function choosePictures(paths: Iterable<string>): string[] {
  const order = [...new Set(paths)].map((path) => ({ path, hash: pathHash(path) }));
  order.sort((a, b) => a.hash - b.hash || compareText(a.path, b.path));
  return order.slice(0, SHOWN).map(({ path }) => path);
}
