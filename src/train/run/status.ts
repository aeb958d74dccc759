/** The status of a training as its run folder tells it: the CSV log, the checkpoints, and what can be gone on with. */
import { resolve } from "node:path";
import { asUndefined, isVistaError, throwIfAborted, VistaError } from "../../core/errors.js";
import type { RunOptions } from "../../core/progress.js";
import { BUILT_IN_RECIPES, type Recipe } from "../launch/built-in-recipes.js";
import { readConfigs } from "../launch/config.js";
import { needsFolders, type TrainingFacts, trainingFacts } from "../launch/facts.js";
import { fromVista } from "../launch/plan.js";
import { type CheckpointStatus, lastChoice, lookAt, pathProblem, SINGLE } from "./checkpoint-status.js";
import { listCheckpoints, type RunCheckpoint } from "./checkpoints.js";
import { type LossPoint, readLog } from "./log.js";
import { measureRate, type TrainingRate } from "./rate.js";
import { checkRunFolder, recipeOfRun, savedConfigs } from "./runs.js";

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
  recipes?: Iterable<Recipe> | undefined;
  /** The Vista checkout with the configs of the recipes; the current folder by default. */
  vista?: string | undefined;
}

/**
 * Reads what the folder of a run says of its training: losses, rate, checkpoints in order of time, what can be resumed.
 *
 * @throws VistaError `NOT_FOUND` or `WRONG_KIND` where `run` is no run folder of train.py, `ABORTED`
 */
export async function runStatus(run: string, options: StatusOptions = {}): Promise<RunStatus> {
  await checkRunFolder(run);
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
    ...(await resumable(run, vista, found, checkpoints)),
  };
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

async function resumable(
  run: string,
  vista: string,
  found: readonly RunCheckpoint[],
  statuses: readonly CheckpointStatus[],
): Promise<Pick<RunStatus, "resume" | "resumeNote">> {
  const status = (name: string) => statuses.find((one) => one.name === name)!;
  const { taken, problem, doubt } = await lastChoice(found, ({ name }) => status(name));
  const saved = await savedFacts(run);
  const isSingle = ({ kind }: RunCheckpoint) =>
    kind === "file" && typeof saved !== "string" && needsFolders(saved);
  const fits = (one: RunCheckpoint) => status(one.name).whole !== false && !isSingle(one);
  const isTaken = taken !== undefined && fits(taken);
  // train.py stops on the way to a checkpoint that is fit.
  const stop =
    problem ??
    pathProblem(fromVista(resolve(vista), resolve(run))) ??
    (isTaken && typeof saved === "string" ? saved : undefined);
  if (isTaken && stop === undefined) {
    return { resume: run, resumeNote: doubt && `it takes ${taken.name} by its time; ${doubt}` };
  }
  const other = isTaken ? taken : found.findLast((one) => fits(one) && one.name !== taken?.name);
  const reason =
    stop ??
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
