/** The frames that DriveAGI's language files name, folder by folder. */
import { statSync } from "node:fs";
import { fromSystem } from "../../core/errors.js";
import type { RunOptions } from "../../core/progress.js";
import type { LanguageFolder } from "./collect-language.js";
import { readLarge } from "./index-task.js";

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
  return readLarge("language", files, total, options.signal, onBytes);
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
