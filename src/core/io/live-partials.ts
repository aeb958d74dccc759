/** Keeps the temporary files that this process has not finished, apart from what writes them: every program loads this at its start. */
import { rmSync } from "node:fs";

/**
 * The key under which all copies of this module in the process share the map of its temporary files that are not yet renamed or
 * removed, each with its token. Otherwise one copy would take the files of another for those of a dead process with its number.
 */
const LIVE = Symbol.for("vista-ckpt.partial-files");
const registry = globalThis as { [LIVE]?: Map<string, string> };
registry[LIVE] ??= new Map();
export const livePartials: Map<string, string> = registry[LIVE];

/**
 * Removes, synchronously, whatever this process has not finished writing. It is called in the moment before a process ends
 * without unwinding (a second Ctrl-C); an ordinary error or abort cleans up by itself.
 */
export function removePartialFiles(): void {
  for (const path of livePartials.keys()) rmSync(path, { force: true, recursive: true });
  livePartials.clear();
}
