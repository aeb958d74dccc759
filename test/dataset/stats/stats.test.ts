/** Figures of a set, against figures worked out by hand. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { makeNuScenes } from "../../../bench/make-nuscenes.mjs";
import { collectStats, distribution } from "../../../src/dataset/stats/stats.js";
import { frame, makeSet, newFolder, removeFolders } from "../opendv/support.js";

afterAll(removeFolders);

test("OpenDV: frames, hours, clips, by split, subset and country", async () => {
  const { root, rows } = await makeSet();
  rmSync(frame(root, rows[0]!, 20)); // runs of 20 and 19 frames: no clip in this video
  const { opendv } = await collectStats(root);
  expect(opendv).toMatchObject({ videos: 6, frames: 239, clips: 5 * 16, runs: 7 });
  expect(opendv!.hours).toBeCloseTo(239 / 36_000, 12);
  expect(opendv!.splits.train).toMatchObject({ videos: 5 });
  expect(opendv!.splits.val!.hours).toBeCloseTo(40 / 36_000, 12);
  expect(Object.keys(opendv!.subsets).sort()).toEqual(["Full", "Mini"]);
  expect(opendv!.countries.Japan).toEqual({ videos: 1, hours: 40 / 36_000 });
});

test("names that objects are born with are names like any other: areas, subsets, places", async () => {
  const { root, rows } = await makeSet();
  const names = ["__proto__", "constructor", "toString", "hasOwnProperty"];
  const list = rows.map((row, i) => ({
    videoid: row.videoid,
    youtuber: row.youtuber,
    split: "Train",
    subset: "Mini",
    area: names[i] ?? "__proto__",
  }));
  writeFileSync(join(root, "meta/OpenDV-YouTube.json"), JSON.stringify(list));
  const { opendv } = await collectStats(root);
  expect(Object.keys(opendv!.countries).sort()).toEqual([...names].sort());
  expect(JSON.parse(JSON.stringify(opendv!.countries)).constructor).toMatchObject({ videos: 1 });
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(({} as { videos?: number }).videos).toBeUndefined();
});

test("nuScenes and its annotations: what Vista's loader would train on", async () => {
  const root = newFolder();
  const data = newFolder();
  await makeNuScenes(data, { scenes: 2, samples: 8, boxes: 0, files: "none" });
  mkdirSync(join(root, "data"));
  renameSync(data, join(root, "data/nuscenes"));
  mkdirSync(join(root, "annos"));
  const record = {
    frames: Array.from({ length: 25 }, (_, i) => `samples/CAM_FRONT/${i}.jpg`),
    traj: [0, 0, 0, 4, 0, 8, 0, 12, 0, 16],
    cmd: 3,
    speed: [99, 10, 20, 30, 40],
    angle: [0, 0, 0, 0, 0],
    z: 10,
    goal: [800, 450],
  };
  writeFileSync(
    join(root, "annos/nuScenes.json"),
    JSON.stringify([
      record, // 1 × 2
      { ...record, cmd: 0 }, // 5 × 2
      { ...record, cmd: 1, speed: [], angle: [] }, // 5
      { ...record, cmd: 2, goal: [1700, 450] }, // 1
      { ...record, cmd: 3, z: -1 }, // 1
      { ...record, traj: "?" }, // of no use
      // Vista trains on these: frames to spare are left, and what is neither stop nor forward counts as a turn.
      { ...record, frames: [...record.frames, "samples/CAM_FRONT/25.jpg"] }, // 1 × 2
      { ...record, cmd: 7, goal: [0, 0] }, // 5
    ]),
  );
  writeFileSync(
    join(root, "annos/YouTube.json"),
    JSON.stringify([0, 1, 2].map((n) => ({ folder_name: n < 2 ? "a" : "b", first_frame: `${n}.jpg` }))),
  );
  const stats = await collectStats(root);
  expect(stats.nuscenes).toMatchObject({ scenes: 2, keyFrames: 16 });
  expect(Object.values(stats.nuscenes!.locations).reduce((a, b) => a + b, 0)).toBe(2);
  expect(stats.annotations).toMatchObject([
    {
      records: 8,
      unusable: 1,
      commands: { right: 1, left: 1, stop: 1, forward: 3 },
      modes: { trajectory: 7, command: 7, speed: 6, angle: 6, goal: 4 },
      balanced: 1 + 5 + 5 + 1 + 1 + 1 + 5,
      resampled: 2 + 10 + 5 + 1 + 1 + 2 + 5,
      // The loader leaves out the first.
      speed: { min: 10, median: 25, mean: 25, max: 40 },
    },
  ]);
  expect(stats.youtube).toMatchObject([{ clips: 3, folders: 2 }]);
});

test("a list of videos that cannot be read is an error: nobody knows the subsets and countries", async () => {
  const { root } = await makeSet();
  writeFileSync(join(root, "meta/OpenDV-YouTube.json"), "[{");
  await expect(collectStats(root)).rejects.toMatchObject({ code: "FORMAT", where: { offset: 2 } });
});

test("all annotation files in annos/ are counted, but language files only where they are named", async () => {
  const root = newFolder();
  mkdirSync(join(root, "annos"));
  const clips = (key: string, folders: string[]) =>
    JSON.stringify(folders.map((folder) => ({ [key]: folder, first_frame: "0.jpg", last_frame: "39.jpg" })));
  writeFileSync(join(root, "annos/YouTube_val.json"), clips("folder_name", ["a", "a", "b"]));
  const language = join(root, "annos/10hz_YouTube_val.json");
  writeFileSync(language, clips("folder", ["a", "b"]));
  const usual = { path: join(root, "annos/YouTube_val.json"), clips: 3, folders: 2 };
  expect(await collectStats(root)).toMatchObject({ annotations: [], youtube: [usual] });
  const { annotations, youtube } = await collectStats(root, { annos: [language] });
  expect([annotations, youtube]).toEqual([[], [usual, { path: language, clips: 2, folders: 2 }]]);
});

test("a distribution of an odd number of values", () => {
  expect(distribution([5, 1, 3])).toEqual({ min: 1, median: 3, mean: 3, max: 5 });
});

test("an annotation file that is a folder, or none, is an error that names it, no internal one", async () => {
  const folder = newFolder();
  mkdirSync(join(folder, "a.json"));
  for (const [name, message] of [
    ["a.json", /a\.json: cannot read the file: is (?:a folder|not a regular file)/],
    ["none.json", /none\.json: cannot read the file: no such file/],
  ] as const) {
    await expect(collectStats(folder, { annos: [join(folder, name)] })).rejects.toThrow(message);
  }
});
