/** The small tables, which are kept as objects, and what all tables share when findings are written. */
import { INCOMPLETE, parseValue, skipValue } from "../../../core/json/scan.js";
import { isRecord } from "../../../core/maps.js";
import { RowReader } from "../../json/row-reader.js";
import { readRows } from "../../json/rows.js";
import { describeProblem } from "./field-types.js";
import { SCHEMA, type TableName } from "./schema.js";
import {
  addDangling,
  type Dangling,
  indexTokens,
  Kept,
  LINK,
  type RowProblem,
  type TableState,
} from "./table-state.js";
import { lookUp, tokenWords } from "./tokens.js";

export type Row = Readonly<Record<string, unknown>>;

export interface SmallTable extends TableState {
  name: TableName;
  /** The rows that are objects; others are left out. */
  values: Row[];
}

/** The rows that `prev` and `next` of each row name, or a {@link LINK}. */
export type Links = Record<"prev" | "next", Int32Array>;

/** Loads a small table. @throws the system's error where the file cannot be read */
export function loadSmall(name: TableName, path: string): SmallTable {
  const values: Row[] = [];
  const offsets: number[] = [];
  const problems = new Kept<RowProblem>();
  let complete = true;
  const fields = Object.entries(SCHEMA[name].fields);
  const result = readRows(path, {
    value(value, offset, index) {
      if (!isRecord(value)) {
        complete = false;
        problems.add({ message: "the row is not an object", offset, index, token: undefined });
        return;
      }
      const token = typeof value.token === "string" ? value.token : undefined;
      const row: Record<string, unknown> = value;
      for (const [field, type] of fields) {
        const message = describeProblem(field, type, row[field]);
        if (message === undefined) continue;
        problems.add({ message, offset, index, token });
        row[field] = withoutObjects(row[field]);
      }
      values.push(row);
      offsets.push(offset);
    },
  });
  const keys = new Uint32Array(new SharedArrayBuffer(Math.max(values.length, 1) * 16));
  const exclude = new Uint8Array(values.length);
  for (const [i, { token }] of values.entries()) {
    if (typeof token === "string" && token !== "") keys.set(tokenWords(token), i * 4);
    else exclude[i] = 1;
  }
  complete &&= !exclude.includes(1);
  return {
    ...result,
    ...indexTokens(keys, exclude),
    name,
    values,
    exclude,
    rows: values.length,
    problems,
    dangling: [],
    moreDangling: {},
    complete: complete && result.error === undefined,
    offset: Float64Array.from(offsets),
  };
}

/**
 * Returns a value without the objects in it, in whose places null is. An object may have a `toString` of its own, at which any text
 * about it would fail; an array keeps its length, by which it may be of a wrong type.
 */
function withoutObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutObjects);
  return typeof value === "object" ? null : value;
}

/** Returns the row that a token names, or -1. */
export function rowOf({ table }: Pick<TableState, "table">, token: unknown): number {
  if (typeof token !== "string" || token === "") return -1;
  return lookUp(table, tokenWords(token));
}

/** Returns the links of a small table of chains, which is that of the samples. */
export function linksIn(table: SmallTable): Links {
  const follow = (field: keyof Links) =>
    Int32Array.from(table.values, ({ [field]: token }) => {
      if (typeof token !== "string") return LINK.unusable;
      if (token === "") return LINK.none;
      const target = rowOf(table, token);
      return target === -1 ? LINK.dangling : target;
    });
  return { prev: follow("prev"), next: follow("next") };
}

/** Returns the keys of a small table that name no row of `target`, with one entry for each missing token. */
export function danglingKeys(from: SmallTable, field: string, target: TableState): Dangling[] {
  const found = new Map<string, Dangling>();
  for (const [i, row] of from.values.entries()) {
    const value = row[field];
    for (const token of Array.isArray(value) ? value : [value]) {
      // A value that is no token is reported as a wrong type.
      if (typeof token !== "string" || (token === "" && SCHEMA[from.name].fields[field] === "token"))
        continue;
      if (rowOf(target, token) !== -1) continue;
      addDangling(found, field, token, from.offset[i]!);
    }
  }
  return [...found.values()];
}

/** A reader of single rows of a large table, for the text of findings, because what is kept in memory has no strings. */
export class RowText extends RowReader {
  at(offset: number): Row {
    const row = this.read(offset, (bytes, length) => {
      const end = skipValue(bytes, 0, length);
      return end === INCOMPLETE ? undefined : (parseValue(bytes, 0, end) as Row);
    });
    return Object.fromEntries(
      Object.entries(row ?? {}).map(([name, value]) => [name, withoutObjects(value)]),
    );
  }
}
