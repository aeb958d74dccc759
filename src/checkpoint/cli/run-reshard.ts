/** `vista-ckpt reshard`: a ZeRO checkpoint for another number of ranks. */
import { resolve } from "node:path";
import { formatBytes, formatCount, formatDuration, plural } from "../../core/cli/format.js";
import { printJson, printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { createProgressView } from "../../core/cli/progress.js";
import { type ReshardBatch, type Resharded, reshardCheckpoint } from "../reshard.js";
import { startAhead } from "./ahead.js";
import type { CommonOptions } from "./common.js";

export interface ReshardCommandOptions extends CommonOptions {
  ranks: number;
  tag?: string;
}

export async function reshard(
  folder: string,
  options: ReshardCommandOptions,
  context: CommandContext,
): Promise<void> {
  const started = Date.now();
  const view = await createProgressView(options.quiet ?? false);
  const dryRun = options.dryRun ?? false;
  try {
    if (!dryRun) startAhead(folder);
    const result = await reshardCheckpoint(folder, options.output, {
      ranks: options.ranks,
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
      const json = { command: "reshard", dryRun, output: resolve(output), seconds: round(seconds), ...rest };
      printJson(json);
    } else if (!options.quiet) printLines(summarize(result, seconds, dryRun));
  } finally {
    view.stop();
  }
}

function round(seconds: number): number {
  return Number(seconds.toFixed(3));
}

function summarize(result: Resharded, seconds: number, dryRun: boolean): string[] {
  const { ranksBefore, ranks, states, groups } = result;
  const writer = [
    result.deepspeed === undefined ? "an unknown DeepSpeed" : `DeepSpeed ${result.deepspeed}`,
    result.lightning === undefined ? "" : ` with Lightning ${result.lightning}`,
    `, ZeRO stage ${result.stage}`,
    result.globalSteps === undefined ? "" : `, step ${formatCount(result.globalSteps)}`,
  ].join("");
  const lines = [
    `${dryRun ? "would write" : "wrote"} ${result.output}, for ${plural(ranks, "rank")} instead of ${formatCount(ranksBefore)}`,
    `  ${plural(result.files.length, "file")}, ${formatBytes(result.bytes)}${dryRun ? "" : `, ${formatDuration(seconds)}`}`,
    `  from ${result.folder}, tag ${result.tag}: ${writer}`,
    `  moved ${plural(result.parameters, "parameter tensor")} of ${formatCount(result.elements)} elements, each with ` +
      (states.length === 0 ? "no optimizer state" : `the optimizer's ${states.join(", ")}`),
  ];
  if (dryRun) {
    groups.forEach((group, g) => {
      lines.push(
        `  group ${g}: ${plural(group.parameters, "parameter tensor")}, ${formatCount(group.numel)} elements; a rank holds ` +
          `${formatCount(group.partition)} instead of ${formatCount(group.partitionBefore)}, ` +
          `padding ${formatCount(group.padding)} instead of ${formatCount(group.paddingBefore)}`,
      );
    });
  }
  return [...lines, ...batchLines(result.batch, ranksBefore, ranks)];
}

/** What another number of GPUs means for the training. */
function batchLines(batch: ReshardBatch, before: number, after: number): string[] {
  if (before === after) return [];
  const { perRank, accumulation, keepAccumulation } = batch;
  const per = `gradient accumulation ${accumulation}`;
  const lines =
    perRank === undefined
      ? [`  effective batch: ${formatCount(after)}/${formatCount(before)} of what it was, at ${per}`]
      : [
          `  effective batch: ${formatCount(batch.after!)} (${formatCount(perRank)} a GPU × ${per} × ${plural(after, "GPU")}), it was ${formatCount(batch.before!)}`,
        ];
  if (keepAccumulation === undefined) {
    const exact = (accumulation * before) / after;
    lines.push(
      `  accumulate_grad_batches ${Math.max(1, Math.round(exact))} comes nearest to the old one (exactly it would be ${Number(exact.toFixed(2))})`,
    );
  } else lines.push(`  accumulate_grad_batches=${keepAccumulation} keeps the old one`);
  lines.push(
    "  batches an epoch change with the GPUs; the progress counters in the checkpoint stay as they are",
  );
  return lines;
}
