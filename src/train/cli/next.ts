/** `vista-train next <run>`: the phase that follows a run, started from its last checkpoint; and `finish`. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Command } from "commander";
import type { CommandContext } from "../../core/cli/program.js";
import { fromSystem, VistaError } from "../../core/errors.js";
import { quote } from "../launch/shell.js";
import { parseSteps } from "../run/finish.js";
import { recipeOfRun } from "../run/runs.js";
import { addStartOptions, finish, launch, type StartFlags } from "./launch.js";
import { findRecipe, makePlan, readRecipes } from "./options.js";
import { asStarted } from "./started.js";

export function addNext(program: Command, context: CommandContext, extra: readonly string[]): void {
  addStartOptions(program.command("next <run>"))
    .summary("print, or with --start start, the phase that follows a run")
    .description(
      "Prints the command of the phase that follows a run, from its last checkpoint; --start starts it.",
    )
    .option("--recipe <name>", "the recipe of the run, where its folder does not tell")
    .option("--start", "start it")
    .addHelpText("after", `\nExamples:\n  $ vista-train next logs/phase1-4711 --start`)
    .action(async (run: string, flags: StartFlags & { recipe?: string; start?: boolean }) => {
      const recipes = await readRecipes(flags);
      await stat(run).catch((error) => {
        throw fromSystem(error, run, "open the run folder");
      });
      const done =
        flags.recipe === undefined
          ? await recipeOfRun(run, recipes.values(), resolve(flags.vista))
          : findRecipe(recipes, flags.recipe);
      if (done === undefined) {
        throw new VistaError("AMBIGUOUS", "this folder does not tell which recipe made it", {
          path: run,
          hint: `Say it with --recipe: ${[...recipes.keys()].join(", ")}.`,
        });
      }
      if (done.next === undefined) {
        process.stderr.write(
          `vista-train: ${done.name} is the last phase; for inference make a safetensors file:\n`,
        );
        process.stdout.write(`${asStarted("vista-train")} finish ${quote(run)} --steps to-st\n`);
        return;
      }
      process.stderr.write(`vista-train: ${done.name} is followed by ${done.next}\n`);
      const plan = makePlan(
        findRecipe(recipes, done.next),
        { ...flags, finetune: flags.finetune ?? run },
        extra,
      );
      await launch(plan, { ...flags, dryRun: flags.dryRun || !flags.start }, context);
    });
}

export function addFinish(program: Command, context: CommandContext): void {
  program
    .command("finish <run>")
    .summary("merge the last checkpoint of a run, make a file for inference: what --then does")
    .option("--steps <steps>", "merge (pytorch_model.bin), to-st (vista.safetensors), or both", "merge,to-st")
    .addHelpText("after", `\nExamples:\n  $ vista-train finish logs/phase1-4711 --steps to-st`)
    .action((run: string, flags: { steps: string }) => finish(run, parseSteps(flags.steps), context));
}
