/** A comparison of what scenes and instances say about the ends of their chains with what the rows there say about themselves. */

import type { TableState } from "../read/table-state.js";
import { rowOf, type SmallTable } from "../read/tables.js";
import type { ChainInput } from "./chains.js";

/**
 * Finds the rows that an owner names as the first or last of its chain although they name another owner, which does not name
 * them: then it is the rows' own key that is wrong. This finds strays in chains of one or two rows, where neighbours cannot show
 * them.
 *
 * @param input  the rows; `group` holds the row of `owner` that each belongs to
 * @returns the input with the owner that claims each such row; without, where not all rows are known
 */
export function withClaims(
  input: ChainInput,
  owner: SmallTable,
  fields: readonly [first: string, last: string],
  target: TableState,
): ChainInput {
  if (!target.complete) return input;
  const { prev, next, group, exclude } = input;
  const claims = new Map<number, number>();
  const endsOf = (row: number) => fields.map((field) => rowOf(target, owner.values[row]![field]));
  for (let row = 0; row < owner.rows; row++) {
    if (owner.exclude[row] === 1) continue;
    for (const end of endsOf(row)) {
      if (end < 0 || exclude[end] === 1) continue;
      const own = group[end]!;
      if (own < 0 || own === row || endsOf(own).includes(end)) continue;
      const isAmongItsOwn = [prev[end]!, next[end]!].some((other) => other >= 0 && group[other] === own);
      if (!isAmongItsOwn) claims.set(end, row);
    }
  }
  return { ...input, claims };
}
