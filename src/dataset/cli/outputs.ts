/** The forms in which `check` and `merge-reports` give a report. */
import { hostname } from "node:os";
import { colours } from "../../core/cli/colours.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { displayText, jsonText, printLines } from "../../core/cli/print.js";
import { AtomicFile, commitTogether, prepareOutput } from "../../core/io/output.js";
import { requireEnding, SARIF_ENDINGS } from "../../core/io/output-names.js";
import { quote } from "../../core/text.js";
import type { Finding } from "../finding.js";
import type { Report } from "../report/report.js";
import { toSarif } from "../report/sarif.js";
import { SortedFindings } from "../report/sorted-findings.js";
import { formatErrors, formatReport } from "../report/text.js";

/** The options of both commands that say in which forms the report is given. */
export interface ReportOutputs extends PrintOptions {
  ndjson?: string;
  sarif?: string;
  report?: string;
  force?: boolean;
}

/** Looks at all outputs before any work is done. @throws VistaError what `prepareOutput` throws */
export async function prepareReports(
  outputs: ReportOutputs & { writeClean?: string; listMissing?: string },
): Promise<void> {
  const { report, sarif, listMissing, writeClean, ndjson, force = false } = outputs;
  // The order is that of preparing: the seal of the set comes first, because a run that died has left its note about the others
  // beside it.
  const files: [path: string | undefined, endings: string[], what: string][] = [
    [report, [".html", ".htm"], "the report is HTML"],
    [sarif, SARIF_ENDINGS, "this report is SARIF"],
    [listMissing, [".txt", ".tsv"], "the list is text"],
    [writeClean, [".json"], "the annotation file is JSON"],
    [ndjson, [".ndjson", ".jsonl"], "the findings are lines of JSON"],
  ];
  for (const [path, endings, what] of files) if (path !== undefined) requireEnding(path, endings, what);
  for (const [path] of files) if (path !== undefined) await prepareOutput(path, 0, { force });
}

/** The outputs that there are besides the report. */
export interface MoreOutputs {
  findings?: FindingsFile | undefined;
  /** The files that are written already and are to appear with the others. */
  files?: readonly AtomicFile[];
  texts?: readonly { path: string; text: string }[];
  /** The absolute path of what was checked here. */
  root?: string;
  /** The lines after the report as text. */
  closing?: readonly string[];
  /** The reason why one of the outputs was not written, which is printed also with `--quiet`. */
  failure?: string | undefined;
  /** The members of the JSON object after those of the report. */
  json?: Record<string, unknown>;
}

/** Writes the files first, all or none, and then prints text or the JSON object. */
export async function writeReports(
  report: Report,
  outputs: ReportOutputs,
  { findings, files: others = [], texts = [], root, closing = [], failure, json = {} }: MoreOutputs = {},
): Promise<void> {
  const files: AtomicFile[] = findings === undefined ? [...others] : [findings.file, ...others];
  const add = async (path: string, text: string) => {
    const options = { force: outputs.force ?? false };
    const file = await AtomicFile.create(
      await prepareOutput(path, Buffer.byteLength(text), options),
      options,
    );
    files.push(file);
    await file.write(text);
  };
  try {
    await findings?.finish();
    for (const { path, text } of texts) await add(path, text);
    if (outputs.sarif !== undefined) await add(outputs.sarif, jsonText(toSarif(report), 1));
    // The report that a person opens comes last, so that where it is, the others are.
    if (outputs.report !== undefined) {
      const { toHtml } = await import("../report/html.js");
      const command = ["vista-data", ...process.argv.slice(2)].map(quote).join(" ");
      const origin = { path: root, date: new Date(), host: hostname(), command };
      await add(outputs.report, await toHtml(report, origin));
    }
    await commitTogether(files);
    if (files.length > 0 && !outputs.quiet)
      printLines(
        files.map(({ path }) => `vista-data: wrote ${path}`),
        process.stderr,
      );
  } catch (error) {
    for (const file of files) await file.discard();
    throw error;
  }
  const text = outputs.json
    ? jsonText({ ...report, ...json })
    : formatReport(report, colours) + (closing.length === 0 ? "" : displayText(closing));
  if (outputs.json || !outputs.quiet)
    await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
  else process.stderr.write(formatErrors(report));
  if (failure !== undefined) printLines([`vista-data: ${failure}`], process.stderr);
}

/**
 * An NDJSON file with every finding, one JSON object a line, in the order of reports, which is the same with and without shards.
 */
export class FindingsFile {
  readonly #findings: SortedFindings;

  private constructor(
    /** The file, which is to be committed with the other reports. */ readonly file: AtomicFile,
  ) {
    this.#findings = new SortedFindings(file.path);
  }

  /** Makes the file. @returns undefined where no path is given */
  static async create(path: string | undefined, force: boolean): Promise<FindingsFile | undefined> {
    if (path === undefined) return undefined;
    return new FindingsFile(await AtomicFile.create(await prepareOutput(path, 0, { force }), { force }));
  }

  add(finding: Finding): void {
    this.#findings.add(finding);
  }

  /** Writes what was added. @throws VistaError `NO_SPACE`, `IO` */
  async finish(): Promise<void> {
    for (const block of this.#findings.lines()) await this.file.write(block);
  }

  async discard(): Promise<void> {
    this.#findings.close();
    await this.file.discard();
  }
}
