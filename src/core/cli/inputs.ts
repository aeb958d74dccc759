/** Several inputs of one command: paths, and patterns that the shell left alone because they were quoted. */
import { existsSync } from "node:fs";
import { isVistaError, VistaError } from "../errors.js";
import { isRemote } from "../io/places.js";
import { printLines } from "./print.js";

/** Characters that only patterns have; a path that is there is a path whatever it is called. */
const MAGIC = /[*?[\]{}()!+@]/;

/**
 * The paths that inputs stand for, each once, a pattern's in the order of their names.
 * @throws VistaError `NOT_FOUND` for a pattern that matches nothing
 */
export async function expandInputs(inputs: readonly string[]): Promise<string[]> {
  const paths = new Set<string>();
  for (const input of inputs) {
    if (isRemote(input) || !MAGIC.test(input) || existsSync(input)) {
      paths.add(input);
      continue;
    }
    // Loaded only for patterns: it takes longer than reading a small checkpoint.
    const { default: glob } = await import("fast-glob");
    const found = await glob(input, { onlyFiles: false, dot: true, followSymbolicLinks: false });
    if (found.length === 0) {
      throw new VistaError("NOT_FOUND", "no file or folder matches this pattern", {
        path: input,
        hint: "Quoted, `**` stands for any number of folders and `*` for a part of one name.",
      });
    }
    for (const path of found.sort()) paths.add(path);
  }
  return [...paths];
}

/**
 * Does the same for each input and goes on where one cannot be read, which is said in a line of its own.
 * @returns what each gave, with the error in place of it; an abort is thrown
 */
export async function forEachInput<T>(
  program: string,
  paths: readonly string[],
  work: (path: string) => Promise<T>,
): Promise<{ path: string; result?: T; error?: VistaError }[]> {
  const outcomes: { path: string; result?: T; error?: VistaError }[] = [];
  for (const path of paths) {
    try {
      outcomes.push({ path, result: await work(path) });
    } catch (error) {
      if (!isVistaError(error) || error.code === "ABORTED") throw error;
      const { message, hint } = error;
      printLines([`${program}: ${message}${hint === undefined ? "" : `. ${hint}`}`], process.stderr);
      outcomes.push({ path, error });
    }
  }
  return outcomes;
}

/** An error as `--json` shows it in place of a result. */
export function errorJson({
  code,
  message,
  where,
  hint,
}: Pick<VistaError, "message"> & Partial<Pick<VistaError, "where" | "hint">> & { readonly code: string }) {
  return { error: { code, message, ...where, hint } };
}
