/** What the threads share that make the 12 Hz tables, and the times between two samples. */
import type { TokenTableData } from "../../nuscenes/read/tokens.js";

/** Frames from one sample on to the next, itself included. */
export const FRAMES = 6;
export const LAST = FRAMES - 1;

/** The samples, in memory that threads share. By row of sample. */
export interface SampleLinks {
  table: TokenTableData;
  /** 1 for samples of scenes that are wanted. */
  wanted: Uint8Array;
  /** Rows, or -1. */
  prev: Int32Array;
  next: Int32Array;
  time: Float64Array;
}

/** Microseconds of frame `k` of 6: a float, rounded to the quarter that it can hold at such numbers. */
export function timeBetween(from: number, to: number, k: number): number {
  return from + (k / FRAMES) * (to - from);
}

/** What a task of a thread tells. */
export type InterpolationMessage =
  | { kind: "bytes"; bytes: number }
  | { kind: "made"; rows: number; bytes: number; unattached: number };
