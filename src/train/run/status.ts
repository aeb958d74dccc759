/** What a run folder says of its training: the CSV log, the checkpoints, and what can be gone on with. */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fromSystem, isVistaError, oneLine, VistaError } from "../../core/errors.js";
import { readRegular } from "../../core/io/regular.js";
import { type Checkpoint, type CheckpointTools, lastCheckpoint, listCheckpoints } from "./checkpoints.js";

/** One row of the log that has a loss. */
export interface LossPoint {
  epoch: number | undefined;
  step: number;
  loss: number;
}

export interface CheckpointStatus {
  name: string;
  path: string;
  bytes: number;
  modified: string;
  /** False: files are missing, cut off or contradict one another. Undefined: a single file, which is not looked into. */
  whole: boolean | undefined;
  /** Why it is not whole. */
  problem?: string;
}

export interface RunStatus {
  run: string;
  /** Number of the last epoch in the log, counted from 0 as Lightning does. */
  epoch: number | undefined;
  /** Last step in the log. */
  step: number | undefined;
  /** Why there can be no loss: the log has rows, and no column for it. */
  logNote: string | undefined;
  /** Of each logged step, in order; of a step that was trained twice (after a resume) the later one. */
  losses: LossPoint[];
  checkpoints: CheckpointStatus[];
  /** What to give `--resume`; undefined where nothing can be resumed. */
  resume: string | undefined;
  /** Why not, or what is odd about it. */
  resumeNote: string | undefined;
}

/**
 * Reads a run folder of train.py.
 *
 * @throws VistaError `NOT_FOUND` or `WRONG_KIND` where `run` is no run folder
 */
export async function readStatus(run: string, tools: CheckpointTools): Promise<RunStatus> {
  const own = await stat(run).catch((error) => {
    throw fromSystem(error, run, "open the run folder");
  });
  if (!own.isDirectory()) throw new VistaError("WRONG_KIND", "is a file, not a run folder", { path: run });
  const [log, found] = [await readLog(run), await listCheckpoints(run)];
  if (log === undefined && found.length === 0) {
    throw new VistaError("NOT_FOUND", "neither a log (testtube) nor checkpoints in this folder", {
      path: run,
      hint: "Name a run folder: <logdir>/<date>_<config>, which train.py makes when training begins.",
    });
  }
  const checkpoints: CheckpointStatus[] = [];
  for (const checkpoint of found) checkpoints.push(await look(checkpoint, tools));
  const losses = log?.losses ?? [];
  const last = losses.at(-1);
  return {
    run,
    epoch: last?.epoch,
    step: last?.step,
    losses,
    logNote: losses.length === 0 ? log?.note : undefined,
    checkpoints,
    ...(await resumable(run, found, checkpoints)),
  };
}

async function look(checkpoint: Checkpoint, tools: CheckpointTools): Promise<CheckpointStatus> {
  const status: CheckpointStatus = {
    name: checkpoint.name,
    path: checkpoint.path,
    bytes: checkpoint.bytes,
    modified: checkpoint.modified.toISOString(),
    whole: undefined,
  };
  if (checkpoint.kind === "file") {
    return checkpoint.bytes > 0 ? status : { ...status, whole: false, problem: "the file is empty" };
  }
  try {
    await tools.checkFolder(checkpoint.path);
    status.whole = true;
  } catch (error) {
    if (!isVistaError(error)) throw error;
    status.whole = false;
    status.problem = error.message;
  }
  return status;
}

async function resumable(
  run: string,
  found: readonly Checkpoint[],
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

/**
 * The losses of all logs of a run, `testtube/version_N/metrics.csv`, oldest version first (each start makes one);
 * undefined where there is none.
 */
async function readLog(run: string): Promise<{ losses: LossPoint[]; note: string | undefined } | undefined> {
  const folder = join(run, "testtube");
  const versions = (await readdir(folder).catch(() => []))
    .map((name) => /^version_(\d+)$/.exec(name))
    .filter((match) => match !== null)
    .sort((a, b) => Number(a[1]) - Number(b[1]));
  const bySteps = new Map<number, LossPoint>();
  let logs = 0;
  let note: string | undefined;
  for (const [name] of versions) {
    const text = await readRegular(join(folder, name, "metrics.csv")).then(String, () => undefined);
    if (text === undefined) continue;
    logs++;
    const [header, row] = text.split(/\r?\n/);
    if (row && !header!.split(",").some((column) => LOSS_COLUMNS.includes(column))) {
      note = `no loss among the columns of ${join("testtube", name, "metrics.csv")}: ${oneLine(header!).slice(0, 200)}`;
    }
    for (const point of parseLosses(text)) bySteps.set(point.step, point);
  }
  if (logs === 0) return undefined;
  return { losses: [...bySteps.values()].sort((a, b) => a.step - b.step), note };
}

/** Names of the loss, the best first. */
const LOSS_COLUMNS = ["loss_step", "train/loss_step", "loss", "train/loss"];

/**
 * The losses in a log of Lightning's CSVLogger: `loss_step`, or `loss` where there is no such column. Its fields are
 * numbers or empty and its column names have no commas, so nothing is ever quoted. A last line without an end (the
 * process was killed) counts only if it is complete.
 */
export function parseLosses(csv: string): LossPoint[] {
  const lines = csv.split(/\r?\n/);
  const header = lines[0]?.split(",") ?? [];
  const column = (...names: string[]) =>
    names.map((name) => header.indexOf(name)).find((at) => at !== -1) ?? -1;
  const [lossAt, stepAt, epochAt] = [column(...LOSS_COLUMNS), column("step"), column("epoch")];
  const points: LossPoint[] = [];
  if (lossAt === -1 || stepAt === -1) return points;
  for (const line of lines.slice(1)) {
    const fields = line.split(",");
    if (fields.length !== header.length) continue;
    const [loss, step] = [number(fields[lossAt]), number(fields[stepAt])];
    if (loss === undefined || step === undefined) continue;
    points.push({ step, loss, epoch: number(epochAt === -1 ? undefined : fields[epochAt]) });
  }
  return points;
}

/** Python writes `nan` and `inf`; an empty field is no number. */
function number(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^-?nan$/i.test(text)) return Number.NaN;
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}
