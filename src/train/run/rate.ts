/** The rate of a training by the times of the files that it leaves, since its log has no clock. */
import { statsOf } from "../../core/io/regular.js";
import type { LoggedSession } from "./log.js";
import { savedConfigs } from "./runs.js";

export interface TrainingRate {
  stepsPerSecond: number;
  /** The step and the time that it is measured from; `to` has those that it is measured to. Times are ISO 8601 in UTC. */
  from: { step: number; time: string };
  to: { step: number; time: string };
}

/** A moment at which so many steps had been made. */
interface Moment {
  step: number;
  time: number;
}

/** The shortest time between two files, in milliseconds; files nearer to each other were copied, or say little of a step. */
const SHORTEST_MS = 10_000;

/**
 * Measures the rate of the last start of a run: from its first checkpoint, or from the config that train.py saves when training
 * begins, to the last row of its log or the last checkpoint. The time in the queue between two starts is not in it. Where files
 * were copied without their times, nothing true can be said, and undefined is returned as far as that shows.
 *
 * @param checkpoints  the checkpoints, with the steps that they were saved after and their times
 */
export async function measureRate(
  run: string,
  session: LoggedSession | undefined,
  checkpoints: readonly { steps: number | undefined; modified: string }[],
): Promise<TrainingRate | undefined> {
  if (session === undefined) return undefined;
  const began = await startOf(run);
  if (began === undefined || began > session.written.getTime()) return undefined;
  const start: Moment = { step: session.firstStep, time: began };
  const saved = checkpoints
    .map(({ steps, modified }) => ({ step: steps, time: Date.parse(modified) }))
    .filter((one): one is Moment => one.step !== undefined && one.time >= began && one.step > start.step)
    .sort((a, b) => a.time - b.time);
  const all: Moment[] = [...saved, { step: session.lastStep + 1, time: session.written.getTime() }];
  const to = all.reduce((last, one) => (one.step > last.step ? one : last));
  // A rate from the first checkpoint on leaves out the minutes before the first step.
  const from = saved.find((one) => one.step < to.step && to.time - one.time >= SHORTEST_MS) ?? start;
  if (to.time - from.time < SHORTEST_MS || to.step <= from.step) return undefined;
  return {
    stepsPerSecond: (to.step - from.step) / ((to.time - from.time) / 1000),
    from: { step: from.step, time: new Date(from.time).toISOString() },
    to: { step: to.step, time: new Date(to.time).toISOString() },
  };
}

/** Finds the time at which the last start began, as each start saves its configs under its own date. */
async function startOf(run: string): Promise<number | undefined> {
  const times: number[] = [];
  for (const path of await savedConfigs(run)) {
    const own = await statsOf(path);
    if (own !== undefined) times.push(own.mtimeMs);
  }
  return times.length === 0 ? undefined : Math.max(...times);
}
