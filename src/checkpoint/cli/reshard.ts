/** Declares `vista-ckpt reshard` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addCommonOptions } from "./common.js";

const HELP = `
Examples:
  $ vista-ckpt reshard last.ckpt --ranks 8                  writes last-8ranks.ckpt beside it
  $ vista-ckpt reshard last.ckpt --ranks 8 --dry-run        groups, padding and sizes, nothing written
  $ vista-ckpt reshard . --ranks 1 -o /data/one-gpu.ckpt    from inside X.ckpt, to another disk

DeepSpeed loads a ZeRO checkpoint only on as many GPUs as saved it ("The checkpoint being loaded
used a DP world size of 128 but the current world size is 8"). This writes the checkpoint that the
other number of GPUs would have saved: weights, optimizer states and everything else. The original
stays as it is. Needs no Python.`;

export function reshardCommand(parent: Command, context: CommandContext): void {
  const command = parent
    .command("reshard")
    .summary("rewrite a ZeRO checkpoint for another number of GPUs")
    .description(
      "Rewrite a ZeRO checkpoint so that DeepSpeed loads it on another number of GPUs, optimizer included",
    )
    .argument("[folder]", "checkpoint folder (has `latest`), tag folder, or a run folder above", ".")
    .requiredOption("--ranks <number>", "GPUs that will load it (required)", wholeNumber(1))
    .option("-o, --output <folder>", "new checkpoint folder (default: <folder>-<ranks>ranks.ckpt beside it)")
    .option("--tag <tag>", "tag folder to read instead of the one `latest` names");
  addCommonOptions(command)
    .addHelpText("after", HELP)
    .action(later(async () => (await import("./run-reshard.js")).reshard, context));
}
