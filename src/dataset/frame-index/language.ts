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
