/** The types that the fields of a row must have, and the words to say that one has not. */
import type { FieldType } from "./schema.js";

/** Returns what is wrong with a field, or undefined. */
export function describeProblem(name: string, type: FieldType, value: unknown): string | undefined {
  if (value === undefined) return `field "${name}" is missing`;
  switch (type) {
    case "token":
      if (typeof value !== "string") return `field "${name}" is ${kindOf(value)}, not a token`;
      return value === "" ? `field "${name}" is empty` : undefined;
    case "link":
    case "string":
      return typeof value === "string" ? undefined : `field "${name}" is ${kindOf(value)}, not a string`;
    case "int":
      return Number.isSafeInteger(value) ? undefined : `field "${name}" is ${kindOf(value)}, not an integer`;
    case "bool":
      return typeof value === "boolean"
        ? undefined
        : `field "${name}" is ${kindOf(value)}, not true or false`;
    case "tokens":
      return Array.isArray(value) && value.every((entry) => typeof entry === "string" && entry !== "")
        ? undefined
        : `field "${name}" is ${kindOf(value)}, not an array of tokens`;
    case "vector3":
      if (!isVector(value, 3)) return `field "${name}" is ${kindOf(value)}, not 3 numbers`;
      return describeFar(name, value);
    case "rotation":
      if (!isVector(value, 4)) return `field "${name}" is ${kindOf(value)}, not 4 numbers`;
      return value.some((part) => part !== 0) ? undefined : `field "${name}" is 0, which is no rotation`;
    case "matrix":
      return Array.isArray(value) &&
        (value.length === 0 || (value.length === 3 && value.every((row) => isVector(row, 3))))
        ? undefined
        : `field "${name}" is ${kindOf(value)}, not 3 × 3 numbers`;
  }
}

/** The largest place or length in metres: a quarter of the Earth's circumference, while nuScenes's maps are a few kilometres wide. */
const MAX_METRES = 1e7;

function describeFar(name: string, value: readonly number[]): string | undefined {
  const far = value.find((metres) => Math.abs(metres) > MAX_METRES);
  return far === undefined ? undefined : `field "${name}" has ${far} m, beyond ${MAX_METRES / 1000} km`;
}

function isVector(value: unknown, length: number): value is readonly number[] {
  return Array.isArray(value) && value.length === length && value.every((entry) => Number.isFinite(entry));
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
