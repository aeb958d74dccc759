/** Run folders of train.py: their saved configs, and the recipe they came from. */
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join } from "node:path";
import { isVistaError } from "../../core/errors.js";
import type { Recipe } from "../launch/built-in-recipes.js";
import { type ConfigTree, readConfigs, type TrainingFacts, trainingFacts } from "../launch/config.js";

/** The config files that train.py saved in a run (and reads again on `--resume`), in its order. */
export async function savedConfigs(run: string): Promise<string[]> {
  const folder = join(run, "configs");
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.endsWith(".yaml"))
    .sort()
    .map((name) => join(folder, name));
}

/**
 * The recipe a run was made with: by the name that train.py gives run folders (`…_training-vista_phase1`), else by its
 * saved config, as far as that tells the recipes apart. Undefined where no recipe, or more than one, fits.
 */
export async function recipeOfRun(
  run: string,
  recipes: Iterable<Recipe>,
  vista: string,
): Promise<Recipe | undefined> {
  const listed = [...recipes];
  const all = listed.filter((recipe) => recipe.launcher === "torchrun");
  const name = basename(run);
  // As the Slurm script names it, by the recipe and the job's number; and what was resharded from it.
  const job = /^(.+?)-\d+(-\d+ranks)?$/.exec(name)?.[1];
  const launched = listed.find((recipe) => recipe.name === job);
  if (launched !== undefined) return launched;
  const byName = all.filter((recipe) => name.endsWith(`_${configName(recipe)}`));
  if (byName.length === 1) return byName[0];
  const files = await savedConfigs(run);
  if (files.length === 0) return undefined;
  const saved = kind(trainingFacts(await readConfigs(files)));
  const fitting: Recipe[] = [];
  for (const recipe of all) {
    const config = await readConfigs(recipe.base.map((path) => join(vista, path))).catch((error: unknown) => {
      if (isVistaError(error)) return undefined;
      throw error;
    });
    if (config !== undefined && kind(trainingFacts(config as ConfigTree)) === saved) fitting.push(recipe);
  }
  return fitting.length === 1 ? fitting[0] : undefined;
}

/** What makes the phases different: their data, resolution and trained weights. */
function kind(facts: TrainingFacts): string {
  return JSON.stringify([[...facts.subsets].sort(), facts.height, facts.width, facts.adaptersOnly]);
}

/** `configs/training/vista_phase1.yaml` → `training-vista_phase1`, as train.py names its run folders. */
function configName(recipe: Recipe): string {
  const parts = recipe.base[0]!.split("/");
  const file = parts.at(-1)!;
  return [...parts.slice(parts.indexOf("configs") + 1, -1), basename(file, extname(file))].join("-");
}

/** The run folder that appeared below `logdir` since `since`: the newest one that has checkpoints. */
export async function newestRun(logdir: string, since: Date): Promise<string | undefined> {
  let best: { path: string; time: number } | undefined;
  for (const name of await readdir(logdir).catch(() => [])) {
    const path = join(logdir, name);
    const checkpoints = await stat(join(path, "checkpoints")).catch(() => undefined);
    if (checkpoints === undefined || checkpoints.mtime < since) continue;
    if (best === undefined || checkpoints.mtimeMs > best.time) best = { path, time: checkpoints.mtimeMs };
  }
  return best?.path;
}
