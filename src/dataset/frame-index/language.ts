/** The frames that DriveAGI's language files name, folder by folder. */
import { statSync } from "node:fs";
import { fromSystem } from "../../core/errors.js";
import { runWorker } from "../../core/io/worker.js";
import type { RunOptions } from "../../core/progress.js";
import { collectLanguage, type LanguageFolder } from "./collect-language.js";
import type { IndexMessage, IndexTask } from "./index-worker.js";

/** The number of bytes, of all files together, below which a worker thread costs more than it saves. */
const WORKER_FROM = 32 << 20;

/**
 * Reads which frames language files name.
 *
 * @throws VistaError `FORMAT` at the first record that is none of a language file, `NOT_FOUND`, `IO`, `ABORTED`
 */
export async function readLanguage(
  files: readonly string[],
  options: RunOptions = {},
): Promise<LanguageFolder[]> {
  let total = 0;
  for (const path of files) {
    try {
      total += statSync(path).size;
    } catch (error) {
      throw fromSystem(error, path, "read the language file");
    }
  }
  const onBytes = (done: number) =>
    options.onProgress?.({ phase: "read language files", done, total, unit: "bytes" });
  if (total < WORKER_FROM) return collectLanguage(files, onBytes);
  let folders: LanguageFolder[] = [];
  await runWorker<IndexTask, IndexMessage>(
    new URL("./index-worker.js", import.meta.url),
    { kind: "language", files },
    options.signal,
    (message) => {
      if (message.kind === "language") folders = message.folders;
      else if (message.kind === "bytes") onBytes(message.bytes);
    },
  );
  return folders;
}

/** Returns the numbers that are in both. */
export function intersectRuns(a: readonly number[], b: readonly number[]): number[] {
  const both: number[] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const from = Math.max(a[i]!, b[j]!);
    const to = Math.min(a[i + 1]!, b[j + 1]!);
    if (from <= to) both.push(from, to);
    if (a[i + 1]! < b[j + 1]!) i += 2;
    else j += 2;
  }
  return both;
}
