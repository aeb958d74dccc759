/** The log that Lightning's CSVLogger writes into a run folder. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fromSystem, oneLine } from "../../core/errors.js";
import { namesIn, readRegular } from "../../core/io/regular.js";

/** A row of the log that has a loss. */
export interface LossPoint {
  epoch: number | undefined;
  step: number;
  loss: number;
}

/** The part of the log that one start of a training has written. */
export interface LoggedSession {
  /** The step at which it began, as far as its rows tell. */
  firstStep: number;
  lastStep: number;
  /** The time at which its log was last written. */
  written: Date;
}

export interface RunLog {
  losses: LossPoint[];
  /** The reason why there can be no loss: the log has rows but no column for it. */
  note: string | undefined;
  /** The last start that logged a loss; undefined where none has. */
  session: LoggedSession | undefined;
}

/**
 * Reads the losses of all logs of a run, `testtube/version_N/metrics.csv`, oldest version first (each start makes one).
 *
 * @returns undefined where there is no log
 * @throws VistaError `WRONG_KIND` or `IO` for a log that is no file or cannot be read
 */
export async function readLog(run: string): Promise<RunLog | undefined> {
  const folder = join(run, "testtube");
  const versions = (await namesIn(folder))
    .map((name) => /^version_(\d+)$/.exec(name))
    .filter((match) => match !== null)
    .sort((a, b) => Number(a[1]) - Number(b[1]));
  const bySteps = new Map<number, LossPoint>();
  let logs = 0;
  let note: string | undefined;
  let session: LoggedSession | undefined;
  for (const [name] of versions) {
    const path = join(folder, name, "metrics.csv");
    const text = await readText(path);
    if (text === undefined) continue;
    logs++;
    const [header, row] = text.split(/\r?\n/, 2);
    if (row && !header!.split(",").some((column) => LOSS_COLUMNS.includes(column))) {
      note = `no loss among the columns of ${join("testtube", name, "metrics.csv")}: ${oneLine(header!, 200)}`;
    }
    const points = parseLosses(text);
    // A start that went on from an older checkpoint gives up what was trained after that.
    for (const step of bySteps.keys()) if (step >= (points[0]?.step ?? Infinity)) bySteps.delete(step);
    for (const point of points) bySteps.set(point.step, point);
    session = sessionOf(points, (await stat(path)).mtime) ?? session;
  }
  if (logs === 0) return undefined;
  return { losses: [...bySteps.values()].sort((a, b) => a.step - b.step), note, session };
}

/**
 * Finds the first and the last step of a start. A row says that its step has ended; before the first row, as many steps were made
 * as lie between two rows.
 */
function sessionOf(points: readonly LossPoint[], written: Date): LoggedSession | undefined {
  const [first, second] = points;
  if (first === undefined) return undefined;
  const between = second === undefined ? 0 : second.step - first.step;
  return { firstStep: Math.max(0, first.step - between), lastStep: points.at(-1)!.step, written };
}

async function readText(path: string): Promise<string | undefined> {
  try {
    // A spreadsheet puts a byte order mark before the first column's name.
    return (await readRegular(path)).toString("utf8").replace(/^\ufeff/, "");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fromSystem(error, path, "read the log");
  }
}

/** The names of the column with the loss, the best one first. */
const LOSS_COLUMNS = ["loss_step", "train/loss_step", "loss", "train/loss"];

/**
 * Reads the losses in a log of Lightning's CSVLogger, from the first of {@link LOSS_COLUMNS} that it has. Its fields are
 * numbers or empty and its column names have no commas, so nothing is ever quoted. A last line without an end does not
 * count: the process was killed while it wrote it, and its last number may have lost digits.
 */
export function parseLosses(csv: string): LossPoint[] {
  const lines = csv.split(/\r?\n/).slice(0, -1);
  const header = lines[0]?.split(",") ?? [];
  const column = (...names: string[]) =>
    names.map((name) => header.indexOf(name)).find((at) => at !== -1) ?? -1;
  const [lossAt, stepAt, epochAt] = [column(...LOSS_COLUMNS), column("step"), column("epoch")];
  const points: LossPoint[] = [];
  if (lossAt === -1 || stepAt === -1) return points;
  for (const line of lines.slice(1)) {
    const fields = line.split(",");
    if (fields.length !== header.length) continue;
    const [loss, step] = [number(fields[lossAt]), count(fields[stepAt])];
    if (loss === undefined || step === undefined) continue;
    points.push({ step, loss, epoch: count(epochAt === -1 ? undefined : fields[epochAt]) });
  }
  return points;
}

/** Parses a number of steps or epochs; what counts nothing is no number. */
function count(text: string | undefined): number | undefined {
  const value = number(text);
  return Number.isSafeInteger(value) && value! >= 0 ? value : undefined;
}

/** Parses a number as Python writes it, with `nan` and `inf`; an empty field is no number. */
function number(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^-?nan$/i.test(text)) return Number.NaN;
  if (/^[+-]?inf(inity)?$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}
