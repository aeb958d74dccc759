/** The data that the threads which make the 12 Hz tables share, and the times between two samples. */
import type { TokenTable } from "../../nuscenes/read/tokens.js";

/** The number of frames from one sample up to the next; the first sample counts, the next one does not. */
export const FRAMES = 6;
export const LAST = FRAMES - 1;

/** The links of the samples, in memory that threads share. The arrays are indexed by row of sample. */
export interface SampleLinks {
  table: TokenTable;
  /** The flags of the samples: 1 where the scene of the sample is wanted. */
  wanted: Uint8Array;
  /** The row of the sample before, or -1; `next` holds the row of the sample after, or -1. */
  prev: Int32Array;
  next: Int32Array;
  time: Float64Array;
}

/** Returns the time of frame `k` of 6 in microseconds, as a float, which at such numbers is rounded to a quarter. */
export function timeBetween(from: number, to: number, k: number): number {
  return from + (k / FRAMES) * (to - from);
}

/** The messages that the task of a thread sends. */
export type InterpolationMessage =
  | { kind: "bytes"; bytes: number }
  | { kind: "made"; rows: number; bytes: number; unattached: number };
