/** Properties of runs and gaps, against the obvious ways with sets. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { scanFolder } from "../../../src/dataset/opendv/folder-listing.js";
import { frameTolerance } from "../../../src/dataset/opendv/meta.js";
import { describeLayout, parseFrameName } from "../../../src/dataset/opendv/names.js";
import {
  countClips,
  countFrames,
  FrameSet,
  findGaps,
  findRun,
  intersectRuns,
  joinRuns,
} from "../../../src/dataset/opendv/runs.js";
import { pickFrames } from "../../../src/dataset/opendv/sample.js";
import { newFolder, removeFolders } from "./support.js";

afterAll(removeFolders);

/** Dense sets, so that runs, gaps and word borders all occur. */
const frames = fc.uniqueArray(fc.nat({ max: 300 }), { maxLength: 290 });

function runsOf(numbers: readonly number[]): number[] {
  const set = new FrameSet();
  for (const number of numbers) set.add(number);
  return set.runs();
}
function expand(runs: readonly number[]): number[] {
  const all: number[] = [];
  for (let i = 0; i < runs.length; i += 2) for (let n = runs[i]!; n <= runs[i + 1]!; n++) all.push(n);
  return all;
}

describe("runs", () => {
  test("hold exactly the numbers that were added, apart from one another", () => {
    fc.assert(
      fc.property(frames, (numbers) => {
        const runs = runsOf(numbers);
        expect(expand(runs)).toEqual([...numbers].sort((a, b) => a - b));
        expect(countFrames(runs)).toBe(numbers.length);
        for (let i = 2; i < runs.length; i += 2) expect(runs[i]! - runs[i - 1]!).toBeGreaterThan(1);
      }),
    );
  });
  test("the largest frame number and the borders of words", () => {
    const set = new FrameSet();
    for (const number of [0, 31, 32, 63, 64, 8191, 8192, 2 ** 26 - 1]) expect(set.add(number)).toBe(true);
    expect(set.add(31)).toBe(false);
    expect(set.runs()).toEqual([0, 0, 31, 32, 63, 64, 8191, 8192, 2 ** 26 - 1, 2 ** 26 - 1]);
  });
  test("gaps and runs together are every number up to the last", () => {
    fc.assert(
      fc.property(frames, fc.nat({ max: 2 }), (numbers, first) => {
        const runs = runsOf(numbers);
        const last = Math.max(-1, ...numbers);
        const there = new Set(numbers);
        const missing = Array.from({ length: last + 1 }, (_, n) => n).filter(
          (n) => n >= first && !there.has(n),
        );
        expect(expand(findGaps(runs, first))).toEqual(missing);
      }),
    );
  });
  test("a number is found in its run", () => {
    fc.assert(
      fc.property(frames, fc.nat({ max: 310 }), (numbers, wanted) => {
        const runs = runsOf(numbers);
        const at = findRun(runs, wanted);
        expect(at >= 0).toBe(numbers.includes(wanted));
        if (at >= 0) expect(runs[at]! <= wanted && wanted <= runs[at + 1]!).toBe(true);
      }),
    );
  });
  test("clips are counted as one would find them", () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 1, max: 30 }), (numbers, length) => {
        const there = new Set(numbers);
        const starts = numbers.filter((n) =>
          Array.from({ length }, (_, i) => n + i).every((m) => there.has(m)),
        );
        expect(countClips(runsOf(numbers), length, 1)).toBe(starts.length);
      }),
    );
  });
  test("joining and intersecting", () => {
    fc.assert(
      fc.property(frames, frames, (a, b) => {
        const both = a.filter((n) => b.includes(n)).sort((x, y) => x - y);
        expect(expand(intersectRuns(runsOf(a), runsOf(b)))).toEqual(both);
        expect(joinRuns([...runsOf(a), ...runsOf(b)])).toEqual(runsOf([...a, ...b]));
      }),
    );
  });
});

describe("names of frames", () => {
  test.each([
    ["000000123.jpg", "", "000000123", 123, "jpg"],
    ["f_000124.JPG", "f_", "000124", 124, "JPG"],
    ["img-7.png", "img-", "7", 7, "png"],
    ["a.000001.jpeg", "a.", "000001", 1, "jpeg"],
    ["000000123.webp", "", "000000123", 123, "webp"],
  ])("%s", (name, prefix, digits, number, extension) => {
    expect(parseFrameName(name)).toEqual({ prefix, digits, number, extension });
  });
  test.each([
    "frame.jpg",
    "000000123.jpg.part",
    "._000000123.jpg",
    "000000123",
    "000000123.webm",
    "n015-2018-07-24-11-22-45+0800__CAM_FRONT__1532402927612460.jpg",
  ])("%s is no frame", (name) => {
    expect(parseFrameName(name)).toBeUndefined();
  });
});

describe("listing a folder", () => {
  function folderOf(names: readonly string[]): string {
    const folder = newFolder();
    for (const name of names) {
      if (name.endsWith("/")) mkdirSync(join(folder, name));
      else writeFileSync(join(folder, name), "");
    }
    return folder;
  }
  test("finds every frame of any subset, whatever the order of the file system", () => {
    fc.assert(
      fc.property(frames, (numbers) => {
        const folder = folderOf(numbers.map((n) => `${String(n).padStart(9, "0")}.jpg`));
        expect(scanFolder(folder).runs).toEqual(runsOf(numbers));
      }),
      { numRuns: 15 },
    );
  });
  const layoutOf = (names: readonly string[]) => {
    const { layout, runs, odd, strayCount } = scanFolder(folderOf(names));
    return [layout && describeLayout(layout), runs, odd.length, strayCount];
  };
  test("numbers without padding are one layout", () => {
    const names = [0, 1, 8, 9, 10, 11, 99, 100].map((n) => `${n}.jpg`);
    expect(layoutOf(names)).toEqual(["%d.jpg", [0, 1, 8, 11, 99, 100], 0, 0]);
  });
  test("numbers that outgrow their padding are still of it", () => {
    const names = [97, 98, 99, 100, 101].map((n) => `${String(n).padStart(2, "0")}.jpg`);
    expect(layoutOf(["00.jpg", ...names])).toEqual(["%02d.jpg", [0, 0, 97, 101], 0, 0]);
  });
  test("a padded name among unpadded ones is odd", () => {
    const names = Array.from({ length: 20 }, (_, n) => `${n}.jpg`);
    expect(layoutOf([...names, "012.jpg"])).toEqual(["%d.jpg", [0, 19], 1, 0]);
  });
  test("folders and other files are told apart from frames", () => {
    const scan = scanFolder(folderOf(["000.jpg", "001.jpg", "000.json", "sub/", "001.png"]));
    expect(scan).toMatchObject({
      layout: { prefix: "", width: 3, extension: "jpg" },
      runs: [0, 1],
      odd: [{ duplicates: [1, 1], others: [] }],
      strays: ["000.json"],
      folders: ["sub"],
    });
  });
});

test("a sample holds the first and last frame, no frame twice, and is the same again", () => {
  fc.assert(
    fc.property(frames, fc.nat({ max: 30 }), fc.nat(), (numbers, quota, seed) => {
      const runs = runsOf(numbers);
      const picked = [...pickFrames(runs, quota, seed, "a/b")];
      expect(new Set(picked).size).toBe(Math.min(numbers.length, quota + 2));
      expect(picked.every((n) => numbers.includes(n))).toBe(true);
      expect(picked).toEqual([...picked].sort((a, b) => a - b));
      if (numbers.length > 0) {
        expect([picked[0], picked.at(-1)]).toEqual([Math.min(...numbers), Math.max(...numbers)]);
      }
      expect([...pickFrames(runs, quota, seed, "a/b")]).toEqual(picked);
    }),
  );
});

test("the tolerance is 2 s for short videos and at most 6 s", () => {
  expect([0, 100, 1000, 2000, 60_000].map(frameTolerance)).toEqual([20, 22, 40, 60, 60]);
});
