/** Listings of the folders of a set, of which one that cannot be listed is another matter than one that is not there. */
import { readdir } from "node:fs/promises";
import { isNulInPath, rethrowExhausted } from "../../../core/errors.js";
import { isAbsent } from "../../../core/io/regular.js";

/** Returns the names in a folder; undefined where there is no such folder; where it cannot be listed, a text that says so. */
export async function listing(folder: string): Promise<string[] | string | undefined> {
  try {
    return await readdir(folder);
  } catch (error) {
    rethrowExhausted(error);
    if (isAbsent(error) || isNulInPath(error)) return undefined;
    return `cannot be listed (${(error as NodeJS.ErrnoException).code})`;
  }
}
