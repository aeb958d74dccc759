/** Declares `vista-ckpt inspect` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { KEY_HELP } from "./common.js";

const HELP = `
Examples:
  $ vista-ckpt inspect last.ckpt                 a ZeRO checkpoint folder
  $ vista-ckpt inspect vista.safetensors --tensors  every tensor with dtype, shape and size
  $ vista-ckpt inspect vista.safetensors --tensor model.diffusion_model.out.2.weight
                                                 its range, mean and a histogram
  $ vista-ckpt inspect 'logs/**/*.ckpt'          several, with a line for each
  $ vista-ckpt inspect model.bin --json | jq .globals.unknown

Reads headers and pickles only, no weights but those of --tensor; executes nothing that a
pickle asks for.`;

export function inspectCommand(parent: Command, context: CommandContext): void {
  parent
    .command("inspect")
    .summary("show what a checkpoint is and what is in it")
    .description("Show what a checkpoint is, who wrote it, and its tensors")
    .argument(
      "<paths...>",
      "torch files, *.index.json, safetensors, checkpoint folders, or patterns in quotes",
    )
    .option("--tag <tag>", "tag folder of a checkpoint instead of the one `latest` names")
    .option("--key <key>", KEY_HELP)
    .option("--tensors", "every tensor instead of the folded tree")
    .option("--depth <levels>", "levels of the tree (default: as many as fit on a screen)", wholeNumber(1))
    .option("--tensor <name>", "one tensor alone: shape, dtype, least and largest value, mean, a histogram")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", HELP)
    .action(later(async () => (await import("./run-inspect.js")).inspect, context));
}
