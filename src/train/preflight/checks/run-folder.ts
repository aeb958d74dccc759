/** The check of the place where the run goes: whether it may be written to, is free, and has room for the checkpoints. */

import { existsSync } from "node:fs";
import { mkdtemp, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { orElse } from "../../../core/errors.js";
import { namesIn } from "../../../core/io/regular.js";
import { stepsBetween, stepsTrained, type TrainingFacts } from "../../launch/facts.js";
import { type LaunchPlan, resumedRun, runOf } from "../../launch/plan.js";
import { listCheckpoints } from "../../run/checkpoints.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";
import { readable } from "./look.js";

/**
 * The bytes of one checkpoint of Vista itself, from its parameter counts (fp32, 4 bytes): all weights as in
 * svd_xt.safetensors (9.56 GB), the moving average of the UNet's 1.52 B (6.1 GB), and, where all of the UNet is trained,
 * Adam's three copies of it (18.3 GB).
 */
const WEIGHTS_BYTES = 15.7e9;
const OPTIMIZER_BYTES = 18.3e9;
/** The `model_channels` of the UNet that these figures are for; nothing is known of other sizes. */
const VISTA_CHANNELS = 320;

function checkpointBytes(facts: TrainingFacts): number | undefined {
  if (facts.modelChannels !== VISTA_CHANNELS) return undefined;
  return facts.adaptersOnly ? WEIGHTS_BYTES : WEIGHTS_BYTES + OPTIMIZER_BYTES;
}

export async function* checkLogdir({
  plan,
  facts,
  system,
  wanted,
}: CheckContext): AsyncGenerator<TrainFinding> {
  const resumed = resumedRun(plan);
  const folder = nearestExisting(resumed ?? plan.logdir);
  const own = await stat(folder);
  if (!own.isDirectory()) {
    yield finding("logdir", `${folder} is a file, not a folder`);
    return;
  }
  try {
    // Permission bits say nothing to root, nor of a read-only mount or a quota, so this tries it; a dry run writes nothing.
    if (wanted("logdir")) await rmdir(await mkdtemp(join(folder, ".vista-train-")));
  } catch (error) {
    yield finding("logdir", `${folder} is not writable (${(error as NodeJS.ErrnoException).code})`);
    return;
  }
  const run = runOf(plan);
  // A resharded checkpoint goes on in the run that it began.
  if (run !== undefined && resumed === undefined && !(plan.resume !== undefined && plan.reshard)) {
    const names = yield* readable("run-exists", () => namesIn(run));
    if (names !== undefined && names.length > 0) {
      yield finding("run-exists", `the run folder ${run} already has files`);
    }
  }
  const needed = facts === undefined ? undefined : checkpointBytes(facts);
  if (needed === undefined || facts === undefined) return;
  const free = await system.freeBytes(folder);
  const there = resumed === undefined ? 0 : (await listCheckpoints(resumed).catch(orElse([]))).length;
  // At least two come at the end of the first epoch (its own and `last`), whatever the recipe.
  const count = Math.max(2, (checkpointCount(facts, plan) ?? 2) - there);
  if (free !== undefined && free < count * needed) {
    const last = facts.saveLast ? " with `last`" : "";
    const { iterations } = plan.recipe;
    const steps =
      iterations === undefined ? "" : ` in ${stepsTrained(iterations, plan.nodes * plan.gpus, facts)} steps`;
    yield finding(
      "disk-space",
      `${gigabytes(free)} free at ${folder}; a checkpoint takes about ${gigabytes(needed)}, the ${count} to come${last}${steps} ${gigabytes(count * needed)}`,
    );
  }
}

/** Returns the number of checkpoints that lie there when the training ends, or the documented steps are done; undefined where it is not known. */
export function checkpointCount(facts: TrainingFacts, plan: LaunchPlan): number | undefined {
  const { iterations } = plan.recipe;
  if (iterations === undefined) return undefined;
  const processes = plan.nodes * plan.gpus;
  const between = stepsBetween(processes, facts);
  if (between === undefined || between < 1) return undefined;
  const made = Math.floor(stepsTrained(iterations, processes, facts) / between);
  const kept = facts.saveTopK === undefined || facts.saveTopK < 0 ? made : Math.min(made, facts.saveTopK);
  return kept + (facts.saveLast ? 1 : 0);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e10 ? 1 : 0)} GB`;
}

function nearestExisting(path: string): string {
  let folder = path;
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}
