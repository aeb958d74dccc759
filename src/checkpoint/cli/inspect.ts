/** Declares `vista-ckpt inspect` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { expandInputs } from "../../core/cli/inputs.js";
import { JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import type { CommandContext } from "../../core/cli/program.js";
import { VistaError } from "../../core/errors.js";
import { isRemote, lookAt } from "../../core/io/places.js";
import { KEY_HELP } from "./common.js";
import type { InspectCommandOptions } from "./run-inspect.js";

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
    .action(async (inputs: string[], options: InspectCommandOptions) => {
      const paths = await expandInputs(inputs);
      checkShown(paths.length, options);
      const alone = inputs.length === 1 && paths.length === 1;
      // Before the readers are loaded: a path that is not there needs none.
      if (alone && !isRemote(paths[0]!)) await lookAt(paths[0]!);
      const { inspect } = await import("./run-inspect.js");
      await inspect(paths, alone, options, context);
    });
}

/** Checks the options that say what is shown of one input. @throws VistaError `USAGE` */
function checkShown(count: number, { tensor, tensors, depth }: InspectCommandOptions): void {
  const refuse = (what: string, hint: string) => {
    throw new VistaError("USAGE", what, { hint });
  };
  if (tensor !== undefined) {
    if (count > 1) refuse(`--tensor looks at one input, there are ${count}`, "Name one of them.");
    if (tensors || depth !== undefined)
      refuse("--tensor shows one tensor", "Leave --tensors and --depth out.");
    return;
  }
  const shape = tensors ? "--tensors" : depth === undefined ? undefined : "--depth";
  if (shape !== undefined && count > 1)
    refuse(`${shape} is about one input, there are ${count}`, "Name one of them; several get a line each.");
  if (tensors && depth !== undefined)
    refuse("--tensors shows no tree, which --depth is about", "Leave one of the two out.");
}
