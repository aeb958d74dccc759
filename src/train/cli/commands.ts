/** The commands of `vista-train` with their options. The work of each is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, type PrintOptions, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addLaunchOptions, addRecipeOptions, addStartOptions } from "./options.js";

export function addLaunch(program: Command, context: CommandContext, extra: readonly string[]): void {
  addStartOptions(
    program
      .command("run <recipe>", { isDefault: true })
      .usage("<recipe> [options] [-- arguments of train.py]"),
  )
    .argument("[more...]")
    .summary("start a recipe (the word `run` can be left out)")
    .description("Starts a recipe. Words after -- go to train.py.")
    .addHelpText(
      "after",
      "\nExamples:\n  $ vista-train phase1 --vista ../Vista --nodes 1 --gpus 8 --dry-run\n  $ vista-train phase1 --slurm --then merge",
    )
    .action(later(async () => (await import("./run.js")).start, extra, context));
}

export function addCheck(program: Command, context: CommandContext, extra: readonly string[]): void {
  addLaunchOptions(program.command("check <recipe>"))
    .summary("look for what would go wrong, and start nothing")
    .description(
      "Looks for what would go wrong and starts nothing. Exit codes: 0 nothing wrong (warnings and notes may be shown), 1 errors found, 2 wrong usage.",
    )
    .option(...JSON_OBJECT)
    .addHelpText("after", `\nExamples:\n  $ vista-train check phase1 --vista ../Vista --nodes 1 --gpus 8`)
    .action(later(async () => (await import("./run.js")).check, extra, context));
}

export function addNext(program: Command, context: CommandContext, extra: readonly string[]): void {
  addStartOptions(program.command("next <run>"))
    .summary("print, or with --start start, the phase that follows a run")
    .description(
      "Prints the command of the phase that follows a run, from its last checkpoint; --start starts it.",
    )
    .option("--recipe <name>", "the recipe of the run, where its folder does not tell")
    .option("--start", "start it")
    .addHelpText("after", `\nExamples:\n  $ vista-train next logs/phase1-4711 --start`)
    .action(later(async () => (await import("./run.js")).next, extra, context));
}

export function addFinish(program: Command, context: CommandContext): void {
  program
    .command("finish <run>")
    .summary("merge the last checkpoint of a run, make a file for inference: what --then does")
    .option("--steps <steps>", "merge (pytorch_model.bin), to-st (vista.safetensors), or both", "merge,to-st")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-train finish logs/phase1-4711 --steps to-st`)
    .action(async (run: string, flags: PrintOptions & { steps: string }) => {
      const { finish, parseSteps } = await import("./run.js");
      await finish(run, parseSteps(flags.steps), flags, context);
    });
}

export function addStatus(program: Command, context: CommandContext): void {
  addRecipeOptions(program.command("status <run>"))
    .summary("epochs, steps and loss of a run, its checkpoints, what could be resumed")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-train status logs/phase1-4711")
    .action(later(async () => (await import("./run.js")).status, context));
}

const PRUNE_HELP = `
Examples:
  $ vista-train prune logs/phase1-4711 --keep 2 --dry-run   verify, and say what would go
  $ vista-train prune logs/phase1-4711 --keep 2

Every byte of the checkpoints that stay is read first. Where one of them is damaged, not whole or
holds NaN, nothing is removed. The one that --resume takes stays in any case.`;

export function addPrune(program: Command, context: CommandContext): void {
  program
    .command("prune <run>")
    .summary("remove the older checkpoints of a run, after verifying those that stay")
    .requiredOption("--keep <n>", "how many of the newest checkpoints stay", wholeNumber(1))
    .option("--dry-run", "verify and show the plan, remove nothing")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", PRUNE_HELP)
    .action(later(async () => (await import("./run.js")).prune, context));
}

export function addRecipes(program: Command): void {
  addRecipeOptions(program.command("recipes"))
    .summary("list the recipes")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-train recipes --json")
    .action(later(async () => (await import("./run.js")).listRecipes));
}
