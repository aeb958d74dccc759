/** The question whether a path lies within a folder. */
import { isAbsolute, relative, sep } from "node:path";

/**
 * Returns the way from a folder to a path within it, which is "" where both are the same; undefined where the path lies elsewhere. On
 * Windows the "way" to another drive is an absolute path.
 */
export function wayWithin(folder: string, path: string): string | undefined {
  const way = relative(folder, path);
  return way === ".." || way.startsWith(`..${sep}`) || isAbsolute(way) ? undefined : way;
}
