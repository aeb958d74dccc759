/** JSON as Python's `json.dump` writes it, because Python reads these files and was the first to write them. */

const NOT_ASCII = /[\u007f-\uffff]/g;

/**
 * Returns a float as Python spells it. A whole number keeps its point: otherwise `torch.tensor([0, 0])`, for a car that stands,
 * would hold integers and would not go into a batch with the others.
 */
export function pythonFloat(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  if (size >= 1e-4 && size < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

/**
 * Returns a string in quotes, with everything outside of ASCII escaped: the loader opens the file in the encoding of the user's locale, which
 * may be another than UTF-8.
 */
export function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    NOT_ASCII,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Returns a list with one entry a line, as `indent=4` gives it. `inset` is the white space before the line that the list starts
 * on.
 */
export function pythonList(entries: readonly string[], inset: string): string {
  if (entries.length === 0) return "[]";
  return `[\n${entries.map((entry) => `${inset}    ${entry}`).join(",\n")}\n${inset}]`;
}
