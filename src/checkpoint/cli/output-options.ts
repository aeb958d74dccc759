/** Declares the options of the commands that write a state dict: its dtype, its files, its metadata. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CastTarget } from "../tensor/cast.js";

export interface OutputFileOptions {
  dtype: string;
  maxShardSize?: number;
  metadata?: ReadonlyMap<string, string>;
}

export const DTYPES: Record<string, CastTarget | undefined> = {
  keep: undefined,
  fp32: "F32",
  fp16: "F16",
  bf16: "BF16",
};

export function addOutputFileOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--dtype <type>", "convert floating-point tensors (16 bits: round to nearest even)")
        .choices(Object.keys(DTYPES))
        .default("keep"),
    )
    .option(
      "--max-shard-size <size>",
      "write files with at most this much of tensors each, and an index, e.g. 5GB",
      parseSize,
    )
    .option("--metadata <key=value>", "text for the safetensors header; may be repeated", collectMetadata);
}

const UNITS: Record<string, number> = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** Reads a size in decimal units, as Hugging Face counts: `5GB` is 5,000,000,000 bytes. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?B)$/i.exec(text.trim());
  const bytes = match === null ? 0 : Math.floor(Number(match[1]) * UNITS[match[2]!.toUpperCase()]!);
  if (bytes < 1) throw new InvalidArgumentError("It is a number with B, KB, MB, GB or TB, for example 5GB.");
  return bytes;
}

function collectMetadata(text: string, previous: ReadonlyMap<string, string> = new Map()) {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It is key=value, for example format=pt.");
  return new Map(previous).set(text.slice(0, at), text.slice(at + 1));
}
