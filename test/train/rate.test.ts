/** The rate of a training, from the times of files that are set here: nothing of the expected figures is computed by us. */
import { mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { measureRate } from "../../src/train/run/rate.js";
import { temporaryFolder } from "../helpers/state.js";

/** Ten o'clock; all other times are seconds from it. */
const TEN = Date.parse("2026-01-05T10:00:00.000Z");
const at = (seconds: number) => new Date(TEN + seconds * 1000);

/** A run folder with a saved config for each start. */
function run(...starts: number[]): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "configs"));
  for (const [i, seconds] of starts.entries()) {
    const path = join(folder, "configs", `2026-01-05T10-00-0${i}-project.yaml`);
    writeFileSync(path, "{}\n");
    utimesSync(path, at(seconds), at(seconds));
  }
  return folder;
}

const session = (firstStep: number, lastStep: number, seconds: number) => ({
  firstStep,
  lastStep,
  written: at(seconds),
});
const saved = (steps: number | undefined, seconds: number) => ({
  steps,
  modified: at(seconds).toISOString(),
});

it("from the saved config to the last row of the log: 200 steps in 100 seconds are 2 a second", async () => {
  expect(await measureRate(run(0), session(0, 199, 100), [])).toEqual({
    stepsPerSecond: 2,
    from: { step: 0, time: "2026-01-05T10:00:00.000Z" },
    to: { step: 200, time: "2026-01-05T10:01:40.000Z" },
  });
});

it("from the first checkpoint on, so that the minutes before the first step do not count", async () => {
  // An hour of loading, then 100 steps in 50 seconds between two checkpoints.
  const found = await measureRate(run(0), session(0, 199, 3650), [saved(100, 3600), saved(200, 3650)]);
  expect(found).toEqual({
    stepsPerSecond: 2,
    from: { step: 100, time: "2026-01-05T11:00:00.000Z" },
    to: { step: 200, time: "2026-01-05T11:00:50.000Z" },
  });
});

it("a checkpoint that is ahead of the log is where it ends", async () => {
  const found = await measureRate(run(0), session(0, 99, 100), [saved(300, 150)]);
  expect(found).toMatchObject({ stepsPerSecond: 2, to: { step: 300 } });
});

it("of the last start only: the queue's time, and checkpoints from before it, are not in it", async () => {
  const before = saved(1000, 500);
  const found = await measureRate(run(0, 36_000), session(1000, 1499, 36_250), [before]);
  expect(found).toMatchObject({ stepsPerSecond: 2, from: { step: 1000, time: at(36_000).toISOString() } });
});

it("says nothing where the times say nothing", async () => {
  // No log; no saved config; a config newer than the log, as after a copy; files of one moment; no step made.
  expect(await measureRate(run(0), undefined, [])).toBeUndefined();
  expect(await measureRate(run(), session(0, 199, 100), [])).toBeUndefined();
  expect(await measureRate(run(200), session(0, 199, 100), [])).toBeUndefined();
  expect(await measureRate(run(95), session(0, 199, 100), [])).toBeUndefined();
  expect(await measureRate(run(0), session(200, 199, 100), [])).toBeUndefined();
});

it("checkpoints that do not say their steps are left aside", async () => {
  const found = await measureRate(run(0), session(0, 199, 100), [saved(undefined, 50)]);
  expect(found).toMatchObject({ stepsPerSecond: 2, from: { step: 0 } });
});
