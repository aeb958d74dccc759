/** Options that the commands of the three programs share, said in the same words. */

/** For `.option(...QUIET)`. A result that was asked for with `--json` is printed all the same. */
export const QUIET = ["-q, --quiet", "print nothing but errors"] as const;

/** For `.option(...JSON_OBJECT)`. */
export const JSON_OBJECT = ["--json", "print one JSON object on stdout"] as const;

/**
 * For options that take several values: repeated, or with commas between them. A variadic option of commander's would take
 * the argument that follows for one more value (`check --annos a.json ROOT`).
 */
export function collectList(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...text.split(",").filter((each) => each !== "")];
}
