/** Starts the second thread of the copy loop before it is needed. */
import { statSync } from "node:fs";
import { startSecondThread, WORKER_FROM } from "../copy/second-thread.js";

/** Starts the second thread where there is enough to copy or to scan. */
export function startAhead(input: string): void {
  if (isLarge(input)) startSecondThread();
}

function isLarge(input: string): boolean {
  try {
    const stats = statSync(input);
    // A checkpoint folder that is small enough for one thread is rare, and so is an index of shards.
    return stats.isDirectory() || input.endsWith(".json") || stats.size >= WORKER_FROM;
  } catch {
    return false; // Opening it will tell what is wrong.
  }
}
