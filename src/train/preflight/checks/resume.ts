/** The check of what a launch goes on from: a run, or one checkpoint. */

import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { asUndefined, firstNames, isVistaError } from "../../../core/errors.js";
import { isRecord } from "../../../core/maps.js";
import { type ConfigTree, readConfigs } from "../../launch/config.js";
import { CHECKPOINTS, needsFolders } from "../../launch/facts.js";
import { fromVista, isCheckpoint, resumedRun } from "../../launch/plan.js";
import { lastChoice, lookAt, pathProblem, SINGLE } from "../../run/checkpoint-status.js";
import { listCheckpoints, measure, type RunCheckpoint, runFolderOf } from "../../run/checkpoints.js";
import { findRankChange } from "../../run/prepare.js";
import { otherRecipeOf, savedConfigs } from "../../run/runs.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";
import { there } from "./look.js";

/** Checks that a checkpoint is whole: one that was cut off when the time was up would stop all processes after minutes. */
async function* checkWhole({ plan, facts }: CheckContext, path: string): AsyncGenerator<TrainFinding> {
  const checkpoint = await measure(path);
  const { whole, problem, ranks, steps } = await lookAt(checkpoint);
  if (whole !== false && checkpoint.kind === "file" && facts !== undefined && needsFolders(facts))
    yield finding("resume", `${path} is ${SINGLE}`);
  if (steps !== undefined && facts?.maxSteps !== undefined && steps >= facts.maxSteps) {
    const what = `${path} has ${steps} steps and lightning.trainer.max_steps is ${facts.maxSteps}: Lightning would end at once`;
    yield finding("resume", what, { fix: "Name more steps, or none: -- lightning.trainer.max_steps=-1" });
  }
  // Where its shards can be read, resharding makes a whole one of it.
  if (plan.reshard && ranks !== undefined && ranks !== plan.nodes * plan.gpus) return;
  const where = problem?.startsWith(path) ? "" : `${path}: `;
  if (whole === false) yield finding("resume", `the checkpoint is not whole: ${where}${problem}`);
}

export async function* checkResume(context: CheckContext): AsyncGenerator<TrainFinding> {
  const { resume, slurm, logdir } = context.plan;
  // A job that is queued again goes on with the run that it began, by its full path.
  const path = slurm && resumedRun(context.plan) === undefined ? pathProblem(logdir) : undefined;
  if (path !== undefined) {
    const fix = "Choose another --logdir: the job could not go on when it is queued again.";
    yield finding("resume", path, { severity: "warning", fix });
  }
  if (resume === undefined) return;
  try {
    yield* resumeFindings(context, resume);
  } catch (error) {
    if (!isVistaError(error) || error.code === "ABORTED") throw error;
    yield finding("resume", error.message, { fix: error.hint });
  }
}

async function* resumeFindings(context: CheckContext, resume: string): AsyncGenerator<TrainFinding> {
  const { plan, facts } = context;
  const one = isCheckpoint(resume);
  if (plan.name !== undefined && !one && !plan.reshard)
    yield finding("resume-and-name", "--resume and --name together");
  const own = yield* there("resume", resume, `there is no ${resume}`);
  if (own === undefined) return;
  if (!one && !own.isDirectory()) {
    yield finding("resume", `${resume} is not a run folder`);
    return;
  }
  const change = await findRankChange(plan);
  if (change !== undefined && !plan.reshard) {
    const what = `${change.checkpoint} was saved by ${change.saved} GPUs, and ${change.wanted} would go on with it`;
    yield finding("resume-ranks", what);
  }
  // Of what a checkpoint says of the others, Lightning believes in a new run folder only which one was the last beside `last`.
  if ((one || (plan.reshard && change !== undefined)) && facts?.saveTopK === 1 && !facts.monitored) {
    const what = `${CHECKPOINTS}.save_top_k is 1: with its first checkpoint, the new run would remove one of the old run`;
    yield finding("resume", what, { fix: `Keep all: -- ${CHECKPOINTS}.save_top_k=-1` });
  }
  if (!one) {
    yield* checkRun(context, resume);
    return;
  }
  yield* checkWhole(context, resume);
  yield* checkChanges(context, resume);
}

/** Checks that a run folder has what train.py goes on from. */
async function* checkRun(context: CheckContext, run: string): AsyncGenerator<TrainFinding> {
  const { plan } = context;
  const { taken, problem, doubt } = await lastChoice(await listCheckpoints(run), lookAt);
  if (taken === undefined) yield finding("resume", `${join(run, "checkpoints")} has no last*.ckpt`);
  else yield* checkWhole(context, taken.path);
  if (problem !== undefined) yield finding("resume", `${join(run, "checkpoints")}: ${problem}`);
  if (doubt !== undefined)
    yield finding("last-checkpoint", `${run} would go on with ${taken!.name}: ${doubt}`);
  const path = plan.reshard ? undefined : pathProblem(fromVista(plan.vista, run));
  if (path !== undefined) yield finding("resume", path, { fix: "Rename the folder." });
  const linked = taken && !plan.reshard ? await neighbourOf(taken) : undefined;
  if (linked !== undefined) yield finding("last-link", `${taken!.path} is a link to ${linked}`);
  if (plan.base.length > 0) return;
  if ((await savedConfigs(run)).length === 0) {
    yield finding("resume", `${join(run, "configs")} has no *.yaml`);
    return;
  }
  const { name } = plan.recipe;
  const made = await otherRecipeOf(run, plan.recipe, plan.vista, context.dotted).catch(asUndefined);
  if (made !== undefined) yield finding("resume-recipe", `${run} is of recipe ${made.name}, not of ${name}`);
}

/** Returns the name of the checkpoint of the same run that one is a link to; undefined where it is none, or leads elsewhere. */
async function neighbourOf({ path, bytes }: RunCheckpoint): Promise<string | undefined> {
  if (bytes === 0) return undefined;
  const [target, folder] = [await realpath(path), await realpath(dirname(path))];
  return dirname(target) === folder && basename(target) !== basename(path) ? basename(target) : undefined;
}

/** Compares the config of a launch that goes on from one checkpoint with the config that its run saved. */
async function* checkChanges(
  { given, plan }: CheckContext,
  checkpoint: string,
): AsyncGenerator<TrainFinding> {
  const run = runFolderOf(checkpoint);
  const files = run === undefined || plan.reshard ? [] : await savedConfigs(run);
  const saved = files.length === 0 ? undefined : await readConfigs(files).catch(asUndefined);
  if (saved === undefined || given === undefined) return;
  const [before, now] = [leaves(saved), leaves(given)];
  const changed = [...new Set([...before.keys(), ...now.keys()])]
    .filter((key) => before.get(key) !== now.get(key))
    .map((key) => `${key} is ${now.get(key) ?? "not set"}, and was ${before.get(key) ?? "not set"}`);
  if (changed.length === 0) return;
  yield finding("resume-config", `the run of ${checkpoint} had another config: ${firstNames(changed)}`);
}

/** Returns the settings of data and model; train.py sets some of Lightning's itself before it saves them. */
function leaves({ data, model }: ConfigTree): Map<string, string> {
  const found = new Map<string, string>();
  const add = (key: string, value: unknown) => {
    if (!isRecord(value)) found.set(key, JSON.stringify(value));
    else for (const [name, item] of Object.entries(value)) add(`${key}.${name}`, item);
  };
  add("data", data ?? {});
  add("model", model ?? {});
  return found;
}
