/** JSON as Python's `json.dump` writes it: these files are read, and were first written, by Python. */

const NOT_ASCII = /[\u007f-\uffff]/g;

/**
 * A float as Python spells it. A whole number keeps its point: `torch.tensor([0, 0])` of a car that stands would be of
 * integers, and would not go into a batch with the others.
 */
export function pythonFloat(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  if (size >= 1e-4 && size < 1e16) return Number.isInteger(value) ? `${value}.0` : String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
}

/** A string in quotes, everything outside of ASCII escaped. */
export function pythonString(text: string): string {
  return JSON.stringify(text).replace(
    NOT_ASCII,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A list, one entry a line, as `indent=4` has it. `inset` is the white space before the line that the list starts on. */
export function pythonList(entries: readonly string[], inset: string): string {
  if (entries.length === 0) return "[]";
  return `[\n${entries.map((entry) => `${inset}    ${entry}`).join(",\n")}\n${inset}]`;
}
