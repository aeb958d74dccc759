/** Paths as findings have them: relative to the root of a check, with `/` between parts. */
import { isAbsolute, relative, sep } from "node:path";

/** Returns the path of `path` as seen from `root`; "" where both are the same. */
export function pathFrom(root: string, path: string): string {
  return relative(root, path).split(sep).join("/");
}

/** Returns `prefix/path`; either may be "." or empty. An absolute path stands for itself. */
export function joinPath(prefix: string, path: string): string {
  if (prefix === "" || prefix === "." || isAbsolute(path)) return path;
  return path === "." || path === "" ? prefix : `${prefix}/${path}`;
}
