/** The joining of the reports of all shards of one check into what one run would have said. */
import { VistaError } from "../../core/errors.js";
import type { Chart, CheckSummary } from "../finding.js";
import { joinPath, pathFrom } from "../paths.js";
import { choosePictures } from "../sample.js";
import { normaliseSummary, type Report, ReportBuilder } from "./report.js";
import { checkReport } from "./shape.js";

/** A report that was read from a file. */
export interface NamedReport {
  path: string;
  report: Report;
}

/**
 * Joins the reports of all shards of one check.
 *
 * @throws VistaError `FORMAT` for what is no report, `INCONSISTENT` where the reports are not the shards of one check,
 *   `INCOMPLETE` where one is missing, `USAGE` where there are none
 */
export function mergeReports(inputs: readonly NamedReport[]): Report {
  const first = inputs[0];
  if (first === undefined)
    throw new VistaError("USAGE", "no reports to merge", {
      hint: "Give the report of each shard of one check.",
    });
  for (const { path, report } of inputs) checkReport(report, path);
  const seen = new Map<number, string>();
  for (const { path, report } of inputs) {
    checkSame(first, { path, report });
    const { index } = report.shard!;
    const before = seen.get(index);
    if (before !== undefined) {
      throw new VistaError("INCONSISTENT", `is shard ${index}, and so is ${before}`, {
        path,
        hint: "Give each shard's report once.",
      });
    }
    seen.set(index, path);
  }
  const { count } = first.report.shard!;
  const missing = Array.from({ length: count }, (_, i) => i + 1).filter((index) => !seen.has(index));
  if (missing.length > 0) {
    throw new VistaError(
      "INCOMPLETE",
      `of ${count} shards, ${missing.length} ${missing.length === 1 ? "is" : "are"} missing: ${missing.slice(0, 20).join(", ")}`,
      { hint: "Run the missing shards, then merge all reports." },
    );
  }
  const ordered = inputs.map((input) => input.report).sort((a, b) => a.shard!.index - b.shard!.index);
  const builder = new ReportBuilder(first.report.root, first.report.options);
  for (const report of ordered) builder.addCounted(report);
  const parts = first.report.parts.map((_, i) =>
    mergeSummaries(
      ordered.map((report) => report.parts[i]!),
      first.report.root,
    ),
  );
  return builder.finish(first.report.version, parts);
}

function checkSame(first: NamedReport, { path, report }: NamedReport): void {
  if (report.shard === undefined) {
    throw new VistaError("INCONSISTENT", "this report is of a whole run, not of a shard", {
      path,
      hint: "Only reports of `vista-data check --shard i/n --json` can be merged.",
    });
  }
  const described = (from: Report) =>
    JSON.stringify([
      from.version,
      from.root,
      from.options,
      from.shard?.count,
      from.parts.map((part) => [part.kind, part.title, part.root]),
    ]);
  if (described(report) === described(first.report)) return;
  throw new VistaError(
    "INCONSISTENT",
    `this shard and ${first.path} are of different checks (root, options, version or data differ)`,
    { path, hint: "Run all shards with the same version, root and options." },
  );
}

/** @param root  the root of the whole report, to which the paths in the summaries are relative */
function mergeSummaries(parts: readonly CheckSummary[], root: string): CheckSummary {
  const first = parts[0]!;
  const merged: CheckSummary = { ...first, interrupted: parts.some((part) => part.interrupted) };
  const coverage = parts.flatMap((part) => part.coverage);
  merged.coverage = joined(
    coverage,
    ({ what }) => what,
    (known, { checked, total }) => {
      known.checked += checked;
      known.total += total;
    },
  );
  const sampled = parts.flatMap((part) => part.sampled ?? []);
  if (sampled.length > 0) merged.sampled = [...new Set(sampled)];
  if (first.charts !== undefined) merged.charts = mergeCharts(parts.flatMap((part) => part.charts ?? []));
  if (first.samples !== undefined) {
    // The checks choose by paths from their own root, so the merged choice must do so, too.
    const prefix = pathFrom(root, first.root);
    const own = (path: string) => (prefix === "" ? path : path.slice(prefix.length + 1));
    const paths = parts.flatMap((part) => part.samples ?? []).map(own);
    merged.samples = choosePictures(paths).map((path) => joinPath(prefix, path));
  }
  return normaliseSummary(merged, "");
}

/** Returns a copy of each item, with what `add` adds to it of later items of the same name. */
function joined<Item extends object>(
  items: readonly Item[],
  nameOf: (item: Item) => string,
  add: (known: Item, item: Item) => void,
): Item[] {
  const byName = new Map<string, Item>();
  for (const item of items) {
    const known = byName.get(nameOf(item));
    if (known === undefined) byName.set(nameOf(item), { ...item });
    else add(known, item);
  }
  return [...byName.values()];
}

function mergeCharts(charts: readonly Chart[]): Chart[] {
  const labelOf = ({ label }: { label: string }) => label;
  return joined(
    charts,
    ({ title }) => title,
    (known, chart) => {
      if (known.kind === "bars" && chart.kind === "bars") {
        known.points = joined([...known.points, ...chart.points], labelOf, (same, point) => {
          same.value += point.value;
        });
      }
    },
  );
}
