/** Runs `vista-ckpt merge`, which makes one fp32 state dict from ZeRO shards. */

import { join } from "node:path";
import { formatCount, plural } from "../../core/cli/format.js";
import { printLines, printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { VistaError } from "../../core/errors.js";
import { isRemote } from "../../core/io/places.js";
import type { Checkpoint } from "../checkpoint.js";
import { openCheckpoint } from "../open.js";
import type { StateDict } from "../tensor/tensor.js";
import { findCheckpoint } from "../zero/layout.js";
import type { ZeroInfo } from "../zero/plan.js";
import { startAhead } from "./ahead.js";
import type { CommonOptions } from "./common.js";
import type { OutputFileOptions } from "./output-options.js";
import { checkExtension, inDType, outputJson, outputLines, type Result, saveOutput } from "./run-output.js";
import { countsText, groupText, namesLine, pairTexts, printWarnings, sourceLine } from "./texts.js";
import "./late-optimising.js";

export interface MergeOptions extends CommonOptions, OutputFileOptions {
  tag?: string;
  key?: string;
  excludeFrozen?: boolean;
  recover: boolean;
}

export async function merge(
  folder: string,
  isFile: boolean,
  output: string | undefined,
  options: MergeOptions,
  context: CommandContext,
): Promise<void> {
  const started = Date.now();
  // The input must be a folder: for a file, the ZeRO reader says what to give instead.
  if (isFile) await findCheckpoint(folder, options.tag);
  const { tag, key, excludeFrozen = false, recover, verify } = options;
  const reading = { tag, key, excludeFrozen, recover, verify, signal: context.signal };
  const checkpoint = await openCheckpoint(folder, reading);
  try {
    // The thread starts only now, because opening a large checkpoint needs memory too: both together would take 20 MB more for a
    // model of 3,000 tensors.
    if (!options.dryRun) await startAhead(folder);
    const { zero, dcp } = checkpoint;
    if (zero === undefined && dcp === undefined) {
      throw new VistaError("WRONG_KIND", "there are no shards of a training to merge", {
        path: folder,
        hint: "Convert it with `vista-ckpt to-st --raw`.",
      });
    }
    const state = inDType(checkpoint.state, options);
    const target = output ?? defaultOutput(zero?.folder ?? folder);
    checkExtension(target, ["torch", "safetensors"]);
    if (!options.quiet) {
      if (zero?.foundBelow) printLines([`vista-ckpt: found one checkpoint: ${zero.folder}`], process.stderr);
      printWarnings(checkpoint.warnings, checkpoint.torchFiles);
    }
    const result = await saveOutput("merge", state, target, options, context, started);
    printResult(options, toJson(state, checkpoint, result), summarize(state, checkpoint, result));
  } finally {
    await checkpoint.state.close();
  }
}

/** Returns the default output, which is beside the shards, or in the current folder for those at a URL. */
function defaultOutput(folder: string): string {
  return isRemote(folder) ? "pytorch_model.bin" : join(folder, "pytorch_model.bin");
}

function toJson(state: StateDict, { zero, dcp, path, leftOut, warnings }: Checkpoint, result: Result) {
  return {
    command: "merge",
    dryRun: result.dryRun,
    ...outputJson(state, result),
    ...(zero ?? { folder: path, ...dcp, leftOut }),
    warnings,
  };
}

function summarize(state: StateDict, checkpoint: Checkpoint, result: Result): string[] {
  const { zero, dcp, path, leftOut } = checkpoint;
  if (zero !== undefined) return summarizeZero(state, zero, result);
  return [
    ...outputLines(state, result),
    `  from ${path}: distributed checkpoint of torch, ${plural(dcp?.files ?? 0, "file")}, ${plural(dcp?.boxes ?? 0, "box", "boxes")}` +
      (dcp?.key === undefined ? "" : `, its entry ${dcp.key}`),
    ...namesLine("left out, since no tensors", leftOut),
  ];
}

function summarizeZero(state: StateDict, info: ZeroInfo, result: Result): string[] {
  const { counts } = info;
  const kinds = [
    [counts.whole, "whole in the module"],
    [counts.buffers, counts.buffers === 1 ? "buffer" : "buffers"],
    [counts.frozen, "frozen"],
    [counts.trained, "trained"],
    [counts.orphans, "recovered"],
    [counts.shared, "shared"],
    [counts.renamed, "renamed"],
  ] as const;
  const lines = [
    ...outputLines(state, result),
    sourceLine(info, [plural(info.ranks, "rank")]),
    `  ${countsText(kinds)}`,
  ];
  if (result.dryRun) {
    info.groups.forEach((group, i) => {
      lines.push(`${groupText(group, i)}, ${formatCount(group.saved - group.numel)} padding`);
    });
  }
  const recovered = "recovered from `module` (in no shard, not frozen; zero_to_fp32.py drops them)";
  const renamed = "renamed in `module`, each a second name of the optimizer's tensor";
  lines.push(
    ...namesLine(recovered, info.recovered),
    ...namesLine(`left out (--no-recover): ${plural(info.leftOut.length, "orphan")}`, info.leftOut),
    ...namesLine("shared", pairTexts(info.shared)),
    ...namesLine(renamed, pairTexts(info.renamed)),
  );
  const converted = countsText(Object.entries(info.converted).map(([dtype, n]) => [n, `of ${dtype}`]));
  if (converted !== "") lines.push(`  converted to F32: ${converted}`);
  return lines;
}
