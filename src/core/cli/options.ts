/** Options that the commands of the three programs share, described in the same words. */
import { InvalidArgumentError } from "commander";

/** The arguments of `.option(...QUIET)`. A result that was asked for with `--json` is printed all the same. */
export const QUIET = ["-q, --quiet", "print nothing but errors"] as const;

/** The arguments of `.option(...JSON_OBJECT)`. */
export const JSON_OBJECT = ["--json", "print one JSON object on stdout"] as const;

/** The values that {@link QUIET} and {@link JSON_OBJECT} set. */
export interface PrintOptions {
  json?: boolean;
  quiet?: boolean;
}

/**
 * Collects the values of an option that takes several: it may be repeated, and may have commas between values. A variadic option
 * of commander's would take the argument that follows for one more value (`check --annos a.json ROOT`).
 */
export function collectList(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), ...text.split(",").filter((each) => each !== "")];
}

/** Collects the values of an option that may be repeated and whose values may hold commas. */
export function collect(word: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), word];
}

/** Returns a parser for options and arguments that are whole numbers from `least` to `most`. */
export function wholeNumber(least = 0, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    // The largest number that can be counted to is only told to whom it stands in the way of.
    const end = most === Number.MAX_SAFE_INTEGER && !(value > most) ? " or more" : ` to ${most}`;
    throw new InvalidArgumentError(`It is a whole number, ${least}${end}.`);
  };
}

/** Returns a parser for options that are numbers of any kind, from `least` on. @param example  a number that is often meant */
export function finiteNumber(example: string, least = Number.NEGATIVE_INFINITY): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isFinite(value) && value >= least) return value;
    const from = Number.isFinite(least) ? ` from ${least} on` : "";
    throw new InvalidArgumentError(`It is a number${from}, for example ${example}.`);
  };
}
