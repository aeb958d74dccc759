/** What is known of every table once it is read, large or small. */
import { remember } from "../../../core/maps.js";
import type { TokenTableData } from "./tokens.js";

/** A row's answer to "which row does this key name": a row from 0, or one of these. */
export const LINK = { none: -1, dangling: -2, unusable: -3 } as const;

/** Bits of the `flags` column. */
export const FLAG = {
  keyFrame: 1,
  noToken: 2,
  noPrev: 4,
  noNext: 8,
  badPrev: 16,
  badNext: 32,
  badEgoPose: 64,
} as const;

/** How many faults of one sort are kept one by one; the rest is counted. */
export const KEEP = 10_000;

export interface RowProblem {
  message: string;
  offset: number;
  index: number;
  token: string | undefined;
}

/** A foreign key without a target: one entry for each token that is not there. */
export interface Dangling {
  field: string;
  missing: string;
  /** How many rows name it. */
  count: number;
  /** Offset of the first of them. */
  offset: number;
}

/** Notes that a row names `missing`. */
export function addDangling(
  found: Map<string, Dangling>,
  field: string,
  missing: string,
  offset: number,
): void {
  remember(found, missing, () => ({ field, missing, count: 0, offset })).count++;
}

/** What all tables have, large or small. */
export interface TableState {
  rows: number;
  bytes: number;
  /** Where the file stops being JSON. */
  error?: { offset: number; reason: string };
  problems: RowProblem[];
  moreProblems: number;
  /** Row and the earlier row with the same token. */
  duplicates: [row: number, first: number][];
  moreDuplicates: number;
  dangling: Dangling[];
  /** Rows beyond those in `dangling`, by field. */
  moreDangling: Record<string, number>;
  /** False where rows are missing or have no usable token: a key that finds nothing here may still be right. */
  complete: boolean;
  /** From token to row. */
  table: TokenTableData;
  /** Where each row starts in the file. */
  offset: Float64Array;
}
