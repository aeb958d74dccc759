/** The inputs of a command that takes several: paths, and patterns that the shell left alone because they were quoted. */
import { existsSync } from "node:fs";
import { fromSystem, isSystemError, isVistaError, oneLine, VistaError } from "../errors.js";
import { isRemote } from "../io/places.js";
import { printLines } from "./print.js";

/** The characters that make a pattern of an input; a path that exists is a path, whatever characters it has. */
const MAGIC = /[*?[\]{}()!+@]/;

/**
 * Returns the paths that inputs stand for, each once; those of a pattern come in the order of their names.
 * @throws VistaError `NOT_FOUND` for a pattern that matches nothing, `USAGE` for one that is too long or stands for too many names, `IO`
 *   for a folder that cannot be looked through
 */
export async function expandInputs(inputs: readonly string[]): Promise<string[]> {
  const paths = new Set<string>();
  for (const input of inputs) {
    if (isRemote(input) || !MAGIC.test(input) || existsSync(input)) {
      paths.add(input);
      continue;
    }
    // The library is loaded only for patterns, since that takes longer than reading a small checkpoint.
    const { default: glob } = await import("fast-glob");
    const found = await glob(input, { onlyFiles: false, dot: true, followSymbolicLinks: false }).catch(
      (error) => {
        throw patternError(error, input);
      },
    );
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

/** Turns what looking for a pattern's files ended with into an error of a folder or, where the library refuses it, of the pattern. */
function patternError(error: unknown, pattern: string): unknown {
  if (isSystemError(error))
    return fromSystem(error, error.path ?? pattern, "look for what a pattern stands for");
  const said = error instanceof Error ? error.message : String(error);
  return new VistaError("USAGE", `this pattern cannot be looked for: ${oneLine(said)}`, {
    path: pattern,
    hint: "Give a shorter one, or the paths themselves.",
  });
}

/**
 * Does the same for each input and goes on where one cannot be read; a line on stderr says so.
 * @returns for each input its result, or the error in place of it; an abort is thrown
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
      printLines([`${program}: ${withHint(error.message, error.hint)}`], process.stderr);
      outcomes.push({ path, error });
    }
  }
  return outcomes;
}

/** Returns what is wrong and what to do about it as one line. */
export function withHint(message: string, hint: string | undefined): string {
  return hint === undefined ? message : `${message}${/[.!?]$/.test(message) ? "" : "."} ${oneLine(hint)}`;
}

/** Returns an error as `--json` shows it in place of a result. */
export function errorJson(
  error: Pick<VistaError, "message"> & Partial<Pick<VistaError, "where" | "hint">> & { code: string },
) {
  const { code, message, where, hint } = error;
  return { error: { code, message, ...where, hint } };
}
