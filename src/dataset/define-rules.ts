import { oneLine } from "../core/errors.js";
import type { Finding, Rule, Severity } from "./finding.js";

/**
 * Makes a table of rules under one prefix: `defineRules("nuscenes", { "bad-json": ["error", title, fix], … })` returns an object
 * whose keys are the short names and whose values are {@link Rule}s with the code `nuscenes/bad-json`.
 */
export function defineRules<Name extends string>(
  prefix: string,
  table: Record<Name, readonly [severity: Severity, title: string, fix: string]>,
): Readonly<Record<Name, Rule>> {
  const rules = {} as Record<Name, Rule>;
  for (const name of Object.keys(table) as Name[]) {
    const [severity, title, fix] = table[name];
    rules[name] = { code: `${prefix}/${name}`, severity, title, fix };
  }
  return rules;
}

/**
 * The largest numbers of characters that are kept. Linux opens no path longer than the first; our own longest messages have some
 * 300 besides the names in them.
 */
const MAX_PATH = 4096;
const MAX_MESSAGE = 2000;

/**
 * Returns a function that makes findings by the rules of one table. Names in `path`, `message` and `record` may come from
 * untrusted files, so each is put on one line and cut to a largest length.
 */
export function findingsOf<Name extends string>(rules: Readonly<Record<Name, Rule>>) {
  /** @param place  the fields `record`, `offset` and `count` of {@link Finding}, where they apply */
  return (
    rule: Name,
    path: string,
    message: string,
    { record, offset, count }: Pick<Finding, "record" | "offset" | "count"> = {},
  ): Finding => ({
    rule: rules[rule].code,
    severity: rules[rule].severity,
    path: oneLine(path, MAX_PATH),
    message: oneLine(message, MAX_MESSAGE),
    record: record && oneLine(record, MAX_MESSAGE),
    offset,
    count,
  });
}
