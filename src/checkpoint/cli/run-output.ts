/** Holds what the commands that write a state dict share when they run. */
import { resolve } from "node:path";
import { formatBytes, formatDuration, plural } from "../../core/cli/format.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { requireEnding } from "../../core/io/output-names.js";
import { inPhase } from "../../core/progress.js";
import { castState } from "../cast.js";
import {
  type CheckpointFormat,
  ENDINGS,
  planCheckpoint,
  type Saved,
  type SaveOptions,
  saveCheckpoint,
} from "../save.js";
import type { StateDict } from "../tensor/tensor.js";
import type { CommonOptions } from "./common.js";
import { DTYPES, type OutputFileOptions } from "./output-options.js";

export function inDType(state: StateDict, options: OutputFileOptions): StateDict {
  const target = DTYPES[options.dtype];
  return target === undefined ? state : castState(state, target);
}

/**
 * Checks the ending of an output's name, which says its format, also to whoever reads it later.
 * @throws VistaError `USAGE` for a name that says none of these formats
 */
export function checkExtension(output: string, formats: readonly CheckpointFormat[]): void {
  const endings = formats.flatMap((format) => ENDINGS[format]);
  const what = formats.length > 1 ? "merge writes torch files and safetensors" : "to-st writes safetensors";
  requireEnding(output, endings, what);
}

/**
 * Writes the output, or plans it for `--dry-run`.
 *
 * @param started  the time when the command began, as `Date.now()` returns it
 * @param more  settings that do not come from the options that the commands share
 */
export async function saveOutput(
  command: string,
  state: StateDict,
  output: string,
  options: CommonOptions & OutputFileOptions,
  context: CommandContext,
  started: number,
  { folderIsThere = true, ...more }: SaveOptions & { folderIsThere?: boolean } = {},
): Promise<Result> {
  const { force = false, verify, fsync, maxShardSize, metadata, dryRun = false } = options;
  const how = { force, verify, fsync, maxShardSize, metadata, ...more };
  const saved = dryRun
    ? await planCheckpoint(state, output, how, folderIsThere)
    : await runWithProgress(options.quiet, context.signal, (run) =>
        saveCheckpoint(state, output, inPhase({ ...how, ...run }, command)),
      );
  return { saved, seconds: (Date.now() - started) / 1000, dryRun };
}

export interface Result {
  readonly saved: Saved;
  readonly seconds: number;
  readonly dryRun: boolean;
}

export function outputJson(state: StateDict, { saved, seconds }: Result) {
  return {
    output: resolve(saved.index ?? saved.files[0]!.path),
    files: saved.files.map(({ path, bytes, tensors }) => ({ path: resolve(path), bytes, tensors })),
    bytes: saved.bytes,
    seconds: Number(seconds.toFixed(3)),
    tensors: state.tensors.size,
    parameters: state.numel,
  };
}

/** Returns the first lines of the summary: what was written, and how much. */
export function outputLines(state: StateDict, { saved, seconds, dryRun }: Result): string[] {
  return [
    `${dryRun ? "would write" : "wrote"} ${saved.index ?? saved.files[0]!.path}` +
      (saved.index === undefined ? "" : ` and ${plural(saved.files.length, "shard")}`),
    `  ${plural(state.tensors.size, "tensor")}, ${plural(state.numel, "parameter")}, ${formatBytes(saved.bytes)}` +
      (dryRun ? "" : `, ${formatDuration(seconds)}`),
  ];
}
