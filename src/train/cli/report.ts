/** The texts that show findings and failures. */
import { colours } from "../../core/cli/colours.js";
import { plural } from "../../core/cli/format.js";
import { oneLine } from "../../core/errors.js";
import { COLOURS, SEVERITIES } from "../../dataset/finding.js";
import type { TrainFinding } from "../preflight/rules.js";
import type { TrainingResult } from "../run/run.js";

/** The largest number of characters of one text in a line. */
const MAX_TEXT = 2000;

/** Returns a table of severity, rule and what is wrong; below the findings of a rule it says why, and the way out. */
export function findingLines(findings: readonly TrainFinding[]): string[] {
  const width = Math.max(0, ...findings.map((one) => one.rule.length));
  const lines: string[] = [];
  for (const [i, one] of findings.entries()) {
    lines.push(
      `${colours[COLOURS[one.severity]](one.severity.padEnd(7))}  ${one.rule.padEnd(width)}  ${oneLine(one.message, MAX_TEXT)}`,
    );
    const next = findings[i + 1];
    if (next?.rule === one.rule && next.fix === one.fix) continue;
    lines.push(
      `${" ".repeat(9)}${colours.dim("why")}  ${oneLine(one.why, MAX_TEXT)}`,
      `${" ".repeat(9)}${colours.dim("fix")}  ${oneLine(one.fix, MAX_TEXT)}`,
    );
  }
  return lines;
}

/** Returns what prints a warning about a checkpoint, unless only errors are wanted. */
export function warningsTo(quiet = false): (text: string) => void {
  return (text) => {
    if (!quiet) process.stderr.write(`vista-train: warning: ${oneLine(text, MAX_TEXT)}\n`);
  };
}

/** Counts findings by severity, as in `2 errors, 1 warning` or `nothing found`. */
function countFindings(findings: readonly TrainFinding[]): string {
  const counts = SEVERITIES.map((severity) => findings.filter((one) => one.severity === severity))
    .filter((alike) => alike.length > 0)
    .map((alike) => plural(alike.length, alike[0]!.severity));
  return counts.join(", ") || "nothing found";
}

/** Says how a preflight ended, and what that rests on. */
export function verdict(findings: readonly TrainFinding[], sampled: readonly string[]): string {
  const rests = sampled.length === 0 ? "" : `, as far as a sample shows (${oneLine(sampled.join("; "))})`;
  return `${countFindings(findings)}${rests}`;
}

/** Says which rules were looked at, where those are not all. */
export function selected({ only, ignore }: { only?: string[]; ignore?: string[] }): string {
  const parts = [only && `${only.join(", ")} only`, ignore && `without ${ignore.join(", ")}`].filter(Boolean);
  return parts.length === 0 ? "" : ` (looked at: ${oneLine(parts.join(", ").replace(/^without/, "all $&"))})`;
}

/** Returns what is said last of a training that failed: its root cause and what is known of such causes. */
export function failureLines(result: TrainingResult): string[] {
  const lines: string[] = [];
  if (result.report.rootCause !== undefined)
    lines.push(...result.report.rootCause.map((line) => oneLine(line, MAX_TEXT)));
  for (const { line, explanation } of result.report.causes) {
    lines.push("", `seen: ${oneLine(line, MAX_TEXT)}`, `  ${explanation}`);
  }
  return lines;
}
