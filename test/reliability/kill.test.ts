/** A few runs of `npm run kill`, with seeds of their own. */
import { expect, it } from "vitest";
import { temporaryFolder } from "../helpers/state.js";
import { killRuns } from "./kill.mjs";

it.each(["shards", "annotations"])("%s killed at random moments leaves the old or the new", async (name) => {
  const { runs, problems } = await killRuns(name, { runs: 1, seed: 15, folder: temporaryFolder() });
  expect(problems).toEqual([]);
  expect(runs).toBe(1);
});
