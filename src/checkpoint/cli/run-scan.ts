/** Runs `vista-ckpt scan`, which tells whether checkpoints hold anything but data. */

import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import { expandInputs } from "../../core/cli/inputs.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { jsonText, printLines, printResult } from "../../core/cli/print.js";
import { type CommandContext, EXIT, packageVersion } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { VistaError } from "../../core/errors.js";
import { prepareOutput, writeWhole } from "../../core/io/output.js";
import { requireEnding, SARIF_ENDINGS } from "../../core/io/output-names.js";
import { remember } from "../../core/maps.js";
import { sarifLog } from "../../core/sarif.js";
import { SCAN_RULES, type ScanFinding, type ScanReport } from "../scan/findings.js";
import { scanPaths } from "../scan/scan.js";

interface ScanCommandOptions extends PrintOptions {
  sarif?: string;
  force?: boolean;
}

/** The number of findings that are shown of one file; `--json` has all. */
const MAX_SHOWN = 20;

export async function scan(
  inputs: readonly string[],
  options: ScanCommandOptions,
  context: CommandContext,
): Promise<void> {
  const force = options.force ?? false;
  if (options.sarif !== undefined) {
    requireEnding(options.sarif, SARIF_ENDINGS, "this report is SARIF");
    await prepareOutput(options.sarif, 0, { force });
  }
  const paths = await expandInputs(inputs);
  const report = await runWithProgress(options.quiet, context.signal, (run) => scanPaths(paths, run));
  if (report.files.length === 0 && report.findings.length === 0) {
    throw new VistaError("NOT_FOUND", "there is no file in it, so nothing was scanned", {
      path: inputs.join(", "),
      hint: "Name a file, or a folder with files.",
    });
  }
  context.setExitCode(report.clean ? EXIT.ok : EXIT.failed);
  if (options.sarif !== undefined) {
    await writeWhole(options.sarif, jsonText(toSarif(report), 1), { force });
    if (!options.quiet) printLines([`vista-ckpt: wrote ${options.sarif}`], process.stderr);
  }
  printResult(options, { command: "scan", ...report }, show(report));
}

function show(report: ScanReport): string[] {
  const byFile = new Map<string, ScanFinding[]>();
  for (const finding of report.findings) remember(byFile, finding.path, () => []).push(finding);
  const lines: string[] = [];
  for (const { path, kind, bytes, pickles, records, globals, findings } of report.files) {
    const looked = [
      formatBytes(bytes),
      ...(records > 0 ? [plural(records, "record")] : []),
      ...(pickles > 0 ? [plural(pickles, "pickle"), plural(globals.length, "name")] : []),
    ];
    const end = findings === 0 ? "nothing found" : plural(findings, "finding");
    lines.push(`${path}: ${kind}, ${looked.join(", ")}: ${end}`, ...findingLines(byFile.get(path) ?? []));
    byFile.delete(path);
  }
  // The findings that are left are about folders and what is no file.
  for (const [path, findings] of byFile) lines.push(`${path}:`, ...findingLines(findings));
  const count = report.findings.length + report.more;
  const files = plural(report.files.length, "file");
  lines.push(report.clean ? `clean: ${files}` : `NOT CLEAN: ${plural(count, "finding")} in ${files}`);
  return lines;
}

function findingLines(findings: readonly ScanFinding[]): string[] {
  const lines = findings.slice(0, MAX_SHOWN).map(({ rule, record, offset, message }) => {
    const at = offset === undefined ? "" : `at byte ${offset}: `;
    return `  ${rule}: ${record === undefined ? "" : `${record}: `}${at}${message}`;
  });
  if (findings.length > MAX_SHOWN) lines.push(`  … and ${formatCount(findings.length - MAX_SHOWN)} more`);
  return lines;
}

function toSarif(report: ScanReport): unknown {
  return sarifLog({
    program: "vista-ckpt",
    version: packageVersion(),
    rules: Object.entries(SCAN_RULES).map(([id, { severity: level, ...rest }]) => ({ id, level, ...rest })),
    results: report.findings.map(({ rule, path, record, offset, message }) => ({
      rule,
      text: `${record === undefined ? "" : `${record}: `}${message}`,
      path,
      properties: offset === undefined ? undefined : { offset },
    })),
    successful: true,
    properties: { clean: report.clean, findings: report.findings.length + report.more },
  });
}
