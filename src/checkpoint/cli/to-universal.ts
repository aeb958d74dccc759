/** Declares `vista-ckpt to-universal` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addCommonOptions } from "./common.js";

const HELP = `
Examples:
  $ vista-ckpt to-universal last.ckpt                        writes last-universal.ckpt beside it
  $ vista-ckpt to-universal . -o /data/universal.ckpt        from inside X.ckpt, to another disk
  $ vista-ckpt to-universal last.ckpt --dry-run              sizes, nothing written

Writes what DeepSpeed's ds_to_universal.py makes of a ZeRO checkpoint. DeepSpeed (0.14.2 or later)
loads it on any number of GPUs with {"checkpoint": {"load_universal": true}}. The original stays as
it is. Needs no Python.`;

export function toUniversalCommand(parent: Command, context: CommandContext): void {
  const command = parent
    .command("to-universal")
    .summary("write a ZeRO checkpoint as a universal one")
    .description(
      "Write a ZeRO checkpoint as a universal checkpoint, which DeepSpeed loads on any number of GPUs",
    )
    .argument("[folder]", "checkpoint folder (has `latest`), tag folder, or a run folder above", ".")
    .option("-o, --output <folder>", "new checkpoint folder (default: <folder>-universal.ckpt beside it)")
    .option("--tag <tag>", "tag folder to read instead of the one `latest` names");
  addCommonOptions(command)
    .addHelpText("after", HELP)
    .action(later(async () => (await import("./run-to-universal.js")).toUniversal, context));
}
