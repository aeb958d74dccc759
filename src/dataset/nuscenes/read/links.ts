/**
 * The keys of large tables into large tables, which are followed once both are whole: prev and next, and the ego poses of frames.
 */
import { FLAG, Kept, type KeptFaults, LINK } from "./table-state.js";
import { lookUp, type TokenTable } from "./tokens.js";

interface FollowInput {
  words: Uint32Array;
  flags: Uint8Array;
  table: TokenTable;
  side: "prev" | "next";
}

/** Returns the links as rows, or as {@link LINK}. */
export function follow({ words, flags, table, side }: FollowInput): Int32Array {
  const noneFlag = side === "prev" ? FLAG.noPrev : FLAG.noNext;
  const badFlag = side === "prev" ? FLAG.badPrev : FLAG.badNext;
  const rows = new Int32Array(new SharedArrayBuffer(flags.length * 4));
  for (let row = 0; row < flags.length; row++) {
    if ((flags[row]! & noneFlag) !== 0) rows[row] = LINK.none;
    else if ((flags[row]! & badFlag) !== 0) rows[row] = LINK.unusable;
    else {
      const target = lookUp(table, words, row * 4);
      rows[row] = target === -1 ? LINK.dangling : target;
    }
  }
  return rows;
}

/** Returns the rows of sample_data whose ego pose is not there. */
export function findLostPoses(input: {
  egoPose: Uint32Array;
  flags: Uint8Array;
  table: TokenTable;
}): KeptFaults<number> {
  const rows = new Kept<number>();
  for (let row = 0; row < input.flags.length; row++) {
    if ((input.flags[row]! & FLAG.badEgoPose) !== 0 || lookUp(input.table, input.egoPose, row * 4) !== -1)
      continue;
    rows.add(row);
  }
  return rows;
}
