/** Declares `vista-ckpt diff` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { finiteNumber, JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { KEY_HELP } from "./common.js";

const tolerance = finiteNumber("1e-5", 0);

const HELP = `
Examples:
  $ vista-ckpt diff a.bin b.safetensors
  $ vista-ckpt diff last.ckpt pytorch_model.bin     shards against a merged file
  $ vista-ckpt diff old.safetensors new.safetensors --json
  $ vista-ckpt diff --optimizer last.ckpt last-8ranks.ckpt
  $ vista-ckpt diff fp32.safetensors bf16.safetensors --ignore-dtype --rtol 0.004

Exit code 0 where names, dtypes, shapes and all bytes are equal (or as close as --atol, --rtol and
--ignore-dtype allow) and so are the metadata of safetensors, 1 where they differ, 2 for trouble: an
input that cannot be read.`;

export function diffCommand(parent: Command, context: CommandContext): void {
  parent
    .command("diff")
    .summary("compare two checkpoints of any kind")
    .description("Compare the tensors of two checkpoints: names, dtypes, shapes, bytes, values")
    .argument("<a>", "torch file, *.index.json, safetensors or ZeRO checkpoint folder")
    .argument("<b>", "the other")
    .option("--key <key>", KEY_HELP)
    .option("--key-b <key>", "the same for the other input, where it is another one")
    .option(
      "--optimizer",
      "compare the optimizers of two ZeRO checkpoints (any ranks) or universal ones: fp32 weights, states, steps, hyperparameters",
    )
    .option("--no-verify", "do not check the CRC-32 checksums")
    .option("--atol <number>", "floats are equal where |a - b| <= atol + rtol * |b| (default: 0)", tolerance)
    .option("--rtol <number>", "the part of it that grows with |b| (default: 0)", tolerance)
    .option("--ignore-dtype", "floats of different dtypes with equal values are no difference")
    .option("--max <count>", "names shown of each kind of difference", wholeNumber(), 20)
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", HELP)
    .action(later(async () => (await import("./run-diff.js")).diff, context));
}
