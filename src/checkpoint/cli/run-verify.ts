/** `vista-ckpt verify`: reads every byte of a checkpoint and says what is damaged. */

import { formatBytes, formatCount, formatDuration, plural } from "../../core/cli/format.js";
import { printLines } from "../../core/cli/print.js";
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { createProgressView } from "../../core/cli/progress.js";
import { shorten } from "../../core/errors.js";
import { type VerifyReport, verifyCheckpoint } from "../verify.js";
import type { VerifyCommandOptions } from "./verify.js";

/** Problems and tensors shown; --json has all. */
const MAX_SHOWN = 20;

export async function verify(
  path: string,
  options: VerifyCommandOptions,
  context: CommandContext,
): Promise<void> {
  const started = Date.now();
  const view = await createProgressView(options.quiet ?? false);
  try {
    const report = await verifyCheckpoint(path, {
      ...(options.tag === undefined ? {} : { tag: options.tag }),
      signal: context.signal,
      onProgress: view.update,
    });
    view.stop();
    const seconds = (Date.now() - started) / 1000;
    context.setExitCode(report.problems.length === 0 ? EXIT.ok : EXIT.failed);
    for (const { message } of report.problems.slice(0, MAX_SHOWN))
      printLines([`vista-ckpt: ${message}`], process.stderr);
    if (report.problems.length > MAX_SHOWN) {
      process.stderr.write(`vista-ckpt: and ${plural(report.problems.length - MAX_SHOWN, "problem")} more\n`);
    }
    if (options.json) process.stdout.write(`${toJson(report, seconds)}\n`);
    else if (!options.quiet) printLines(show(report, seconds));
  } finally {
    view.stop();
  }
}

function toJson(report: VerifyReport, seconds: number): string {
  const problems = report.problems.map(({ code, message, where, hint }) => ({
    code,
    message,
    ...where,
    hint,
  }));
  const ok = problems.length === 0;
  return JSON.stringify({ command: "verify", ok, seconds: Number(seconds.toFixed(3)), ...report, problems });
}

function show(report: VerifyReport, seconds: number): string[] {
  const { files, problems, nonFinite, warnings } = report;
  const lines: string[] = [];
  for (const { path, format, bytes, records, checked } of files) {
    const checks =
      format === "torch zip" || format === "dcp"
        ? `${formatCount(checked)} of ${plural(records, "record")} with a good CRC-32`
        : format === "unknown"
          ? "not readable"
          : `${plural(records, format === "safetensors" ? "tensor" : "storage")}, no checksums in this format`;
    lines.push(
      `${path}: ${format === "dcp" ? "data of a distributed checkpoint" : format}, ${formatBytes(bytes)}, ${checks}`,
    );
  }
  for (const warning of warnings) lines.push(`note: ${warning}`);
  for (const { path, name, nan, inf } of nonFinite.slice(0, MAX_SHOWN)) {
    lines.push(
      `not finite: ${path}: ${shorten(name, 300)}: ${formatCount(nan)} NaN, ${formatCount(inf)} infinite`,
    );
  }
  if (nonFinite.length > MAX_SHOWN)
    lines.push(`not finite: and ${plural(nonFinite.length - MAX_SHOWN, "tensor")} more`);
  const size = files.reduce((sum, file) => sum + file.bytes, 0);
  const verdict = problems.length === 0 ? "sound" : `DAMAGED: ${plural(problems.length, "problem")}`;
  lines.push(
    `${verdict}: ${plural(files.length, "file")}, ${formatBytes(size)}, ${formatDuration(seconds)}` +
      (nonFinite.length === 0 ? "" : `; ${plural(nonFinite.length, "tensor")} with NaN or infinity`),
  );
  return lines;
}
