/** The run folders of train.py: their saved configs, and the recipe that they came from. */

import { stat } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import { asUndefined, cannot, orElse, VistaError } from "../../core/errors.js";
import { namesIn } from "../../core/io/regular.js";
import { BUILT_IN_RECIPES, type Recipe } from "../launch/built-in-recipes.js";
import { applyDotted, readConfigs } from "../launch/config.js";
import { trainingFacts } from "../launch/facts.js";
import { type LaunchPlan, resumedRun } from "../launch/plan.js";

/** Checks that there is a folder of this name. @throws VistaError `NOT_FOUND`, `WRONG_KIND` */
export async function checkRunFolder(run: string): Promise<void> {
  const own = await stat(run).catch(cannot("open the run folder", run));
  if (!own.isDirectory()) throw new VistaError("WRONG_KIND", "is a file, not a run folder", { path: run });
}

/** Lists the config files that train.py saved in a run (and reads again on `--resume`), in its order. */
export async function savedConfigs(run: string): Promise<string[]> {
  const folder = join(run, "configs");
  const names = await namesIn(folder);
  return names
    .filter((name) => name.endsWith(".yaml") && !name.startsWith("."))
    .sort()
    .map((name) => join(folder, name));
}

/** Returns the paths of the configs that train.py reads for a launch, in its order: those of a resumed run come first. */
export async function configsOf(plan: LaunchPlan): Promise<string[]> {
  const own = plan.base.map((path) => resolve(plan.vista, path));
  const run = resumedRun(plan);
  return run === undefined ? own : [...(await savedConfigs(run)), ...own];
}

/**
 * Finds the recipe that a run was made with: by the name that the Slurm script (`phase1-4711`) or train.py
 * (`…_training-vista_phase1`) gives run folders, otherwise by its saved config, as far as that tells the recipes apart.
 *
 * @returns undefined where no recipe, or more than one, fits
 */
export async function recipeOfRun(
  run: string,
  recipes: Iterable<Recipe>,
  vista: string,
): Promise<Recipe | undefined> {
  const listed = [...recipes];
  const all = listed.filter((recipe) => recipe.launcher === "torchrun");
  const name = basename(resolve(run));
  // The Slurm script names a run by the recipe and the job's number; what is resharded from it keeps that at its start.
  const job = /^(.+?)-\d+(-\d+ranks)?$/.exec(name)?.[1];
  const launched = listed.find((recipe) => recipe.name === job);
  if (launched !== undefined) return launched;
  const byName = all.filter((recipe) => name.endsWith(`_${configName(recipe)}`));
  if (byName.length === 1) return byName[0];
  const files = await savedConfigs(run);
  if (files.length === 0) return undefined;
  const saved = await kindOf(files);
  const fitting: Recipe[] = [];
  for (const recipe of all) {
    if ((await kindOf(filesOf(recipe, vista)).catch(asUndefined)) === saved) fitting.push(recipe);
  }
  return fitting.length === 1 ? fitting[0] : undefined;
}

/**
 * Finds the recipe that a run was made with, where that trains something else than `recipe`.
 *
 * @param dotted  the settings that are given beside the config of `recipe`, as the run may have had them
 */
export async function otherRecipeOf(
  run: string,
  recipe: Recipe,
  vista: string,
  dotted?: readonly string[],
): Promise<Recipe | undefined> {
  const others = BUILT_IN_RECIPES.filter(({ name }) => name !== recipe.name);
  const made = await recipeOfRun(run, [recipe, ...others], vista);
  if (made === undefined || String(made.base) === String(recipe.base)) return undefined;
  return (await kindOf(await savedConfigs(run))) === (await kindOf(filesOf(recipe, vista), dotted))
    ? undefined
    : made;
}

function filesOf(recipe: Recipe, vista: string): string[] {
  return recipe.base.map((path) => resolve(vista, path));
}

/** Returns what makes the phases different: their data, resolution and trained weights. */
async function kindOf(files: readonly string[], dotted: readonly string[] = []): Promise<string> {
  const facts = trainingFacts(await applyDotted(await readConfigs(files), dotted));
  return JSON.stringify([[...facts.subsets].sort(), facts.height, facts.width, facts.adaptersOnly]);
}

/** Returns the name that train.py gives run folders: `training-vista_phase1` for `configs/training/vista_phase1.yaml`. */
function configName(recipe: Recipe): string {
  const parts = recipe.base[0]!.split("/");
  const file = parts.at(-1)!;
  const folders = parts.slice(parts.indexOf("configs") + 1, -1);
  // The sign comes before the file's name in any case: `-vista` for `configs/vista.yaml`.
  return `${folders.join("-")}-${basename(file, extname(file))}`;
}

/** Finds the run folders with checkpoints below `logdir` that were not there before. @param known  the names that were */
export async function newRuns(logdir: string, known: readonly string[]): Promise<string[]> {
  const runs: string[] = [];
  for (const name of await namesIn(logdir)) {
    if (known.includes(name)) continue;
    // A run that may not be looked at is another user's.
    const checkpoints = await stat(join(logdir, name, "checkpoints")).catch(orElse(undefined));
    if (checkpoints !== undefined) runs.push(join(logdir, name));
  }
  return runs;
}
