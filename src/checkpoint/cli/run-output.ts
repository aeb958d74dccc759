/** What the commands that write a state dict share when they run. */
import { resolve } from "node:path";
import { formatBytes, formatDuration, plural } from "../../core/cli/format.js";
import { VistaError } from "../../core/errors.js";
import { castState } from "../cast.js";
import { formatOf, type Saved, type SaveOptions } from "../save.js";
import type { StateDict } from "../tensor/tensor.js";
import { DTYPES, type OutputFileOptions } from "./output-options.js";

/** The state dict in the dtype that was asked for. */
export function inDType(state: StateDict, options: OutputFileOptions): StateDict {
  const target = DTYPES[options.dtype];
  return target === undefined ? state : castState(state, target);
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
    ...(options.maxShardSize === undefined ? {} : { maxShardSize: options.maxShardSize }),
    ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
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
