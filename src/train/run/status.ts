/** The status of a training as its run folder tells it: the CSV log, the checkpoints, and what can be gone on with. */
import { stat } from "node:fs/promises";
import { cannot, isVistaError, throwIfAborted, VistaError } from "../../core/errors.js";
import type { RunOptions } from "../../core/progress.js";
import { BUILT_IN_RECIPES, type Recipe } from "../launch/built-in-recipes.js";
import { readFolder } from "../tools.js";
import { lastCheckpoint, listCheckpoints, type RunCheckpoint } from "./checkpoints.js";
import { type LossPoint, readLog } from "./log.js";
import { measureRate, type TrainingRate } from "./rate.js";
import { recipeOfRun } from "./runs.js";

/** A checkpoint of a run, and whether a training can go on with it. */
export interface CheckpointStatus {
  name: string;
  path: string;
  /** The bytes of all files in it. */
  bytes: number;
  /** The time of its newest file, ISO 8601 in UTC. */
  modified: string;
  /**
   * Whether it is whole: false where files are missing, cut off or contradict one another, undefined for a single file, which is
   * not looked into.
   */
  whole: boolean | undefined;
  /** The reason why it is not whole. */
  problem?: string;
  /** The number of GPUs that saved it, a shard each; undefined where it is not whole, a single file, or without ZeRO. */
  ranks: number | undefined;
  /** The number of optimizer steps before it was saved, as DeepSpeed counts them; undefined where it does not say. */
  steps: number | undefined;
}

/** The status of a run: how far it came, and what can be resumed. */
export interface RunStatus {
  run: string;
  /** The name of the recipe that made it; undefined where neither its name nor its saved config tells. */
  recipe: string | undefined;
  /** The number of optimizer steps that the documentation trains this recipe for; undefined where it names none. */
  iterations: number | undefined;
  /** The number of the last epoch in the log, counted from 0 as Lightning does. */
  epoch: number | undefined;
  /** The number of the last step in the log, counted from 0. */
  step: number | undefined;
  /** The rate of the last start; undefined where its files do not tell. */
  rate: TrainingRate | undefined;
  /** The seconds to {@link iterations} at this rate, 0 where they are reached; undefined where one of the two is not known. */
  secondsLeft: number | undefined;
  /** The reason why there can be no loss: the log has rows but no column for it. */
  logNote: string | undefined;
  /** The losses of all logged steps, in order; of a step that was trained twice (after a resume) it is the later one. */
  losses: LossPoint[];
  /** The checkpoints in order of time, oldest first. */
  checkpoints: CheckpointStatus[];
  /** The path to give `--resume`; undefined where nothing can be resumed. */
  resume: string | undefined;
  /** The reason why nothing can be resumed, or what is odd about what can be. */
  resumeNote: string | undefined;
}

export interface StatusOptions extends Pick<RunOptions, "signal"> {
  /** The recipes that the run may come from; the documented ones by default. */
  recipes?: Iterable<Recipe>;
  /** The Vista checkout with the configs of the recipes; the current folder by default. */
  vista?: string;
}

/** Reads a run folder of train.py. @throws VistaError `NOT_FOUND` or `WRONG_KIND` where `run` is no run folder, `ABORTED` */
export async function readStatus(run: string, options: StatusOptions = {}): Promise<RunStatus> {
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
    checkpoints.push(await lookAt(checkpoint, options));
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

/** Looks at a checkpoint: at a folder's shards by their pickles, at a file only by its size. */
export async function lookAt(
  checkpoint: RunCheckpoint,
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
    return { ...status, whole: true, ...(await readFolder(path, options)) };
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
