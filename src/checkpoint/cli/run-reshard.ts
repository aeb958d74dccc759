/** Runs `vista-ckpt reshard`, which writes a ZeRO checkpoint for another number of ranks. */
import { formatCount, plural } from "../../core/cli/format.js";
import type { CommandContext } from "../../core/cli/program.js";
import type { ReshardBatch, Resharded } from "../reshard.js";
import { type FolderCommandOptions, stateWords, writeFolder } from "./run-folder.js";
import { groupText, sourceLine } from "./texts.js";

interface ReshardCommandOptions extends FolderCommandOptions {
  ranks: number;
}

export async function reshard(
  folder: string,
  options: ReshardCommandOptions,
  context: CommandContext,
): Promise<void> {
  const { ranks } = options;
  const describe = (result: Resharded, wrote: string, size: string) => [
    `${wrote} ${result.output}, for ${plural(ranks, "rank")} instead of ${formatCount(result.ranksBefore)}`,
    `  ${plural(result.files.length, "file")}, ${size}`,
    sourceLine(result),
    `  moved ${plural(result.parameters, "parameter tensor")}${stateWords(result)}`,
    ...(options.dryRun ? groupLines(result) : []),
    ...batchLines(result.batch, result.ranksBefore, ranks),
  ];
  await writeFolder({ job: "reshard", ranks }, folder, options, context, describe);
}

function groupLines({ groups }: Resharded): string[] {
  return groups.map(
    (group, g) =>
      `${groupText(group, g)}; a rank holds ` +
      `${formatCount(group.partition)} instead of ${formatCount(group.partitionBefore)}, ` +
      `padding ${formatCount(group.padding)} instead of ${formatCount(group.paddingBefore)}`,
  );
}

/** Returns lines about what another number of GPUs means for the training. */
function batchLines(batch: ReshardBatch, before: number, after: number): string[] {
  if (before === after) return [];
  const { perRank, accumulation, keepAccumulation } = batch;
  const per = `gradient accumulation ${accumulation}`;
  const exact = (accumulation * before) / after;
  return [
    perRank === undefined
      ? `  effective batch: ${formatCount(after)}/${formatCount(before)} of what it was, at ${per}`
      : `  effective batch: ${formatCount(batch.after!)} (${formatCount(perRank)} a GPU × ${per} × ${plural(after, "GPU")}), it was ${formatCount(batch.before!)}`,
    keepAccumulation === undefined
      ? `  accumulate_grad_batches ${Math.max(1, Math.round(exact))} comes nearest to the old one (exactly it would be ${Number(exact.toFixed(2))})`
      : `  accumulate_grad_batches=${keepAccumulation} keeps the old one`,
    "  batches an epoch change with the GPUs; the progress counters in the checkpoint stay as they are",
  ];
}
