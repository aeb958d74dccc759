/** The status of a training as its run folder tells it: the CSV log, the checkpoints, and what can be gone on with. */
import { existsSync } from "node:fs";
import { lstat, stat } from "node:fs/promises";
import { asUndefined, cannot, isVistaError, throwIfAborted, VistaError } from "../../core/errors.js";
import { namesIn } from "../../core/io/regular.js";
import type { RunOptions } from "../../core/progress.js";
import type { FolderFacts } from "../checkpoint-tools.js";
import { BUILT_IN_RECIPES, type Recipe } from "../launch/built-in-recipes.js";
import { readConfigs } from "../launch/config.js";
import { needsFolders, type TrainingFacts, trainingFacts } from "../launch/facts.js";
import { lastCheckpoint, listCheckpoints, type RunCheckpoint } from "./checkpoints.js";
import { type LossPoint, readLog } from "./log.js";
import { measureRate, type TrainingRate } from "./rate.js";
import { recipeOfRun, savedConfigs } from "./runs.js";

/** A checkpoint of a run, and whether a training can go on with it. */
export interface CheckpointStatus extends Omit<RunCheckpoint, "kind" | "modified">, FolderFacts {
  /** The time of its newest file, ISO 8601 in UTC. */
  modified: string;
  /**
   * Whether it is whole: false where files are missing, cut off or contradict one another, undefined for a single file, which is
   * not looked into, and for a kind of checkpoint that cannot be read here.
   */
  whole: boolean | undefined;
  /** The reason why it is not whole, or could not be read. */
  problem?: string;
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
  /** The losses of all logged steps, in order; where a start went on from an older checkpoint, not those that it gave up. */
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

/**
 * Reads what the folder of a run says of its training: losses, rate, checkpoints in order of time, what can be resumed.
 *
 * @throws VistaError `NOT_FOUND` or `WRONG_KIND` where `run` is no run folder of train.py, `ABORTED`
 */
export async function runStatus(run: string, options: StatusOptions = {}): Promise<RunStatus> {
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
  // Configs that cannot be read do not tell the recipe; what they keep from being resumed is said below.
  const { recipes = BUILT_IN_RECIPES, vista = "." } = options;
  const recipe = await recipeOfRun(run, recipes, vista).catch(asUndefined);
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

/** What is said of a file, such as a merged one, where a strategy of DeepSpeed would go on with it. */
export const SINGLE = "a single file, and DeepSpeed goes on from folders";
const DANGLING = "a link that leads nowhere";

/** Looks at a checkpoint: at a folder's shards by their pickles, at a file only by its size. */
export async function lookAt(
  checkpoint: RunCheckpoint,
  options: Pick<RunOptions, "signal"> = {},
): Promise<CheckpointStatus> {
  const { name, path, kind, bytes, modified } = checkpoint;
  const unknown = { whole: undefined, ranks: undefined, steps: undefined };
  const status: CheckpointStatus = { name, path, bytes, modified: modified.toISOString(), ...unknown };
  const notWhole = (problem: string): CheckpointStatus => ({ ...status, whole: false, problem });
  if (kind === "file") {
    if (bytes > 0) return status;
    return notWhole((await isLink(path)) ? DANGLING : "the file is empty");
  }
  try {
    const { readFolder } = await import("../checkpoint-tools.js");
    const facts = await readFolder(path, options);
    const names = await namesIn(path);
    if (names.some((name) => name === "latest" || name === "latest_universal"))
      return { ...status, whole: true, ...facts };
    return { ...notWhole("no file `latest` in it, without which DeepSpeed loads nothing"), ...facts };
  } catch (error) {
    if (!isVistaError(error) || error.code === "ABORTED") throw error;
    // What cannot be read here may be whole all the same.
    return error.code === "UNSUPPORTED" ? { ...status, problem: error.message } : notWhole(error.message);
  }
}

/** Tells whether a path that was found to have no bytes is a link, and so one that leads to nothing. */
async function isLink(path: string): Promise<boolean> {
  return (await lstat(path)).isSymbolicLink() && !existsSync(path);
}

/** Reads the configs that a run has saved; a text says why train.py cannot. */
async function savedFacts(run: string): Promise<TrainingFacts | string> {
  try {
    const files = await savedConfigs(run);
    if (files.length === 0) return "there is no configs/*.yaml, which train.py reads on --resume";
    return trainingFacts(await readConfigs(files));
  } catch (error) {
    if (!isVistaError(error)) throw error;
    return error.message;
  }
}

/**
 * Looks at what `train.py --resume RUN` chooses from.
 *
 * @param look  gives the status of a checkpoint
 * @returns the one that it takes; the problem that stops it on the way; the doubt whether another one is not meant
 */
export async function lastChoice(
  found: readonly RunCheckpoint[],
  look: (checkpoint: RunCheckpoint) => CheckpointStatus | Promise<CheckpointStatus>,
): Promise<{ taken?: RunCheckpoint | undefined; problem?: string; doubt?: string }> {
  const taken = await lastCheckpoint(found);
  const others = found.filter(({ name }) => name.startsWith("last") && name !== taken?.name);
  if (taken === undefined || others.length === 0) return { taken };
  const looked: CheckpointStatus[] = [];
  for (const other of others) looked.push(await look(other));
  const broken = looked.find(({ problem }) => problem === DANGLING);
  if (broken !== undefined)
    return {
      taken,
      problem: `${broken.name} is ${DANGLING}, at which train.py stops when it compares times`,
    };
  const { steps = Number.POSITIVE_INFINITY } = await look(taken);
  const further = looked.find((other) => other.steps !== undefined && other.steps > steps);
  if (further === undefined) return { taken };
  return {
    taken,
    doubt: `${further.name} is further, by ${further.steps} steps to ${steps} of ${taken.name}`,
  };
}

async function resumable(
  run: string,
  found: readonly RunCheckpoint[],
  statuses: readonly CheckpointStatus[],
): Promise<Pick<RunStatus, "resume" | "resumeNote">> {
  const status = (name: string | undefined) => statuses.find((one) => one.name === name)!;
  const { taken, problem, doubt } = await lastChoice(found, ({ name }) => status(name));
  const saved = await savedFacts(run);
  const isSingle = ({ kind }: RunCheckpoint) =>
    kind === "file" && typeof saved !== "string" && needsFolders(saved);
  const fits = (one: RunCheckpoint) => status(one.name).whole !== false && !isSingle(one);
  const isTaken = taken !== undefined && fits(taken);
  const configs = problem ?? (isTaken && typeof saved === "string" ? saved : undefined);
  if (isTaken && configs === undefined) {
    return { resume: run, resumeNote: doubt && `it takes ${taken.name} by its time; ${doubt}` };
  }
  const other = isTaken ? taken : found.findLast((one) => fits(one) && one.name !== taken?.name);
  const reason =
    configs ??
    (taken === undefined
      ? "there is no last*.ckpt"
      : `${taken.name}, which train.py would take, is ${status(taken.name).whole === false ? "not whole" : SINGLE}`);
  if (other === undefined) return { resume: undefined, resumeNote: reason };
  const state = isTaken ? "" : ` ${other.kind === "file" ? "may be" : "is"}, and`;
  return {
    resume: other.path,
    resumeNote: `${reason}; ${other.name}${state} goes on in a new run folder`,
  };
}
