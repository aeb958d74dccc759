/** The work of `vista-train next`: it finds the phase that follows a run, and shows or starts it from the last checkpoint. */
import { resolve } from "node:path";
import type { CommandContext } from "../../core/cli/program.js";
import { VistaError } from "../../core/errors.js";
import { quote } from "../../core/text.js";
import { checkRunFolder, recipeOfRun } from "../run/runs.js";
import { findRecipe, makePlan, readRecipes, type StartFlags } from "./plan.js";
import { launch } from "./run-launch.js";
import { asStarted } from "./started.js";

export interface NextFlags extends StartFlags {
  recipe?: string;
  start?: boolean;
}

export async function next(
  run: string,
  flags: NextFlags,
  extra: readonly string[],
  context: CommandContext,
): Promise<void> {
  if (flags.resume !== undefined)
    throw new VistaError("USAGE", "the phase that follows is a new run, which excludes --resume", {
      hint: "To go on with a run: vista-train RECIPE --resume RUN.",
    });
  const recipes = await readRecipes(flags);
  await checkRunFolder(run);
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
    if (flags.start && !flags.dryRun)
      throw new VistaError("USAGE", `${done.name} is the last phase: there is nothing to start after it`, {
        hint: `For inference make a safetensors file: ${asStarted("vista-train")} finish ${quote(run)} --steps to-st`,
      });
    if (!flags.quiet)
      process.stderr.write(
        `vista-train: ${done.name} is the last phase; for inference make a safetensors file:\n`,
      );
    process.stdout.write(`${asStarted("vista-train")} finish ${quote(run)} --steps to-st\n`);
    return;
  }
  if (!flags.quiet) process.stderr.write(`vista-train: ${done.name} is followed by ${done.next}\n`);
  const plan = makePlan(findRecipe(recipes, done.next), { ...flags, finetune: flags.finetune ?? run }, extra);
  await launch(plan, { ...flags, dryRun: flags.dryRun || !flags.start }, context);
}
