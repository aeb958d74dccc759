/** The rule for names of files that a file gives: they may only lead to what lies in the folder of that file or below. */
import { isAbsolute, normalize, sep, win32 } from "node:path";
import { isRemote, joinPlace } from "./places.js";

/**
 * Resolves the name that an index gives a file, in the folder of the index or below; symbolic links may lead elsewhere.
 * @returns the path, or `undefined` for a name that leads out of the folder or names nothing
 */
export function insideFolder(folder: string, name: string): string | undefined {
  const inside = normalize(name);
  const outside =
    name === "" ||
    name.includes("\0") ||
    isAbsolute(name) ||
    win32.isAbsolute(name) ||
    inside === ".." ||
    inside.startsWith(`..${sep}`) ||
    name.split(/[\\/]/).includes("..");
  return outside || isRemote(name) ? undefined : joinPlace(folder, inside);
}
