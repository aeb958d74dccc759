/**
 * Launching: Vista's documented recipes as plans, and the command or Slurm script that starts one.
 *
 * ```ts
 * import { launchCommand, loadRecipes, planLaunch } from "vista-ckpt/train";
 *
 * const recipes = await loadRecipes(undefined);
 * const plan = planLaunch(recipes.get("phase1")!, { vista: "Vista", nodes: 1 }, process.cwd());
 * console.log(launchCommand(plan, undefined, process.env).args.join(" "));
 * ```
 *
 * @module vista-ckpt/train
 */
export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "../core/errors.js";
export type { Progress, RunOptions } from "../core/progress.js";
export { type Command, launchCommand, toScript } from "./launch/command.js";
export { type LaunchOptions, type LaunchPlan, planLaunch, type Rendezvous } from "./launch/plan.js";
export { loadRecipes, type Recipe, type SlurmSettings } from "./launch/recipes.js";
export { type SlurmScriptOptions, slurmScript } from "./launch/slurm.js";
