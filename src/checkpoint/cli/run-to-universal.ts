/** `vista-ckpt to-universal`: a ZeRO checkpoint as a universal one. */
import { resolve } from "node:path";
import { formatBytes, formatCount, formatDuration, plural } from "../../core/cli/format.js";
import { printJson, printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { createProgressView } from "../../core/cli/progress.js";
import { type WrittenUniversal, writeUniversal } from "../to-universal.js";
import { startAhead } from "./ahead.js";
import type { CommonOptions } from "./common.js";

export interface ToUniversalCommandOptions extends CommonOptions {
  tag?: string;
}

export async function toUniversal(
  folder: string,
  options: ToUniversalCommandOptions,
  context: CommandContext,
): Promise<void> {
  const started = Date.now();
  const view = await createProgressView(options.quiet ?? false);
  const dryRun = options.dryRun ?? false;
  try {
    if (!dryRun) startAhead(folder);
    const result = await writeUniversal(folder, options.output, {
      ...(options.tag === undefined ? {} : { tag: options.tag }),
      force: options.force ?? false,
      verify: options.verify,
      fsync: options.fsync,
      dryRun,
      signal: context.signal,
      onProgress: view.update,
    });
    view.stop();
    const seconds = (Date.now() - started) / 1000;
    if (options.json) {
      const { output, ...rest } = result;
      const head = { command: "to-universal", dryRun, output: resolve(output) };
      printJson({ ...head, seconds: Number(seconds.toFixed(3)), ...rest });
    } else if (!options.quiet) printLines(summarize(result, seconds, dryRun));
  } finally {
    view.stop();
  }
}

function summarize(result: WrittenUniversal, seconds: number, dryRun: boolean): string[] {
  const { stage, ranks, states, deepspeed, globalSteps } = result;
  const writer = [
    deepspeed === undefined ? "an unknown DeepSpeed" : `DeepSpeed ${deepspeed}`,
    `ZeRO stage ${stage}`,
    plural(ranks, "rank"),
    ...(globalSteps === undefined ? [] : [`step ${formatCount(globalSteps)}`]),
  ];
  return [
    `${dryRun ? "would write" : "wrote"} ${result.output}, tag ${result.universalTag}`,
    `  ${plural(result.files, "file")}, ${formatBytes(result.bytes)}${dryRun ? "" : `, ${formatDuration(seconds)}`}`,
    `  from ${result.folder}, tag ${result.tag}: ${writer.join(", ")}`,
    `  ${plural(result.parameters, "parameter tensor")} of ${formatCount(result.elements)} elements, each with ` +
      (states.length === 0 ? "no optimizer state" : `the optimizer's ${states.join(", ")}`),
    '  DeepSpeed loads it with {"checkpoint": {"load_universal": true}}',
  ];
}
