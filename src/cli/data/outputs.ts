/** The forms in which `check` and `merge-reports` give a report. */
import pc from "picocolors";
import { toHtml } from "../../dataset/report/html.js";
import type { Report } from "../../dataset/report/report.js";
import { toSarif } from "../../dataset/report/sarif.js";
import { formatReport } from "../../dataset/report/text.js";
import { writeWhole } from "../../io/output.js";

export interface ReportOutputs {
  json?: boolean;
  sarif?: string;
  report?: string;
  force?: boolean;
}

/** Files first, then stdout: text, or the JSON object. */
export async function writeReports(report: Report, outputs: ReportOutputs): Promise<void> {
  const options = { force: outputs.force ?? false };
  if (outputs.sarif !== undefined) {
    await writeWhole(outputs.sarif, `${JSON.stringify(toSarif(report), null, 1)}\n`, options);
  }
  if (outputs.report !== undefined) await writeWhole(outputs.report, await toHtml(report), options);
  const text = outputs.json
    ? `${JSON.stringify(report)}\n`
    : formatReport(report, pc.createColors(hasColour()));
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
}

function hasColour(): boolean {
  return process.stdout.isTTY === true && !process.env.NO_COLOR;
}
