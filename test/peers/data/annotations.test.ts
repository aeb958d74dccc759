/** Annotation files against the same rules in Python: nuscenes-devkit, numpy and pyquaternion. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeInterpolatedTables } from "../../../src/dataset/annotations/make/interpolate.js";
import { writeNuScenesAnnotations } from "../../../src/dataset/annotations/make/nuscenes.js";
import type { NuScenesRecord } from "../../../src/dataset/annotations/nuscenes-rows.js";
import { officialScenes, SPLIT_NAMES } from "../../../src/dataset/nuscenes/splits.js";
import { Sets, type TestSet, VERSION } from "../../dataset/nuscenes/set.js";
import { runPython } from "../python.js";
import { moveBoxes, randomSet } from "./annotation-sets.js";

const sets = new Sets();
afterAll(() => sets.clear());

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const read = (path: string) => JSON.parse(readFileSync(path, "utf8"));

it("the lists of scenes are the devkit's", async () => {
  const code = `
import json
from nuscenes.utils import splits
print(json.dumps({name: sorted(getattr(splits, name)) for name in ${JSON.stringify(SPLIT_NAMES)}}))`;
  const lists = JSON.parse(await runPython("data", ["-c", code])) as Record<string, string[]>;
  expect(Object.keys(lists)).toHaveLength(5);
  for (const name of SPLIT_NAMES) expect([...officialScenes(name)].sort()).toEqual(lists[name]);
});

/** Within 1e-9 of float64, in proportion where numbers are above 1. */
function expectClose(ours: readonly number[], theirs: readonly number[], what: string): void {
  expect(ours.length, what).toBe(theirs.length);
  for (const [i, value] of ours.entries()) {
    const bound = 1e-9 * Math.max(1, Math.abs(theirs[i]!));
    expect(Math.abs(value - theirs[i]!), `${what}[${i}]: ${value} and ${theirs[i]}`).toBeLessThanOrEqual(
      bound,
    );
  }
}

const SPLITS = ["train", "val"] as const;
const SEEDS = [1, 2, 3, 4, 5, 6];

describe("nuScenes.json", () => {
  const randomSets = new Map<number, TestSet>();
  const theirs = (set: TestSet, split: string) => set.path(`${split}-theirs.json`);
  beforeAll(async () => {
    for (const seed of SEEDS) randomSets.set(seed, await randomSet(sets, seed));
    const tasks = [...randomSets.values()].flatMap((set) =>
      SPLITS.map((split) => [set.root, VERSION, split, theirs(set, split)]),
    );
    await runPython("data", [script("nuscenes_records.py")], tasks);
  });

  const seen = {
    records: 0,
    commands: new Set<number>(),
    withoutSpeed: 0,
    skipped: { endOfScene: 0, chainTooShort: 0, noKeyFrame: 0 },
  };

  it.each(SEEDS)("of random set %i is what the rules give in Python", async (seed) => {
    const set = randomSets.get(seed)!;
    for (const split of SPLITS) {
      const ours = set.path(`${split}-ours.json`);
      const expected = read(theirs(set, split)) as NuScenesRecord[];
      if (expected.length === 0) {
        await expect(writeNuScenesAnnotations(set.root, ours, { split, fsync: false })).rejects.toThrow(
          /no scene|none of/,
        );
        continue;
      }
      const result = await writeNuScenesAnnotations(set.root, ours, { split, fsync: false });
      const records = read(ours) as NuScenesRecord[];
      expect(records.map(({ frames }) => frames)).toEqual(expected.map(({ frames }) => frames));
      for (const [i, record] of records.entries()) {
        const other = expected[i]!;
        expect(Object.keys(record)).toEqual(["frames", "traj", "cmd", "speed", "angle", "goal", "z"]);
        expect(record.cmd, `cmd of ${i}`).toBe(other.cmd);
        for (const key of ["traj", "speed", "angle", "goal"] as const)
          expectClose(record[key], other[key], `${key} of ${i}`);
        expectClose([record.z], [other.z], `z of ${i}`);
        seen.commands.add(record.cmd);
        if (record.speed.length === 0) seen.withoutSpeed++;
      }
      seen.records += records.length;
      for (const key of ["endOfScene", "chainTooShort", "noKeyFrame"] as const)
        seen.skipped[key] += result.skipped[key];
    }
  });

  it("the random sets had what they are for", () => {
    expect(seen.records).toBeGreaterThan(60);
    expect([...seen.commands].sort()).toEqual([0, 1, 2, 3]);
    expect(seen.withoutSpeed).toBeGreaterThan(0);
    for (const count of Object.values(seen.skipped)) expect(count).toBeGreaterThan(0);
  });
});

describe("the 12 Hz tables", () => {
  const seeds = [11, 12, 13];
  const made: Awaited<ReturnType<typeof writeInterpolatedTables>>[] = [];
  let counted: Record<string, number>[];
  beforeAll(async () => {
    const tasks: string[][] = [];
    for (const seed of seeds) {
      const set = await randomSet(sets, seed);
      moveBoxes(set, seed);
      made.push(await writeInterpolatedTables(set.root, undefined, { fsync: false }));
      tasks.push([set.root, VERSION, "interp_12Hz_mini"]);
    }
    const out = await runPython("data", [script("nuscenes_12hz.py")], tasks);
    counted = JSON.parse(out.slice(out.indexOf("RESULT") + 6));
  });

  it.each(seeds)("of random set %i are what the rules give in Python, and open in the devkit", (seed) => {
    const [ours, counts] = [made[seeds.indexOf(seed)]!, counted[seeds.indexOf(seed)]!];
    expect(counts).toMatchObject({
      sample: ours.samples,
      sample_annotation: ours.annotations,
      sample_data: ours.sampleData,
      anns: ours.annotations,
    });
    expect(counts.pictures).toBeGreaterThan(ours.samples / 2);
    expect(ours.samples).toBeGreaterThan(2 * ours.keySamples);
  });
});
