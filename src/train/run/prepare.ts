/** The preparation of a training: weights merged from shards, or a checkpoint made for this number of GPUs. */

import { basename, dirname, join } from "node:path";
import { namesIn } from "../../core/io/regular.js";
import type { MakeOptions } from "../checkpoint-tools.js";
import { fromVista, isCheckpoint, type LaunchPlan, resumedRun } from "../launch/plan.js";
import type { JobStep } from "../launch/slurm.js";
import {
  factsOf,
  lastCheckpoint,
  listCheckpoints,
  measure,
  runFolderOf,
  type Weights,
} from "./checkpoints.js";
import { savedConfigs } from "./runs.js";

/** A step that makes a file or folder from a checkpoint folder, here or by `vista-ckpt`. */
export interface Preparation extends Omit<JobStep, "command"> {
  /** The words of `vista-ckpt` that do it. */
  words: string[];
  /** Does it in this process. @throws VistaError what merging and resharding throw */
  run(options: MakeOptions): Promise<void>;
}

/** A checkpoint that was saved by another number of GPUs than would go on with it. */
export interface RankChange {
  checkpoint: string;
  /** The number of GPUs that saved it. */
  saved: number;
  /** The number of GPUs of the launch. */
  wanted: number;
  /** The path of the resharded checkpoint, made or not: in the run, but not in `checkpoints`, where train.py would take it. */
  output: string;
  /** Whether it has been made, from this state of the checkpoint. */
  done: boolean;
}

/**
 * Compares the GPUs of a launch with those that saved the checkpoint that it goes on from.
 *
 * @returns undefined where they are as many, nothing is resumed, or the checkpoint cannot be read, which is a finding elsewhere
 */
export async function findRankChange(plan: LaunchPlan): Promise<RankChange | undefined> {
  if (plan.resume === undefined) return undefined;
  const wanted = plan.nodes * plan.gpus;
  const checkpoint = isCheckpoint(plan.resume)
    ? plan.resume
    : (await lastCheckpoint(await listCheckpoints(plan.resume)))?.path;
  const facts = checkpoint === undefined ? undefined : await factsOf(checkpoint);
  if (checkpoint === undefined || facts?.ranks === undefined || facts.ranks === wanted) return undefined;
  const name = `${basename(checkpoint).replace(/\.ckpt$/, "")}-${wanted}ranks.ckpt`;
  const run = runFolderOf(checkpoint);
  const output = run === undefined ? join(dirname(checkpoint), name) : join(run, "resharded", name);
  const made = await factsOf(output);
  const done =
    made?.ranks === wanted &&
    made.steps === facts.steps &&
    (await measure(output)).modified >= (await measure(checkpoint)).modified;
  return { checkpoint, saved: facts.ranks, wanted, output, done };
}

/**
 * Finds the run that a launch with `--reshard` goes on from. Where it was given before, with as many GPUs or with others, the run
 * that went on then has newer checkpoints of its own, and the launch goes on from the newest. Starting from the old run's
 * checkpoint once more would train the same steps again, over the newer checkpoints.
 *
 * @returns the plan as it is where none of the runs that belong together is further than the one that it names
 */
export async function goOn(plan: LaunchPlan): Promise<LaunchPlan> {
  const named = resumedRun(plan);
  let best = plan.reshard && named !== undefined ? await standOf(named) : undefined;
  if (best === undefined) return plan;
  const wanted = plan.nodes * plan.gpus;
  for (const { run, ranks } of await relativesOf(named!, plan.name, wanted)) {
    const other = await standOf(run);
    // A run of another number of ranks than it should have did not begin here.
    if (other === undefined || (ranks !== undefined && (other.ranks ?? ranks) !== ranks)) continue;
    if (isFurther(other, best, wanted)) best = other;
  }
  if (best.run === named) return plan;
  // A checkpoint that is not whole is refused by name later: whether to train its steps again is for the user to decide.
  const resharded = best.ranks !== undefined && best.ranks !== wanted;
  return { ...plan, resume: best.run, name: resharded ? plan.name : undefined };
}

/** The point that a run has come to. */
interface Stand {
  run: string;
  modified: Date;
  /** The number of ranks; undefined where the checkpoint is not whole or does not say. */
  ranks: number | undefined;
  steps: number | undefined;
}

async function standOf(run: string): Promise<Stand | undefined> {
  const last = await lastCheckpoint(await listCheckpoints(run));
  if (last === undefined) return undefined;
  const facts = await factsOf(last.path);
  return { run, modified: last.modified, ranks: facts?.ranks, steps: facts?.steps };
}

/** Tells whether one run is further than another; of two that came as far, one that need not be resharded is. */
function isFurther(one: Stand, other: Stand, wanted: number): boolean {
  if (one.steps === undefined || other.steps === undefined) return one.modified >= other.modified;
  return one.steps > other.steps || (one.steps === other.steps && one.ranks === wanted);
}

/**
 * Finds the other runs that `--reshard` made of the same run, that run, and the run of the launch's own name; each with its
 * ranks, where they are known.
 */
async function relativesOf(
  run: string,
  name: string | undefined,
  wanted: number,
): Promise<{ run: string; ranks: number | undefined }[]> {
  const [folder, own] = [dirname(run), basename(run)];
  const found = (await namesIn(folder))
    .filter((other) => other !== own && namePart(other).first === namePart(own).first)
    .map((other) => ({ run: join(folder, other), ranks: namePart(other).ranks }));
  return name === undefined ? found : [...found, { run: join(folder, name), ranks: wanted }];
}

/** Splits a run's name from the end that {@link planResharded} gives it. */
function namePart(name: string): { first: string; ranks: number | undefined } {
  const [, first = name, ranks] = /^(.*)-(\d+)ranks$/.exec(name) ?? [];
  return { first, ranks: ranks === undefined ? undefined : Number(ranks) };
}

/**
 * Returns the plan of a launch that goes on from the resharded checkpoint, in a run folder of its own beside the old one. In the
 * old one, Lightning would save its next `last.ckpt` over the shards of the old number of ranks, and those beyond the new number
 * would stay.
 */
export async function planResharded(plan: LaunchPlan, change: RankChange): Promise<LaunchPlan> {
  const run = isCheckpoint(plan.resume!) ? runFolderOf(change.checkpoint) : plan.resume!;
  const configs = run === undefined ? [] : await savedConfigs(run);
  return {
    ...plan,
    resume: change.output,
    base: plan.base.length === 0 ? configs.map((path) => fromVista(plan.vista, path)) : plan.base,
    logdir: run === undefined || isCheckpoint(plan.resume!) ? plan.logdir : dirname(run),
    name: plan.name ?? `${namePart(basename(run ?? plan.recipe.name)).first}-${change.wanted}ranks`,
  };
}

/** Returns the preparation of a launch; undefined where it needs none, or its result is there, and newer than what it is made from. */
export function preparationOf(
  weights: Weights | undefined,
  change: RankChange | undefined,
): Preparation | undefined {
  if (change !== undefined) {
    const { checkpoint: input, output, wanted, done } = change;
    const words = ["reshard", input, "--ranks", String(wanted), "-o", output, "--force"];
    const run = async (options: MakeOptions) =>
      (await import("../checkpoint-tools.js")).makeResharded(input, output, wanted, options);
    return done ? undefined : { doing: "resharding", input, output, words, run };
  }
  if (weights?.checkpoint === undefined || weights.fresh) return undefined;
  const { checkpoint: input, file: output } = weights;
  const run = async (options: MakeOptions) =>
    (await import("../checkpoint-tools.js")).makeFile("merge", input, output, options);
  return { doing: "merging", input, output, words: ["merge", input, "-o", output, "--force"], run };
}
