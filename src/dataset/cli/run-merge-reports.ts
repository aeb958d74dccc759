/** The work of `vista-data merge-reports`, once its options are read. */
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { cannot, VistaError } from "../../core/errors.js";
import { readRegular } from "../../core/io/regular.js";
import { settleAll } from "../../core/io/settle.js";
import { mergeReports } from "../report/merge.js";
import type { Report } from "../report/report.js";
import { FindingsFile, prepareReports, type ReportOutputs, writeReports } from "./outputs.js";

export async function runMergeReports(
  paths: readonly string[],
  options: ReportOutputs,
  context: CommandContext,
): Promise<void> {
  const force = options.force ?? false;
  await prepareReports(options);
  const report = mergeReports(
    await settleAll(paths.map(async (path) => ({ path, report: await readReport(path) }))),
  );
  if (options.ndjson !== undefined) requireAllFindings(report);
  const ndjson = await FindingsFile.create(options.ndjson, force);
  try {
    if (ndjson !== undefined) for (const finding of report.findings) ndjson.add(finding);
    await writeReports(report, options, { findings: ndjson });
  } finally {
    await ndjson?.discard();
  }
  context.setExitCode(report.counts.error > 0 || report.verdict === "interrupted" ? EXIT.failed : EXIT.ok);
}

async function readReport(path: string) {
  const text = String(await readRegular(path).catch(cannot("read the report", path)));
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new VistaError("FORMAT", "this is not JSON: the run that wrote it did not end, or had no --json", {
      path,
      hint: "Run that shard again.",
      cause: error,
    });
  }
}

/**
 * Makes sure that the reports list all findings. The reports of shards list only so many of a rule and count the others, but an
 * NDJSON file has them all.
 *
 * @throws VistaError `INCOMPLETE`
 */
function requireAllFindings(report: Report): void {
  for (const { code, findings } of report.rules) {
    const listed = report.findings.filter((finding) => finding.rule === code).length;
    if (listed === findings) continue;
    throw new VistaError(
      "INCOMPLETE",
      `--ndjson: the reports list ${listed} of ${findings} findings of ${code} and count the others`,
      { hint: "Run the shards with --max-findings 0, or leave --ndjson out." },
    );
  }
}
