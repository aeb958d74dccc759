/** The report for a terminal: the summary comes first, then the findings by rule and folder, and the totals last. */

import pc from "picocolors";
import { oneLine } from "../../core/errors.js";
import { formatCount as count, plural } from "../../core/text.js";
import { type CheckSummary, COLOURS, type Coverage, SEVERITIES } from "../finding.js";
import { folderOf, isAnythingSeen, isWhole, type Report, type RuleCount } from "./report.js";

type Paint = typeof NO_PAINT;
const NO_PAINT = pc.createColors(false);

/** The largest number of characters of a line. */
const MAX_TEXT = 2000;

const FOLDERS_SHOWN = 6;
const EXAMPLES_SHOWN = 3;

export function formatReport(report: Report, paint: Paint = NO_PAINT): string {
  const lines: string[] = [];
  for (const part of report.parts) lines.push(...formatPart(part, paint));
  lines.push(`${paint.bold("Verdict:")} ${verdict(report, paint)}`, "");
  for (const rule of report.rules) lines.push(...formatRule(report, rule, paint), "");
  const ignored = Object.entries(report.ignored);
  if (ignored.length > 0) {
    lines.push(`Ignored: ${ignored.map(([rule, found]) => `${rule} (${count(found)})`).join(", ")}`);
  }
  if (report.rules.length > 0)
    lines.push(`Totals: ${totals(report)} under ${plural(report.rules.length, "rule")}.`);
  return `${lines.join("\n").trimEnd()}\n`;
}

/** Returns the errors of a report alone, as they stand in it, which is all that `--quiet` leaves; "" where there are none. */
export function formatErrors(report: Report): string {
  const errors = report.rules.filter(({ severity }) => severity === "error");
  return errors.map((rule) => `${formatRule(report, rule, NO_PAINT).join("\n")}\n`).join("");
}

/** Returns one line that says how much was seen, and with what result. */
export function verdict(report: Report, paint: Paint = NO_PAINT): string {
  const found = totals(report);
  const seen = share(report);
  switch (report.verdict) {
    case "clean":
      return `${seen}: ${paint.green("clean")}.`;
    case "clean in part":
      return `${seen}: ${paint.yellow("nothing found in what was looked at")}.`;
    case "no errors":
      return `${seen}: ${paint.green("no errors")} (${found}).`;
    case "errors":
      return `${seen}: ${paint.red(found)}.`;
    case "interrupted":
      return `${paint.yellow("interrupted")}: ${found === "" ? "nothing found" : found} in what was looked at, above.`;
  }
}

/**
 * Returns what was seen, such as
 * `seen in part (pictures (headers): 2,000 of 17,280, 11.5 %), not looked at: pixels of pictures (--decode)`.
 */
function share({ parts, shard }: Report): string {
  const partial = parts.flatMap(({ coverage, sampled }) => [
    ...coverage
      .filter(({ checked, total }) => checked < total)
      .map((part) => `${part.what}: ${amount(part)}, ${percent(part.checked, part.total)}`),
    ...(sampled ?? []),
  ]);
  const unseen = [...new Set(parts.flatMap((part) => part.unseen ?? []))];
  const inPart = isAnythingSeen(parts) ? `seen in part (${partial.join("; ")})` : "nothing seen";
  const seen = isWhole(parts) ? "all seen" : inPart;
  const whose = shard === undefined ? "" : `part ${shard.index} of ${shard.count}, `;
  return oneLine(`${whose}${seen}${unseen.length === 0 ? "" : `, not looked at: ${unseen.join(", ")}`}`);
}

/** Returns how much was looked at, such as `12` or `12 of 40`. */
export function amount({ checked, total }: Coverage): string {
  return checked === total ? count(checked) : `${count(checked)} of ${count(total)}`;
}

/** Returns a share, rounded down so that only all of something is 100 %. */
function percent(part: number, whole: number): string {
  return `${(Math.floor((part / whole) * 1000) / 10).toFixed(1)} %`;
}

function totals(report: Report): string {
  return SEVERITIES.filter((severity) => report.counts[severity] > 0)
    .map((severity) => plural(report.counts[severity], severity))
    .join(", ");
}

function formatPart(part: CheckSummary, paint: Paint): string[] {
  const lines = [`${paint.bold(part.title)} in ${oneLine(part.root)}`];
  const width = Math.max(...part.coverage.map(({ what }) => what.length), 0);
  for (const each of part.coverage) lines.push(`  ${oneLine(each.what).padEnd(width)}  ${amount(each)}`);
  if (part.sampled !== undefined && part.sampled.length > 0)
    lines.push(`  a sample: ${oneLine(part.sampled.join("; "))}`);
  return [...lines, ""];
}

function formatRule(report: Report, rule: RuleCount, paint: Paint): string[] {
  const colour = paint[COLOURS[rule.severity]];
  const places = rule.places === rule.findings ? "" : ` (${count(rule.places)} places)`;
  const lines = [
    `${colour(rule.severity)} ${paint.bold(rule.code)}: ${rule.title}, ${count(rule.findings)}${places}`,
  ];
  for (const { folder, findings } of rule.folders.slice(0, FOLDERS_SHOWN)) {
    lines.push(
      `  ${oneLine(folder, MAX_TEXT)}${rule.findings > 1 ? paint.dim(` · ${count(findings)}`) : ""}`,
    );
    const examples = report.findings
      .filter((each) => each.rule === rule.code && folderOf(each.path) === folder)
      .slice(0, EXAMPLES_SHOWN);
    for (const { path, record, offset, message } of examples) {
      const name = path === folder ? "" : path.slice(folder === "." ? 0 : folder.length + 1);
      const where = [name, record, offset === undefined ? undefined : `byte ${offset}`]
        .filter(Boolean)
        .join(", ");
      lines.push(`    ${oneLine(`${where === "" ? "" : `${where}: `}${message}`, MAX_TEXT)}`);
    }
    if (findings > examples.length) lines.push(paint.dim(`    … ${count(findings - examples.length)} more`));
  }
  const more = rule.folders.length - FOLDERS_SHOWN;
  if (more > 0) lines.push(paint.dim(`  … and in ${count(more)} more places`));
  lines.push(`  ${paint.dim("→")} ${rule.fix}`);
  return lines;
}
