/** The check of whole sets: layouts, roots, shards, samples, index, interruption. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { folderOf, type OpenDvRow } from "../../../bench/make-opendv.mjs";
import { checkAnnotations } from "../../../src/dataset/annotations/check.js";
import { writeYouTube } from "../../../src/dataset/annotations/make/youtube.js";
import { findYouTubeClips } from "../../../src/dataset/annotations/make/youtube-sources.js";
import type { CheckOptions, Finding } from "../../../src/dataset/finding.js";
import { buildIndex } from "../../../src/dataset/frame-index/build.js";
import { encodeIndex } from "../../../src/dataset/frame-index/format.js";
import { checkNuScenes } from "../../../src/dataset/nuscenes/check/check.js";
import { checkOpenDv } from "../../../src/dataset/opendv/check.js";
import { findOpenDvRoot } from "../../../src/dataset/opendv/root.js";
import { FrameSet } from "../../../src/dataset/opendv/runs.js";
import { spreadFrames } from "../../../src/dataset/opendv/sample.js";
import { findClip } from "../../../src/dataset/preview/clip.js";
import { runCli } from "../../helpers/cli.js";
import { collect, copyOf, frame, later, makeSet, newFolder, removeFolders, replace } from "./support.js";

let clean: { root: string; rows: OpenDvRow[] };
beforeAll(async () => {
  clean = await makeSet();
});
afterAll(removeFolders);

describe("layouts", () => {
  test.each([
    ["%06d.png", 1, "%06d.png from 1"],
    ["%06d.jpg", 0, "%06d.jpg from 0"],
    ["%d.jpg", 0, "%d.jpg from 0"],
    ["%09d.jpg", 1, "%09d.jpg from 1"],
    ["%09d.webp", 0, "%09d.webp from 0"],
  ])("%s from %d", async (pattern, base, title) => {
    const { root } = await makeSet({ pattern, base, frames: 30, width: 1280, height: 720 });
    const check = checkOpenDv(root);
    expect(await collect(check)).toEqual([]);
    expect(check.summary.title).toBe(`OpenDV-YouTube, 6 videos, ${title}`);
  });
});

describe("roots", () => {
  test("the folder above, with the list of videos beside the set, as DriveAGI's scripts leave it", async () => {
    const above = newFolder();
    renameSync(copyOf(clean.root), join(above, "OpenDV-YouTube"));
    renameSync(join(above, "OpenDV-YouTube/meta"), join(above, "meta"));
    rmSync(frame(join(above, "OpenDV-YouTube"), clean.rows[0]!, 4));
    const findings = await collect(checkOpenDv(above));
    expect(findings.map(({ rule, path }) => [rule, path])).toEqual([
      ["opendv/gap", `OpenDV-YouTube/${folderOf(clean.rows[0]!)}`],
    ]);
  });
  test("a link to the set", async () => {
    const link = join(newFolder(), "YouTube");
    symlinkSync(clean.root, link);
    expect(await collect(checkOpenDv(link))).toEqual([]);
  });
  test("youtubers without splits, and videos without youtubers", async () => {
    const root = copyOf(clean.root);
    const check = checkOpenDv(join(root, "full_images"));
    expect((await collect(check)).map(({ rule }) => rule)).toEqual([]);
    const flat = newFolder();
    for (const row of clean.rows) renameSync(join(root, folderOf(row)), join(flat, row.videoid));
    mkdirSync(join(flat, "killed"));
    const findings = await collect(checkOpenDv(flat));
    expect(findings.map(({ rule, path }) => [rule, path])).toEqual([
      ["opendv/meta-missing", "."],
      ["opendv/empty-folder", "killed"],
    ]);
  });
  test("a video among whose frames are hundreds of other files, wherever the system lists those", async () => {
    const flat = newFolder();
    const [row] = clean.rows as [OpenDvRow];
    const video = join(flat, row.videoid);
    const others = (from: number) => {
      for (let i = from; i < from + 300; i++)
        writeFileSync(join(video, `._${String(i).padStart(9, "0")}.jpg`), "");
    };
    mkdirSync(video);
    others(0);
    for (let number = 0; number < 40; number++)
      if (number !== 20) copyFileSync(frame(clean.root, row, number), join(video, frameName(number)));
    others(300);
    mkdirSync(join(flat, "youtuber", "other"), { recursive: true });
    copyFileSync(frame(clean.root, row, 0), join(flat, "youtuber", "other", frameName(0)));
    const findings = await collect(checkOpenDv(flat));
    expect(findings.map(({ rule, path }) => [rule, path])).toContainEqual(["opendv/gap", row.videoid]);
  });
  test("one folder of frames", async () => {
    const check = checkOpenDv(join(clean.root, folderOf(clean.rows[0]!)));
    expect((await collect(check)).map(({ rule }) => rule)).toEqual(["opendv/meta-missing"]);
    expect(check.summary.coverage[1]).toMatchObject({ checked: 40 });
  });
  test("a folder with none of it is an error of the call", async () => {
    await expect(collect(checkOpenDv(newFolder()))).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

const frameName = (number: number) => `${String(number).padStart(9, "0")}.jpg`;

/** A set with many faults in many folders. */
function plantMany(): string {
  const root = copyOf(clean.root);
  const [a, b, c, d] = clean.rows as [OpenDvRow, OpenDvRow, OpenDvRow, OpenDvRow];
  rmSync(frame(root, a, 7));
  replace(frame(root, b, 12), "");
  for (let number = 0; number < 39; number++) rmSync(frame(root, c, number));
  writeFileSync(join(root, folderOf(d), "notes.txt"), "");
  writeFileSync(join(root, "meta/OpenDV-YouTube.csv"), "VideoID,YouTuber\n");
  return root;
}

function sorted(findings: readonly Finding[]): string[] {
  return findings.map((finding) => JSON.stringify(finding)).sort();
}

test("what annos youtube makes of a root is sound for the check and the preview of the same root", async () => {
  const { root } = await makeSet();
  const above = newFolder();
  renameSync(root, join(above, "OpenDV-YouTube"));
  const file = join(above, "YouTube.json");
  for (const place of ["", "OpenDV-YouTube", "OpenDV-YouTube/full_images"]) {
    const own = join(above, place);
    await writeYouTube(file, await findYouTubeClips(own), { force: true });
    expect(await collect(checkAnnotations([file], { root: own }))).toEqual([]);
    const { frames } = findClip(`${file}#0`, { root: own });
    expect(frames.filter((path) => !existsSync(path))).toEqual([]);
    const { code } = await runCli("vista-data", ["check", own, "--annos", file]);
    expect(code).toBe(0);
  }
});

test("a few pictures beside folders of frames are no video: the folders are", async () => {
  const { root, rows } = await makeSet();
  const video = dirname(frame(root, rows[0]!, 0));
  const whole = await findYouTubeClips(root);
  for (const name of ["cover1.jpg", "000000000.jpg"])
    copyFileSync(frame(root, rows[0]!, 0), join(video, "..", name));
  expect(await collect(checkOpenDv(root))).toEqual([]);
  expect(await findYouTubeClips(root)).toEqual(whole);
  // The same where videos lie side by side, and in the folder of one youtuber.
  for (const place of ["full_images", dirname(folderOf(rows[0]!))])
    expect(findOpenDvRoot(join(root, place))!.folders.length).toBe(place === "full_images" ? 5 : 2);
  // What has the frames of a clip is a video, whatever lies in it; so is what has fewer and no such folder.
  mkdirSync(join(video, "old"));
  copyFileSync(frame(root, rows[0]!, 0), join(video, "old/000000000.jpg"));
  const rules = async () => (await collect(checkOpenDv(root))).map(({ rule, path }) => [rule, path]);
  expect(await rules()).toEqual([["opendv/stray-file", folderOf(rows[0]!)]]);
  rmSync(join(video, "old"), { recursive: true });
  for (let i = 20; i < 40; i++) rmSync(frame(root, rows[0]!, i));
  expect(await rules()).toEqual([]);
});

test("a shard that there is not is wrong usage, for every check: nothing would be looked at", async () => {
  const { root } = clean;
  for (const shard of [
    { index: 0, count: 2 },
    { index: 3, count: 2 },
    { index: 1.5, count: 2 },
    { index: 1, count: 0 },
  ]) {
    const checks = [
      checkOpenDv(root, { shard }),
      checkNuScenes(root, { shard }),
      checkAnnotations([], { shard }),
    ];
    for (const check of checks) await expect(collect(check)).rejects.toMatchObject({ code: "USAGE" });
  }
  await expect(collect(checkAnnotations([], { numFrames: 0 }))).rejects.toMatchObject({ code: "USAGE" });
});

test.each<[string, CheckOptions]>([
  ["a shard as the command line has it", { shard: "1/2" as never }],
  ["a shard without a number", { shard: { count: 2 } as never }],
  ["a sample that is no number", { sample: Number.NaN }],
  ["a sample below 0", { sample: -1 }],
  ["a budget below 0", { budget: -1 }],
  ["a budget as the command line has it", { budget: "1m" as never }],
  ["a look at images that there is not", { images: "deep" as never }],
])("%s is wrong usage, for every check", async (_, options) => {
  const { root } = clean;
  for (const check of [
    checkOpenDv(root, options),
    checkNuScenes(root, options),
    checkAnnotations(["a.json"], options),
  ])
    await expect(collect(check)).rejects.toMatchObject({ code: "USAGE" });
});

test("no annotation file at all is wrong usage: nothing would be looked at, and nothing found", async () => {
  await expect(collect(checkAnnotations([]))).rejects.toMatchObject({
    code: "USAGE",
    message: "there is no annotation file to check",
  });
});

test("shards together find what one run finds", async () => {
  const root = plantMany();
  const whole = checkOpenDv(root);
  const all = await collect(whole);
  expect(all.length).toBeGreaterThan(4);
  for (const count of [2, 5]) {
    const shards = Array.from({ length: count }, (_, i) =>
      checkOpenDv(root, { shard: { index: i + 1, count } }),
    );
    const findings = (await Promise.all(shards.map(collect))).flat();
    expect(sorted(findings)).toEqual(sorted(all));
    whole.summary.coverage.forEach(({ what, checked, total }, i) => {
      const sums = shards.map((shard) => shard.summary.coverage[i]!);
      expect(sums.every((sum) => sum.what === what)).toBe(true);
      expect(sums.reduce((sum, one) => sum + one.checked, 0)).toBe(checked);
      expect(sums.reduce((sum, one) => sum + one.total, 0)).toBe(total);
    });
    expect(new Set(shards.map((shard) => shard.summary.title))).toEqual(new Set([whole.summary.title]));
  }
});

test("a sampled check opens what it says, the same images for the same seed, and says that it is one", async () => {
  const check = checkOpenDv(clean.root, { sample: 30, seed: 7 });
  await collect(check);
  // Five a folder, and the first and the last.
  expect(check.summary.coverage).toContainEqual({ what: "images (headers)", checked: 42, total: 240 });
});

test("an empty image is found wherever it is, however few images are opened", async () => {
  const root = copyOf(clean.root);
  replace(frame(root, clean.rows[0]!, 17), Buffer.alloc(0));
  const check = checkOpenDv(root, { sample: 0 });
  const found = await collect(check);
  expect(found.map(({ rule }) => rule)).toEqual(["opendv/empty-image"]);
  expect(check.summary.coverage).toContainEqual({ what: "frames (sizes)", checked: 240, total: 240 });
});

test("without bounds on their number every header is read while there is time; without time the coverage says so", async () => {
  const root = copyOf(clean.root);
  const path = frame(root, clean.rows[0]!, 17);
  replace(path, readFileSync(path).subarray(0, -40));
  const whole = checkOpenDv(root);
  expect((await collect(whole)).map(({ rule }) => rule)).toEqual(["opendv/truncated-image"]);
  expect(whole.summary.coverage).toContainEqual({ what: "images (headers)", checked: 240, total: 240 });
  const none = checkOpenDv(root, { budget: 0 });
  expect(await collect(none)).toEqual([]);
  // The first and the last of each of the six folders are opened whatever the time.
  expect(none.summary.coverage).toContainEqual({ what: "images (headers)", checked: 12, total: 240 });
});

test("frames in the order of a budget: each once, the first and the last before the others, spread over the folder", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat({ max: 300 }), { minLength: 1 }), fc.nat(), (numbers, seed) => {
      const set = new FrameSet();
      for (const number of numbers) set.add(number);
      const order = [...spreadFrames(set.runs(), seed, "folder")];
      expect([...order].sort((a, b) => a - b)).toEqual([...numbers].sort((a, b) => a - b));
      expect(order.slice(0, 2)).toEqual([...new Set([Math.min(...numbers), Math.max(...numbers)])]);
    }),
  );
  const half = [...spreadFrames([0, 999], 0, "folder")].slice(0, 100);
  for (let part = 0; part < 10; part++) {
    expect(half.filter((number) => Math.floor(number / 100) === part).length).toBeGreaterThan(5);
  }
});

test("with an index a check finds the same, and lists again what has changed", async () => {
  const root = plantMany();
  const { index } = await buildIndex(root);
  // As if the folders had been left alone for long before they were indexed.
  const { statSync } = await import("node:fs");
  for (const folder of index.opendv!.folders) {
    const stats = statSync(join(root, folder.path), { bigint: true });
    const split = (ns: bigint): [number, number] => [
      Number(ns / 1_000_000_000n),
      Number(ns % 1_000_000_000n),
    ];
    folder.stamp = [...split(stats.mtimeNs), ...split(stats.ctimeNs), Number(stats.ino), Number(stats.size)];
  }
  const file = join(newFolder(), "index");
  writeFileSync(file, encodeIndex(index));
  later();
  expect(sorted(await collect(checkOpenDv(root, { index: file })))).toEqual(
    sorted(await collect(checkOpenDv(root))),
  );
  rmSync(frame(root, clean.rows[4]!, 3));
  const findings = await collect(checkOpenDv(root, { index: file }));
  expect(findings.map(({ rule, path }) => [rule, path])).toContainEqual([
    "opendv/gap",
    folderOf(clean.rows[4]!),
  ]);
});

test("an aborted check says so and is not finished", async () => {
  const controller = new AbortController();
  controller.abort();
  const check = checkOpenDv(clean.root, { signal: controller.signal });
  await expect(collect(check)).rejects.toMatchObject({ code: "ABORTED" });
  expect(check.summary.interrupted).toBe(true);
});

test("a list of videos that ends in the middle costs nothing but itself", async () => {
  const root = copyOf(clean.root);
  truncateSync(join(root, "meta/OpenDV-YouTube.json"), 900);
  const findings = await collect(checkOpenDv(root));
  expect(findings.map(({ rule }) => rule)).toEqual(["opendv/meta-unreadable"]);
});
