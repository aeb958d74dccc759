/** What a run folder says of its training: the CSV log, the checkpoints, and what can be gone on with. */
import { stat } from "node:fs/promises";
import { cannot, isVistaError, throwIfAborted, VistaError } from "../../core/errors.js";
import type { RunOptions } from "../../core/progress.js";
import { BUILT_IN_RECIPES, type Recipe } from "../launch/built-in-recipes.js";
import { type CheckpointTools, lastCheckpoint, listCheckpoints, type RunCheckpoint } from "./checkpoints.js";
import { type LossPoint, readLog } from "./log.js";
import { measureRate, type TrainingRate } from "./rate.js";
import { recipeOfRun } from "./runs.js";

export interface CheckpointStatus {
  name: string;
  path: string;
  /** Of all files in it. */
  bytes: number;
  /** Time of its newest file, ISO 8601 in UTC. */
  modified: string;
  /** False: files are missing, cut off or contradict one another. Undefined: a single file, which is not looked into. */
  whole: boolean | undefined;
  /** Why it is not whole. */
  problem?: string;
  /** Number of GPUs that saved it, a shard each; undefined where it is not whole or a single file. */
  ranks: number | undefined;
  /** Optimizer steps before it was saved, as DeepSpeed counts them; undefined where it does not say. */
  steps: number | undefined;
}

export interface RunStatus {
  run: string;
  /** Name of the recipe that made it; undefined where neither its name nor its saved config tells. */
  recipe: string | undefined;
  /** Optimizer steps that the documentation trains this recipe for; undefined where it names no number. */
  iterations: number | undefined;
  /** Number of the last epoch in the log, counted from 0 as Lightning does. */
  epoch: number | undefined;
  /** Last step in the log, counted from 0. */
  step: number | undefined;
  /** How fast the last start was; undefined where its files do not tell. */
  rate: TrainingRate | undefined;
  /** Seconds to {@link iterations} at this rate, 0 where they are reached; undefined where one of the two is not known. */
  secondsLeft: number | undefined;
  /** Why there can be no loss: the log has rows, and no column for it. */
  logNote: string | undefined;
  /** Of each logged step, in order; of a step that was trained twice (after a resume) the later one. */
  losses: LossPoint[];
  /** In order of time, oldest first. */
  checkpoints: CheckpointStatus[];
  /** What to give `--resume`; undefined where nothing can be resumed. */
  resume: string | undefined;
  /** Why not, or what is odd about it. */
  resumeNote: string | undefined;
}

export interface StatusOptions extends Pick<RunOptions, "signal"> {
  /** Recipes that the run may come from; default: the documented ones. */
  recipes?: Iterable<Recipe>;
  /** Vista checkout with the configs of the recipes; default: the current folder. */
  vista?: string;
}

/**
 * Reads a run folder of train.py.
 *
 * @throws VistaError `NOT_FOUND` or `WRONG_KIND` where `run` is no run folder, `ABORTED`
 */
export async function readStatus(
  run: string,
  tools: CheckpointTools,
  options: StatusOptions = {},
): Promise<RunStatus> {
  const own = await stat(run).catch(cannot("open the run folder", run));
  if (!own.isDirectory()) throw new VistaError("WRONG_KIND", "is a file, not a run folder", { path: run });
  const [log, found] = [await readLog(run), await listCheckpoints(run)];
  if (log === undefined && found.length === 0) {
    throw new VistaError("NOT_FOUND", "neither a log (testtube) nor checkpoints in this folder", {
      path: run,
      hint: "Name a run folder: <logdir>/<date>_<config>, which train.py makes when training begins.",
    });
  }
  const checkpoints: CheckpointStatus[] = [];
  for (const checkpoint of found) {
    throwIfAborted(options.signal);
    checkpoints.push(await lookAt(checkpoint, tools, options));
  }
  const losses = log?.losses ?? [];
  const last = losses.at(-1);
  const recipe = await recipeOfRun(run, options.recipes ?? BUILT_IN_RECIPES, options.vista ?? ".");
  const rate = await measureRate(run, log?.session, checkpoints);
  const done = Math.max(
    last === undefined ? 0 : last.step + 1,
    ...checkpoints.map(({ steps }) => steps ?? 0),
  );
  return {
    run,
    recipe: recipe?.name,
    iterations: recipe?.iterations,
    epoch: last?.epoch,
    step: last?.step,
    rate,
    secondsLeft:
      rate === undefined || recipe?.iterations === undefined
        ? undefined
        : Math.max(0, recipe.iterations - done) / rate.stepsPerSecond,
    losses,
    logNote: losses.length === 0 ? log?.note : undefined,
    checkpoints,
    ...(await resumable(run, found, checkpoints)),
  };
}

/** Opens what a checkpoint has: a folder's shards by their pickles, of a file only its size. */
export async function lookAt(
  checkpoint: RunCheckpoint,
  tools: CheckpointTools,
  options: Pick<RunOptions, "signal"> = {},
): Promise<CheckpointStatus> {
  const { name, path, bytes, modified, kind } = checkpoint;
  const status: CheckpointStatus = {
    name,
    path,
    bytes,
    modified: modified.toISOString(),
    whole: undefined,
    ranks: undefined,
    steps: undefined,
  };
  if (kind === "file") return bytes > 0 ? status : { ...status, whole: false, problem: "the file is empty" };
  try {
    return { ...status, whole: true, ...(await tools.readFolder(path, options)) };
  } catch (error) {
    if (!isVistaError(error) || error.code === "ABORTED") throw error;
    return { ...status, whole: false, problem: error.message };
  }
}

async function resumable(
  run: string,
  found: readonly RunCheckpoint[],
  statuses: readonly CheckpointStatus[],
): Promise<Pick<RunStatus, "resume" | "resumeNote">> {
  const taken = await lastCheckpoint(found);
  const isWhole = (name: string | undefined) =>
    statuses.find((status) => status.name === name)?.whole !== false;
  if (taken !== undefined && isWhole(taken.name)) return { resume: run, resumeNote: undefined };
  const other = found.findLast((checkpoint) => isWhole(checkpoint.name) && checkpoint.name !== taken?.name);
  const reason =
    taken === undefined ? "there is no last*.ckpt" : `${taken.name}, which train.py would take, is not whole`;
  return other === undefined
    ? { resume: undefined, resumeNote: reason }
    : {
        resume: other.path,
        resumeNote: `${reason}; ${other.name} ${other.kind === "file" ? "may be" : "is"}, and goes on in a new run folder`,
      };
}
