/** The options of the command `vista-train <recipe>`, whose work is loaded when it runs. */
import type { Command } from "commander";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addStartOptions, recipeArgument } from "./options.js";

export function addLaunch(program: Command, context: CommandContext, extra: readonly string[]): void {
  addStartOptions(
    program
      .command("run", { isDefault: true })
      .addArgument(recipeArgument())
      .usage("<recipe> [options] [-- arguments of train.py]"),
  )
    .argument("[more...]", "no further words: those for train.py go after --")
    .summary("start a recipe (the word `run` can be left out)")
    .description("Start a recipe. Words after -- go to train.py.")
    .addHelpText(
      "after",
      "\nExamples:\n  $ vista-train phase1 --vista ../Vista --nodes 1 --gpus 8 --dry-run\n  $ vista-train phase1 --slurm --then merge",
    )
    .action(later(async () => (await import("./run-launch.js")).start, extra, context));
}
