/** What the commands that write a state dict share when they run. */
import { statSync } from "node:fs";
import { extname, resolve } from "node:path";
import { formatBytes, formatDuration, plural } from "../../core/cli/format.js";
import { VistaError } from "../../core/errors.js";
import { castState } from "../cast.js";
import { type CheckpointFormat, formatOf, type Saved, type SaveOptions } from "../save.js";
import type { StateDict } from "../tensor/tensor.js";
import { DTYPES, type OutputFileOptions } from "./output-options.js";

/** The state dict in the dtype that was asked for. */
export function inDType(state: StateDict, options: OutputFileOptions): StateDict {
  const target = DTYPES[options.dtype];
  return target === undefined ? state : castState(state, target);
}

const EXTENSIONS: Record<CheckpointFormat, readonly string[]> = {
  torch: [".bin", ".pt", ".pth", ".ckpt"],
  safetensors: [".safetensors"],
};

/**
 * The name of an output says its format, to whoever reads it later too.
 * @throws VistaError `USAGE` for one that says none of these formats
 */
export function checkExtension(output: string, formats: readonly CheckpointFormat[]): void {
  const allowed = formats.flatMap((format) => EXTENSIONS[format]);
  const extension = extname(output).toLowerCase();
  if (allowed.includes(extension)) return;
  // A folder or a device is refused for what it is, by whoever writes.
  if (statSync(output, { throwIfNoEntry: false })?.isFile() === false) return;
  const isTorch = EXTENSIONS.torch.includes(extension);
  throw new VistaError(
    "USAGE",
    isTorch
      ? "to-st writes safetensors, and this output has the name of a torch file"
      : `the output's name ends in ${extension === "" ? "no extension" : extension}, which says no format that is written here`,
    { path: output, hint: `Name an output that ends in ${allowed.join(", ")}.` },
  );
}

/** @throws VistaError `USAGE` for metadata of a torch file, which has no place for it */
export function fileOptions(output: string, options: OutputFileOptions): SaveOptions {
  if (options.metadata !== undefined && formatOf(output) === "torch") {
    throw new VistaError("USAGE", "--metadata is for safetensors, and the output is a torch file", {
      path: output,
      hint: "Name an output that ends in .safetensors.",
    });
  }
  return {
    maxShardSize: options.maxShardSize,
    metadata: options.metadata,
  };
}

export interface Result {
  readonly saved: Saved;
  readonly seconds: number;
  readonly dryRun: boolean;
}

/** What `--json` says of the output. */
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

/** The first lines of the summary: what was written, and how much. */
export function outputLines(state: StateDict, { saved, seconds, dryRun }: Result): string[] {
  return [
    `${dryRun ? "would write" : "wrote"} ${saved.index ?? saved.files[0]!.path}` +
      (saved.index === undefined ? "" : ` and ${plural(saved.files.length, "shard")}`),
    `  ${plural(state.tensors.size, "tensor")}, ${plural(state.numel, "parameter")}, ${formatBytes(saved.bytes)}` +
      (dryRun ? "" : `, ${formatDuration(seconds)}`),
  ];
}
