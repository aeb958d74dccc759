/** The types that the fields of a row must have, and the words to say that one has not. */
import type { FieldType } from "./schema.js";

const isText = (value: unknown) => typeof value === "string";

const TYPES: Readonly<Record<FieldType, readonly [is: (value: unknown) => boolean, what: string]>> = {
  token: [isText, "a token"],
  link: [isText, "a string"],
  string: [isText, "a string"],
  int: [Number.isSafeInteger, "an integer"],
  bool: [(value) => typeof value === "boolean", "true or false"],
  tokens: [(value) => isListOf(value, (entry) => isText(entry) && entry !== ""), "an array of tokens"],
  vector3: [(value) => isVector(value, 3), "3 numbers"],
  rotation: [(value) => isVector(value, 4), "4 numbers"],
  matrix: [
    (value) => isListOf(value, (row) => isVector(row, 3)) && (value.length === 0 || value.length === 3),
    "3 × 3 numbers",
  ],
};

/** Returns what is wrong with a field, or undefined. */
export function describeProblem(name: string, type: FieldType, value: unknown): string | undefined {
  if (value === undefined) return `field "${name}" is missing`;
  const [is, what] = TYPES[type];
  if (!is(value)) return `field "${name}" is ${kindOf(value)}, not ${what}`;
  if (type === "token" && value === "") return `field "${name}" is empty`;
  if (type === "rotation" && (value as number[]).every((part) => part === 0))
    return `field "${name}" is 0, which is no rotation`;
  if (type !== "vector3") return undefined;
  const far = (value as number[]).find((metres) => Math.abs(metres) > MAX_METRES);
  return far === undefined ? undefined : `field "${name}" has ${far} m, beyond ${MAX_METRES / 1000} km`;
}

/** The largest place or length in metres: a quarter of the Earth's circumference, while nuScenes's maps are a few kilometres wide. */
const MAX_METRES = 1e7;

function isListOf(value: unknown, is: (entry: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(is);
}

function isVector(value: unknown, length: number): boolean {
  return isListOf(value, Number.isFinite) && value.length === length;
}

/** Returns a value's kind as a person would name it. */
export function kindOf(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null (or NaN)";
  if (Array.isArray(value)) {
    const endless = value.find((entry) => typeof entry === "number" && !Number.isFinite(entry));
    if (endless !== undefined) return `an array with ${endless}`;
    const odd = value.find((entry) => typeof entry !== typeof value[0]);
    return odd === undefined
      ? `an array of ${value.length}${value.length > 0 ? ` (${typeof value[0]})` : ""}`
      : `an array of mixed types`;
  }
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "string") return `the string "${value.slice(0, 40)}"`;
  return typeof value === "boolean" ? String(value) : "an object";
}
