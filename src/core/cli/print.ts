/** Lines for a terminal. All text that commands show goes through here, except lines with colours of our own. */
import { oneLine, withoutSecrets } from "../errors.js";
import type { PrintOptions } from "./options.js";

/** Characters of a line; a name of a million is cut. */
const MAX_LINE = 4000;

/** The text of `lines`, each with what names from files must not do to a terminal made visible, and of bounded length. */
export function displayText(lines: readonly string[]): string {
  return `${lines.map((line) => oneLine(line, MAX_LINE)).join("\n")}\n`;
}

/** Prints lines; `stream` is stdout unless named. Coloured lines clean their parts by {@link oneLine} and do not come here. */
export function printLines(lines: readonly string[], stream: NodeJS.WritableStream = process.stdout): void {
  stream.write(displayText(lines));
}

/**
 * What `--json` and reports in files are made of: JSON in which URLs show no secrets. What JSON has no numbers for, infinity and
 * integers beyond 2^53, is text.
 */
export function jsonText(value: unknown, indent?: number): string {
  return `${withoutSecrets(JSON.stringify(value, textForNumbers, indent))}\n`;
}

function textForNumbers(_: string, value: unknown): unknown {
  if (value === Number.POSITIVE_INFINITY) return "Infinity";
  if (typeof value !== "bigint") return value;
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

/** Prints what `--json` asks for, in one line on stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(jsonText(value));
}

/** Prints what a command found: the object that `--json` asks for, or else its lines, and none of them with `--quiet`. */
export function printResult({ json, quiet }: PrintOptions, object: unknown, lines: readonly string[]): void {
  if (json) printJson(object);
  else if (!quiet) printLines(lines);
}
