/** Looks at an input before it is read, and starts the second thread of the copy loop before it is needed. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isRemote } from "../../core/io/places.js";
import { WORKER_FROM } from "../copy/worker-from.js";

/**
 * The number of files in a folder, folders in it included, above which it counts as large whatever they hold: each file is planned. It
 * bounds the look as well, also where links go round in a circle.
 */
export const MANY_FILES = 32;

/** Starts the second thread where there is enough to copy or to scan. */
export async function startAhead(input: string): Promise<void> {
  if (isLarge(input)) (await import("../copy/second-thread.js")).startSecondThread();
}

/** Tells whether there is enough in a file or a folder for a thread to be worth its start. Nothing is known of a URL, so it is large. */
export function isLarge(input: string): boolean {
  if (isRemote(input) || input.endsWith(".json")) return true;
  let [bytes, entries] = [0, 0];
  const add = (path: string): void => {
    const stats = statSync(path, { throwIfNoEntry: false });
    entries++;
    if (stats?.isDirectory()) {
      for (const name of readdirSync(path)) if (!enough()) add(join(path, name));
    } else bytes += stats?.size ?? 0;
  };
  const enough = () => bytes >= WORKER_FROM || entries > MANY_FILES;
  try {
    add(input);
    return enough();
  } catch {
    return false; // Opening it will tell what is wrong.
  }
}
