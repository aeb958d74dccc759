/** Declares `vista-ckpt merge` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import type { CommandContext } from "../../core/cli/program.js";
import { lookAt } from "../../core/io/places.js";
import { addCommonOptions, oneOutput } from "./common.js";
import { addOutputFileOptions } from "./output-options.js";
import type { MergeOptions } from "./run-merge.js";

const HELP = `
Examples:
  $ vista-ckpt merge .                                inside X.ckpt: writes pytorch_model.bin there
  $ vista-ckpt merge logs/run/checkpoints/last.ckpt   the same from outside
  $ vista-ckpt merge . --dry-run                      what it would do
  $ vista-ckpt merge . -o /data/merged.bin --force    elsewhere, replacing an older file

Reads the shards of ZeRO stage 1, 2 and 3 (and whole stage-0 checkpoints) and writes what
zero_to_fp32.py would, plus the tensors that it drops: weights that were neither in the
optimizer nor frozen (Vista's phase 2). Needs no Python and about 100 MB of memory.`;

export function mergeCommand(parent: Command, context: CommandContext): void {
  const command = parent
    .command("merge")
    .summary("merge ZeRO shards into one fp32 state dict")
    .description("Merge the shards of a ZeRO checkpoint into one fp32 state dict (what zero_to_fp32.py does)")
    .argument("[folder]", "checkpoint folder (has `latest`), tag folder, or a run folder above", ".")
    .argument("[output]", "output file (default: <folder>/pytorch_model.bin)")
    .option("-o, --output <file>", "the output file, named by an option")
    .option("--tag <tag>", "tag folder to read instead of the one `latest` names")
    .option(
      "--key <key>",
      "place of the state dict: in DeepSpeed's model states (default: module), in a distributed checkpoint",
    )
    .option("--exclude-frozen", "leave out frozen parameters")
    .option("--no-recover", "leave out orphans: tensors that only `module` has");
  addOutputFileOptions(command);
  addCommonOptions(command)
    .addHelpText("after", HELP)
    .action(async (folder: string, output: string | undefined, options: MergeOptions) => {
      const target = oneOutput(output, options.output);
      // Before the readers are loaded: a path that is not there needs none.
      const { isFile } = await lookAt(folder);
      const { merge } = await import("./run-merge.js");
      await merge(folder, isFile, target, options, context);
    });
}
