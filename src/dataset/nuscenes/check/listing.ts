/** Listings of the folders of a set, of which one that cannot be looked into is another matter than one that is not there. */
import { readdir } from "node:fs/promises";
import { isNulInPath, rethrowExhausted } from "../../../core/errors.js";
import { isAbsent, requireSearchable } from "../../../core/io/regular.js";

/** Returns the names in a folder; undefined where there is no such folder; where it cannot be looked into, a text that says so. */
export async function listing(folder: string): Promise<string[] | string | undefined> {
  try {
    const names = await readdir(folder);
    requireSearchable(folder);
    return names;
  } catch (error) {
    rethrowExhausted(error);
    if (isAbsent(error) || isNulInPath(error)) return undefined;
    return `cannot be looked into (${(error as NodeJS.ErrnoException).code})`;
  }
}
