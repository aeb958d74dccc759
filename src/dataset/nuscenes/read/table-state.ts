/** The state of every table once it is read, be it large or small. */
import { remember } from "../../../core/maps.js";
import type { RowsResult } from "../../json/rows.js";
import { insertRow, newTokenTable, type TokenTable } from "./tokens.js";

/** The answers to the question which row a key names, where that is no row from 0 on. */
export const LINK = { none: -1, dangling: -2, unusable: -3 } as const;

/** The number of faults of one sort that are kept one by one; the rest is counted. */
export const KEEP = 10_000;

export interface RowProblem {
  message: string;
  offset: number;
  index: number;
  token: string | undefined;
}

/** Faults of one sort: the first {@link KEEP} of them, and how many more there are. */
export class Kept<Fault> {
  readonly first: Fault[] = [];
  more = 0;

  add(fault: Fault): void {
    if (this.first.length < KEEP) this.first.push(fault);
    else this.more++;
  }
}

/** The data of {@link Kept}, which is what comes from another thread. */
export type KeptFaults<Fault> = Pick<Kept<Fault>, "first" | "more">;

export function keepFirst<Fault>(faults: readonly Fault[]): KeptFaults<Fault> {
  return { first: faults.slice(0, KEEP), more: faults.length - KEEP };
}

/** A row that has what an earlier row has, a token say, and that row. */
export type Twin = [row: number, first: number];

/**
 * Finds rows by their tokens.
 *
 * @param keys  the tokens, with four words for each row
 * @param exclude  rows without a token are left out, and those with the token of an earlier row become such rows
 */
export function indexTokens(
  keys: Uint32Array,
  exclude: Uint8Array,
): Pick<TableState, "table" | "duplicates"> {
  const table = newTokenTable(keys, exclude.length);
  const duplicates = new Kept<Twin>();
  for (let row = 0; row < exclude.length; row++) {
    if (exclude[row] === 1) continue;
    const first = insertRow(table, row);
    if (first === -1) continue;
    duplicates.add([row, first]);
    exclude[row] = 1;
  }
  return { table, duplicates };
}

/** A foreign key without a target. There is one entry for each token that is not there. */
export interface Dangling {
  field: string;
  missing: string;
  /** The number of rows that name it. */
  count: number;
  /** The offset of the first of these rows. */
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

/** The parts that all tables have, be they large or small. */
export interface TableState extends RowsResult {
  problems: KeptFaults<RowProblem>;
  /** The rows with the token of an earlier row, each with that row. */
  duplicates: KeptFaults<Twin>;
  dangling: Dangling[];
  /** The number of rows beyond those in `dangling`, by field. */
  moreDangling: Record<string, number>;
  /** Whether all rows were read and have usable tokens. Where this is false, a key that finds nothing here may still be right. */
  complete: boolean;
  /** The hash table from token to row. */
  table: TokenTable;
  /** The offset at which each row starts in the file. */
  offset: Float64Array;
  /** The flags of the rows: 1 where a row has no usable token, or the token of an earlier row. */
  exclude: Uint8Array;
}
