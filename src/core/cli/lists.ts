/** Options that take more than one value. */

/**
 * For options that take several values: repeated, or with commas between them. A variadic option of commander's would take
 * the argument that follows for one more value (`check --annos a.json ROOT`).
 */
export function collectList(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...text.split(",").filter((each) => each !== "")];
}
