/** `vista-ckpt merge`: ZeRO shards → one fp32 state dict. */

import { join } from "node:path";
import { formatCount, plural } from "../../core/cli/format.js";
import { printJson, printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { createProgressView } from "../../core/cli/progress.js";
import { firstNames, VistaError } from "../../core/errors.js";
import { isFile, isRemote } from "../../core/io/places.js";
import { inPhase } from "../../core/progress.js";
import type { Checkpoint } from "../checkpoint.js";
import { openCheckpoint } from "../open.js";
import { planCheckpoint, saveCheckpoint } from "../save.js";
import type { StateDict } from "../tensor/tensor.js";
import { findCheckpoint } from "../zero/layout.js";
import type { ZeroInfo } from "../zero/plan.js";
import { startAhead } from "./ahead.js";
import { type CommonOptions, printWarnings } from "./common.js";
import type { OutputFileOptions } from "./output-options.js";
import { checkExtension, fileOptions, inDType, outputJson, outputLines, type Result } from "./run-output.js";

export interface MergeOptions extends CommonOptions, OutputFileOptions {
  tag?: string;
  key?: string;
  excludeFrozen?: boolean;
  recover: boolean;
}

export async function merge(
  folder: string,
  output: string | undefined,
  options: MergeOptions,
  context: CommandContext,
): Promise<void> {
  const started = Date.now();
  const view = await createProgressView(options.quiet ?? false);
  let checkpoint: Checkpoint | undefined;
  try {
    // The one input of a command that must be a folder: of a file, the ZeRO reader says what to give instead.
    if (await isFile(folder)) await findCheckpoint(folder, options.tag);
    checkpoint = await openCheckpoint(folder, {
      tag: options.tag,
      key: options.key,
      excludeFrozen: options.excludeFrozen ?? false,
      recover: options.recover,
      verify: options.verify,
      signal: context.signal,
    });
    // Not while a large checkpoint is opened: both need memory then, 20 MB more for a model of 3,000 tensors.
    if (!options.dryRun) startAhead(folder);
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
    const saveOptions = {
      ...fileOptions(target, options),
      force: options.force ?? false,
      fsync: options.fsync,
      verify: options.verify,
      signal: context.signal,
      onProgress: view.update,
    };
    const saved = options.dryRun
      ? planCheckpoint(state, target, saveOptions)
      : await saveCheckpoint(state, target, inPhase(saveOptions, "merge"));
    view.stop();
    const seconds = (Date.now() - started) / 1000;
    const result = { saved, seconds, dryRun: options.dryRun ?? false };
    if (options.json) printJson(toJson(state, checkpoint, result));
    else if (!options.quiet) printLines(summarize(state, checkpoint, result));
  } finally {
    view.stop();
    await checkpoint?.state.close();
  }
}

/** Beside the shards; for those at a URL, in the current folder. */
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
    ...(leftOut.length === 0 ? [] : [`  left out, since no tensors: ${firstNames(leftOut)}`]),
  ];
}

function summarizeZero(state: StateDict, info: ZeroInfo, result: Result): string[] {
  const { counts } = info;
  const writer = [
    info.deepspeed === undefined ? "an unknown DeepSpeed" : `DeepSpeed ${info.deepspeed}`,
    info.lightning === undefined ? "" : ` with Lightning ${info.lightning}`,
    `, ZeRO stage ${info.stage}, ${plural(info.ranks, "rank")}`,
    info.globalSteps === undefined ? "" : `, step ${formatCount(info.globalSteps)}`,
  ].join("");
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
    `  from ${info.folder}, tag ${info.tag}: ${writer}`,
    `  ${kinds
      .filter(([count]) => count > 0)
      .map(([count, what]) => `${formatCount(count)} ${what}`)
      .join(", ")}`,
  ];
  if (result.dryRun) {
    info.groups.forEach(({ parameters, numel, saved }, i) => {
      lines.push(
        `  group ${i}: ${plural(parameters, "parameter tensor")}, ${formatCount(numel)} elements, ${formatCount(saved - numel)} padding`,
      );
    });
  }
  if (info.recovered.length > 0) {
    lines.push(
      `  recovered from \`module\` (in no shard, not frozen; zero_to_fp32.py drops them): ${firstNames(info.recovered)}`,
    );
  }
  if (info.leftOut.length > 0) {
    lines.push(
      `  left out (--no-recover): ${plural(info.leftOut.length, "orphan")}: ${firstNames(info.leftOut)}`,
    );
  }
  if (info.shared.length > 0) {
    lines.push(`  shared: ${firstNames(info.shared.map(([alias, source]) => `${alias} = ${source}`))}`);
  }
  if (info.renamed.length > 0) {
    lines.push(
      `  renamed in \`module\`, each a second name of the optimizer's tensor: ${firstNames(info.renamed.map(([name, source]) => `${name} = ${source}`))}`,
    );
  }
  const converted = Object.entries(info.converted);
  if (converted.length > 0) {
    lines.push(
      `  converted to F32: ${converted.map(([dtype, count]) => `${formatCount(count)} of ${dtype}`).join(", ")}`,
    );
  }
  return lines;
}
