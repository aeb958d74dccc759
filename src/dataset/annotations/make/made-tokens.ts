/**
 * The tokens of the rows that are made: those of the rows they are made of, with a digit from 1 to 5 at the end. Where tokens are equally
 * long, as all of nuScenes are, none of them can be that of another row.
 */
import { VistaError } from "../../../core/errors.js";
import { readRecords } from "../../json/rows.js";
import { lookUp, tokenWords } from "../../nuscenes/read/tokens.js";
import { LAST, type SampleLinks } from "./interpolation.js";

/** The lengths of the tokens that a table gets, which are seen one by one. */
export class TokenLengths {
  #first: number | undefined;
  /** Whether not all are equally long. */
  differ = false;

  see(token: string): void {
    this.#first ??= token.length;
    if (token.length !== this.#first) this.differ = true;
  }
}

/**
 * Refuses tokens of which one is another one with such a digit: 1 and 12, say.
 *
 * @throws VistaError `UNSUPPORTED`
 */
export function refuseMadeTokens(path: string, tokens: ReadonlySet<string>): void {
  const made = new RegExp(`[1-${LAST}]$`);
  for (const token of tokens) {
    const shorter = token.slice(0, -1);
    if (!made.test(token) || !tokens.has(shorter)) continue;
    const what = `of the rows that are made from "${shorter}", one would have the token "${token}" of another row`;
    throw new VistaError("UNSUPPORTED", what, { path, hint: "Make all tokens of the table equally long." });
  }
}

/** Returns the tokens of a large table whose rows are written. @param isWritten  asked about rows of samples that are wanted */
export function writtenTokens(
  path: string,
  { table, wanted }: SampleLinks,
  isWritten: (row: Record<string, unknown>) => boolean,
): Set<string> {
  const tokens = new Set<string>();
  readRecords(path, (row) => {
    const at = lookUp(table, tokenWords(String(row.sample_token)));
    if (at >= 0 && wanted[at] === 1 && isWritten(row)) tokens.add(String(row.token));
  });
  return tokens;
}
