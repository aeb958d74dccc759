/** The forms in which `check` and `merge-reports` give a report. */
import pc from "picocolors";
import { AtomicFile, prepareOutput, writeWhole } from "../../core/io/output.js";
import type { Finding } from "../finding.js";
import { toHtml } from "../report/html.js";
import { compareFindings, type Report } from "../report/report.js";
import { toSarif } from "../report/sarif.js";
import { formatReport } from "../report/text.js";

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

const FLUSH = 1 << 20;

/** An NDJSON file: every finding, one JSON object a line. Whole or absent. */
export class FindingsFile {
  readonly #file: AtomicFile;

  private constructor(file: AtomicFile) {
    this.#file = file;
  }

  /** @returns undefined where no path is given */
  static async create(path: string | undefined, force: boolean): Promise<FindingsFile | undefined> {
    if (path === undefined) return undefined;
    return new FindingsFile(await AtomicFile.create(await prepareOutput(path, 0, { force }), { force }));
  }

  /** Writes the findings, sorted in place: in the order of reports, which is the same with and without shards. */
  async write(findings: Finding[]): Promise<void> {
    findings.sort(compareFindings);
    let text = "";
    for (const finding of findings) {
      text += `${JSON.stringify(finding)}\n`;
      if (text.length < FLUSH) continue;
      await this.#file.handle.writeFile(text);
      text = "";
    }
    await this.#file.handle.writeFile(text);
    await this.#file.commit();
  }

  async discard(): Promise<void> {
    await this.#file.discard();
  }
}
