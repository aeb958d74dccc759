/**
 * The keys of large tables into large tables, which are followed once both are whole: prev and next, and the ego poses of frames.
 */
import { LINK } from "./table-state.js";
import { lookUp, type TokenTable } from "./tokens.js";

/** Puts in place the rows that the links name by their words. Links that are a {@link LINK} already stay what they are. */
export function follow({
  words,
  links,
  table,
}: {
  words: Uint32Array;
  links: Int32Array;
  table: TokenTable;
}): void {
  for (let row = 0; row < links.length; row++) {
    if (links[row]! < 0) continue;
    const target = lookUp(table, words, row * 4);
    links[row] = target === -1 ? LINK.dangling : target;
  }
}
