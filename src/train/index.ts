/**
 * Vista's trainings: what a launch would be, what would go wrong with it, and how far a run is.
 *
 * Nothing here starts anything unless {@link runTraining} is called, and nothing prints.
 *
 * @example
 * ```ts
 * import { launchCommand, loadRecipes, planLaunch, preflight, runStatus, toScript } from "vista-ckpt/train";
 *
 * const recipes = await loadRecipes();
 * const plan = planLaunch(recipes.get("phase1")!, { vista: "../Vista", nodes: 1, gpus: 8 });
 * const { findings } = await preflight(plan, { env: process.env });
 * for (const { severity, rule, message } of findings) console.log(severity, rule, message);
 * console.log(toScript(launchCommand(plan, undefined, process.env)));
 *
 * const { step, checkpoints } = await runStatus("../Vista/logs/phase1-4711");
 * console.log(step, checkpoints.map(({ name, ranks, whole }) => `${name}: ${ranks} ranks, ${whole}`));
 * ```
 *
 * @module vista-ckpt/train
 */
import type { LaunchPlan } from "./launch/plan.js";
import { realSystem } from "./launch/system.js";
import {
  checkSelectors,
  type PreflightOptions,
  type PreflightReport,
  preflight as preflightWith,
} from "./preflight/preflight.js";

export { ERROR_CODES, type ErrorCode, isVistaError, VistaError, type Where } from "../core/errors.js";
export type { Progress, RunOptions } from "../core/progress.js";
export type { Severity } from "../dataset/finding.js";
export type { FolderFacts, MakeOptions } from "./checkpoint-tools.js";
export { BUILT_IN_RECIPES, type Recipe, type SlurmSettings } from "./launch/built-in-recipes.js";
export { type Command, launchCommand, toScript } from "./launch/command.js";
export { type LaunchOptions, type LaunchPlan, planLaunch, type Rendezvous } from "./launch/plan.js";
export { loadRecipes } from "./launch/recipes.js";
export { type JobStep, type SlurmScriptOptions, slurmScript } from "./launch/slurm.js";
export type { PreflightOptions, PreflightReport } from "./preflight/preflight.js";
export type { TrainFinding } from "./preflight/rules.js";
export type { CheckpointStatus } from "./run/checkpoint-status.js";
export type { RunCheckpoint } from "./run/checkpoints.js";
export { finishRun, type Step } from "./run/finish.js";
export type { LossPoint } from "./run/log.js";
export { type PruneOptions, type PruneReport, pruneRun } from "./run/prune.js";
export type { TrainingRate } from "./run/rate.js";
export { type RunningTraining, runTraining, type TrainingOptions, type TrainingResult } from "./run/run.js";
export { type RunStatus, runStatus, type StatusOptions } from "./run/status.js";
export type { FailureReport } from "./run/watch.js";

/**
 * Looks at everything that would stop a planned training: checkout, config, weights, data, GPUs, disk, rendezvous.
 *
 * @returns the findings, errors first, and what was looked at by a sample only
 * @throws VistaError `USAGE` where `only` or `ignore` names no rule, or both leave none; `ABORTED`
 */
export async function preflight(plan: LaunchPlan, options: PreflightOptions): Promise<PreflightReport> {
  const { env, ...rest } = options;
  checkSelectors(rest);
  return preflightWith(plan, realSystem(env, options.signal), rest);
}
