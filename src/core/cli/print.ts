/** Printing for a terminal. All text that commands show goes through here, except lines with colours of our own. */
import { oneLine, withoutSecrets } from "../errors.js";
import type { PrintOptions } from "./options.js";

/** The largest number of characters of a line; a name of a million characters is cut. */
const MAX_LINE = 4000;

/**
 * Returns the text of `lines` for a terminal: characters in names from files that would act on the terminal are made visible, and
 * each line has a bounded length.
 */
export function displayText(lines: readonly string[]): string {
  return `${lines.map((line) => oneLine(line, MAX_LINE)).join("\n")}\n`;
}

/**
 * Prints lines to `stream`, which is stdout unless named. Coloured lines do not come here; whoever makes them cleans their parts
 * by {@link oneLine}.
 */
export function printLines(lines: readonly string[], stream: NodeJS.WritableStream = process.stdout): void {
  stream.write(displayText(lines));
}

/**
 * Returns the JSON of `--json` and of reports in files. URLs in it show no secrets; infinity and integers beyond 2^53, for which
 * JSON has no numbers, are texts.
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
