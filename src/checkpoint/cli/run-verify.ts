/** Runs `vista-ckpt verify`, which reads every byte of a checkpoint and says what is damaged. */

import { formatBytes, formatCount, formatDuration, plural } from "../../core/cli/format.js";
import { errorJson, expandInputs, forEachInput } from "../../core/cli/inputs.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printJson, printLines, printResult } from "../../core/cli/print.js";
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { shorten } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { type VerifyReport, verifyCheckpoint } from "../verify.js";
import "./late-optimising.js";

export interface VerifyCommandOptions extends PrintOptions {
  tag?: string;
  key?: string;
}

/** The number of problems, and of tensors, that are shown; `--json` has all. */
const MAX_SHOWN = 20;

export async function verify(
  inputs: readonly string[],
  options: VerifyCommandOptions,
  context: CommandContext,
): Promise<void> {
  const check = async (path: string) => {
    const started = Date.now();
    const report = await runWithProgress(options.quiet, context.signal, (run) =>
      verifyCheckpoint(path, { ...run, tag: options.tag, key: options.key }),
    );
    printProblems(report.problems);
    return { report, seconds: (Date.now() - started) / 1000 };
  };
  const paths = await expandInputs(inputs);
  if (inputs.length === 1 && paths.length === 1) {
    const { report, seconds } = await check(paths[0]!);
    context.setExitCode(report.problems.length === 0 ? EXIT.ok : EXIT.failed);
    printResult(options, { command: "verify", ...toJson(report, seconds) }, show(report, seconds));
    return;
  }
  const outcomes = await forEachInput("vista-ckpt", paths, async (path) => {
    const { report, seconds } = await check(path);
    if (!options.json && !options.quiet) printLines([`${path}: ${verdict(report, seconds)}`]);
    return { ok: report.problems.length === 0, json: options.json ? toJson(report, seconds) : undefined };
  });
  const ok = outcomes.every(({ result }) => result?.ok === true);
  context.setExitCode(ok ? EXIT.ok : EXIT.failed);
  if (options.json) {
    const found = outcomes.map(
      ({ path, result, error }) => result?.json ?? { path, ok: false, ...errorJson(error!) },
    );
    printJson({ command: "verify", ok, inputs: found });
  }
}

function printProblems(problems: VerifyReport["problems"]): void {
  const lines = problems.slice(0, MAX_SHOWN).map(({ message }) => `vista-ckpt: ${message}`);
  if (problems.length > MAX_SHOWN) {
    lines.push(`vista-ckpt: and ${plural(problems.length - MAX_SHOWN, "problem")} more`);
  }
  if (lines.length > 0) printLines(lines, process.stderr);
}

function toJson(report: VerifyReport, seconds: number) {
  const problems = report.problems.map((problem) => errorJson(problem).error);
  const ok = problems.length === 0;
  return { ok, seconds: Number(seconds.toFixed(3)), ...report, problems };
}

function show(report: VerifyReport, seconds: number): string[] {
  const { files, nonFinite, warnings } = report;
  const lines: string[] = [];
  for (const { path, format, bytes, records, checked } of files) {
    const what = format === "dcp" ? "data of a distributed checkpoint" : format;
    let checks = `${plural(records, format === "safetensors" ? "tensor" : "storage")}, no checksums in this format`;
    if (format === "torch zip" || format === "dcp")
      checks = `${formatCount(checked)} of ${plural(records, "record")} with a good CRC-32`;
    else if (format === "unknown") checks = "not readable";
    lines.push(`${path}: ${what}, ${formatBytes(bytes)}, ${checks}`);
  }
  for (const warning of warnings) lines.push(`note: ${warning}`);
  for (const { path, name, nan, inf } of nonFinite.slice(0, MAX_SHOWN)) {
    const counts = `${formatCount(nan)} NaN, ${formatCount(inf)} infinite`;
    lines.push(`not finite: ${path}: ${shorten(name, 300)}: ${counts}`);
  }
  if (nonFinite.length > MAX_SHOWN)
    lines.push(`not finite: and ${plural(nonFinite.length - MAX_SHOWN, "tensor")} more`);
  lines.push(verdict(report, seconds));
  return lines;
}

/** The codes of problems that say nothing about the bytes of a file. */
const UNREAD: ReadonlySet<string> = new Set(["UNSUPPORTED", "IO"]);

function verdict({ files, problems, nonFinite }: VerifyReport, seconds: number): string {
  const size = sum(files, (file) => file.bytes);
  // What a zip tool repacked, or a server did not send, may be sound: its bytes were not looked at.
  const onlyUnread = problems.length > 0 && problems.every(({ code }) => UNREAD.has(code));
  const found = `${onlyUnread ? "NOT CHECKED" : "DAMAGED"}: ${plural(problems.length, "problem")}`;
  const looked = `${plural(files.length, "file")}, ${formatBytes(size)}, ${formatDuration(seconds)}`;
  const odd = nonFinite.length === 0 ? "" : `; ${plural(nonFinite.length, "tensor")} with NaN or infinity`;
  return `${problems.length === 0 ? "sound" : found}: ${looked}${odd}`;
}
