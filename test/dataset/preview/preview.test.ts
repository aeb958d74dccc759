/** Contact sheets: the crop, the text, the clips that can be named. The pixels against Pillow are in test/peers/images. */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeNuScenes } from "../../../bench/make-nuscenes.mjs";
import { folderOf, type OpenDvRow } from "../../../bench/make-opendv.mjs";
import { findClip } from "../../../src/dataset/preview/clip.js";
import { centreCrop } from "../../../src/dataset/preview/crop.js";
import { drawSheet, modelView, trajectoryPlot } from "../../../src/dataset/preview/sheet.js";
import { textPath } from "../../../src/dataset/preview/text.js";
import { makeSet, newFolder, removeFolders } from "../opendv/support.js";

let clean: { root: string; rows: OpenDvRow[] };
let annotations: string;
const ACTIONS = {
  traj: [0, 0, 0.3, 3.9, 0.9, 7.8, 1.8, 11.6, 3.1, 15.2],
  cmd: 0,
  speed: [28, 28, 29, 29, 29],
  angle: [],
  z: 14.2,
  goal: [800, 450],
};

beforeAll(async () => {
  clean = await makeSet({ youtubers: 1, videos: 1, val: 0, width: 1600, height: 900 });
  annotations = join(newFolder(), "nuScenes.json");
  const frames = Array.from(
    { length: 25 },
    (_, i) => `${folderOf(clean.rows[0]!)}/${String(i).padStart(9, "0")}.jpg`,
  );
  writeFileSync(
    annotations,
    JSON.stringify([
      { frames, ...ACTIONS },
      { frames, ...ACTIONS, traj: [1] },
    ]),
  );
});
afterAll(removeFolders);

test("a preview opens names from the root of the disk where they say, as the loader does", () => {
  const folder = join(newFolder(), "elsewhere");
  const frames = Array.from({ length: 25 }, (_, i) => `${folder}/${String(i).padStart(9, "0")}.jpg`);
  const file = join(newFolder(), "own.json");
  writeFileSync(file, JSON.stringify([{ frames, ...ACTIONS }]));
  expect(findClip(`${file}#0`, { root: clean.root }).frames).toEqual(frames);
  writeFileSync(file, JSON.stringify([{ folder_name: folder, first_frame: "000000000.jpg" }]));
  expect(findClip(`${file}#0`, { root: clean.root }).frames).toEqual(frames);
});

describe("the crop of Vista's loader", () => {
  test.each([
    // width × height, target, left, top, width, height: worked out by hand from the loader's three cases.
    [1600, 900, 1024, 576, 0, 0, 1600, 900],
    [1600, 900, 576, 320, 0, 6, 1600, 888],
    [1920, 1080, 576, 320, 0, 7, 1920, 1066],
    [1280, 720, 576, 320, 0, 4, 1280, 711],
    [2560, 1080, 1024, 576, 320, 0, 1920, 1080],
    [1920, 1208, 1024, 576, 0, 64, 1920, 1080],
    [1081, 607, 1024, 576, 1, 0, 1079, 607],
  ])("%i × %i to %i × %i", (width, height, targetWidth, targetHeight, left, top, cropWidth, cropHeight) => {
    expect(centreCrop({ width, height }, { width: targetWidth, height: targetHeight })).toEqual({
      left,
      top,
      width: cropWidth,
      height: cropHeight,
    });
  });
});

test("text is drawn as lines within its width, any character", () => {
  for (const text of ["A", "speed 12.5 km/h", "日本", "(0.3, 3.9)"]) {
    const numbers = textPath(text, 10, 0, 12)
      .match(/-?\d+(\.\d+)?/g)!
      .map(Number);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(10 + [...text].length * 12);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
  }
  expect(textPath("  ", 0, 0, 12)).toBe("");
});

describe("clips", () => {
  test("a folder, from any frame that has 24 after it", () => {
    const folder = join(clean.root, folderOf(clean.rows[0]!));
    expect(findClip(folder).frames).toHaveLength(25);
    expect(findClip(folder, { start: 15 }).frames[24]).toBe(join(folder, "000000039.jpg"));
    expect(() => findClip(folder, { start: 16 })).toThrow(/from frame 16 needs frame 40/);
    for (const target of ["annos/YouTube.json#0", "0123456789abcdef".repeat(2)])
      expect(() => findClip(target, { start: 3 })).toThrow(/--start is about a folder of frames/);
  });
  test("a record, and what is wrong with one", () => {
    const { frames, actions } = findClip(`${annotations}#0`, { root: clean.root });
    expect(frames[0]).toBe(join(clean.root, folderOf(clean.rows[0]!), "000000000.jpg"));
    expect(actions).toMatchObject({ cmd: 0 });
    expect(() => findClip(`${annotations}#1`)).toThrow(/record 1: "traj" has 1 entries/);
    expect(() => findClip(`${annotations}#2`)).toThrow(/has 2 records/);
    expect(() => findClip(annotations)).toThrow(/is a file, not one of its records/);
    expect(() => findClip("nowhere")).toThrow(/no such folder/);
  });
});

test("a record with frames to spare, or with as few as training takes, is one that training takes", () => {
  const file = join(newFolder(), "own.json");
  const record = (length: number) => ({ frames: Array(length).fill("a.jpg"), ...ACTIONS });
  writeFileSync(file, JSON.stringify([record(30), record(14)]));
  expect(findClip(`${file}#0`).frames).toHaveLength(25);
  expect(findClip(`${file}#1`, { count: 14 }).frames).toHaveLength(14);
  expect(() => findClip(`${file}#1`)).toThrow(/"frames" has 14 entries, not 25/);
});

test("a preview takes the root of a record by the rules of the other commands", async () => {
  const above = newFolder();
  const frame = "samples/CAM_FRONT/a__CAM_FRONT__1532402927612460.jpg";
  const set = join(above, "nuscenes");
  await makeNuScenes(set, { scenes: 1, samples: 2, boxes: 0, files: "none" });
  const file = join(above, "own.json");
  writeFileSync(file, JSON.stringify([{ frames: Array(25).fill(frame), ...ACTIONS }]));
  for (const root of [above, set]) expect(findClip(`${file}#0`, { root }).frames[0]).toBe(join(set, frame));
});

test("a record of a language file names folders from the OpenDV root on, wherever in data/YouTube that is", () => {
  const root = newFolder();
  mkdirSync(join(root, "data/YouTube"), { recursive: true });
  symlinkSync(clean.root, join(root, "data/YouTube/OpenDV-YouTube"));
  const folder = folderOf(clean.rows[0]!);
  const file = join(root, "10hz_YouTube_val.json");
  const ends = { first_frame: "000000000.jpg", last_frame: "000000039.jpg" };
  writeFileSync(file, JSON.stringify([{ cmd: 2, blip: "a road", folder, ...ends }]));
  const first = join(root, "data/YouTube/OpenDV-YouTube", folder, "000000000.jpg");
  expect(findClip(`${file}#0`, { root }).frames[0]).toBe(first);
});

test("a sheet has 25 pictures, the goal where the record has it, and the trajectory", async () => {
  const clip = findClip(`${annotations}#0`, { root: clean.root });
  const sheet = await drawSheet(clip, { width: 320, height: 192, tile: 160 });
  const { data, info } = await sharp(sheet).raw().toBuffer({ resolveWithObject: true });
  expect([info.width, info.height]).toEqual([5 * 168 + 8, 190 + 5 * 104 + 8]);
  const pixel = (x: number, y: number) => [
    ...data.subarray((y * info.width + x) * info.channels).subarray(0, 3),
  ];
  // The middle of the picture is the goal's place whatever the crop: its lines are red there.
  const [red, green] = pixel(8 + 80, 190 + 48) as [number, number, number];
  expect(red - green).toBeGreaterThan(60);
  const second = pixel(8 + 168 + 80, 190 + 48) as [number, number, number];
  expect(second[0] - second[1]).toBeLessThan(60);
  let amber = 0;
  // Records count to the left, so a trajectory of positive numbers bends to the left of the plot's middle.
  let toTheRight = 0;
  const middle = 8 + (info.width - 8 - 190) + 174 / 2;
  for (let y = 8; y < 182; y++) {
    for (let x = info.width - 198; x < info.width - 8; x++) {
      const [r, g, b] = pixel(x, y) as [number, number, number];
      if (r > 230 && g > 150 && b < 80) {
        amber++;
        if (x > middle + 10) toTheRight++;
      }
    }
  }
  expect(amber).toBeGreaterThan(150);
  expect(toTheRight).toBe(0);
});

test.each([
  [[0, 0, 3, 120, 6, 240]],
  [[0, 0, 1e6, 1e6, -1e6, 2e6]],
  [[0, 0, 1e308, 1e308, -1e308, -1e308]],
  [[0, 0, 5e-324, -5e-324]],
])("a trajectory of %j metres has some rings, 13 at most, all numbers finite", (traj) => {
  const parts = trajectoryPlot(traj, 0, 0, 174).join("");
  expect(parts).not.toMatch(/NaN|Infinity|undefined/);
  const rings = parts.match(/clip-path="url\(#plot\)" cx/g)!.length;
  expect(rings).toBeGreaterThanOrEqual(1);
  expect(rings).toBeLessThanOrEqual(13);
});

test("a record of absurd figures is drawn", async () => {
  const clip = findClip(`${annotations}#0`, { root: clean.root, count: 1 });
  const huge = { traj: [0, 0, 1e308, 1e308], speed: [1e308], angle: [-1e308], z: 1e308 };
  const sheet = await drawSheet({ ...clip, actions: { ...clip.actions!, ...huge } }, { tile: 64 });
  expect((await sharp(sheet).metadata()).format).toBe("png");
});

test("a pipe, a folder or a device in the place of a picture is refused at once", async () => {
  const folder = newFolder();
  const [pipe, device, nested] = ["pipe.jpg", "device.jpg", "folder.jpg"].map((name) => join(folder, name));
  execFileSync("mkfifo", [pipe!]);
  symlinkSync("/dev/zero", device!);
  mkdirSync(nested!);
  for (const path of [pipe, device, nested]) {
    await expect(modelView(path!, 64, 32)).rejects.toMatchObject({ code: "WRONG_KIND" });
  }
});

test("a folder name with a NUL, or longer than a path, is one line", async () => {
  const file = join(newFolder(), "YouTube.json");
  const first_frame = "000000000.jpg";
  writeFileSync(
    file,
    JSON.stringify([
      { folder_name: "a\0b", first_frame },
      { folder_name: "x".repeat(1 << 20), first_frame },
    ]),
  );
  await expect(drawSheet(findClip(`${file}#0`))).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect(() => findClip(`${file}#1`)).toThrow(/record 1: names a folder in 1048576 characters/);
});

test("a huge picture, and a clip of a billion frames, are refused with the bound", async () => {
  const path = join(newFolder(), "huge.jpg");
  const bytes = await sharp({ create: { width: 64, height: 64, channels: 3, background: "red" } })
    .jpeg()
    .toBuffer();
  const at = bytes.indexOf(Buffer.from([0xff, 0xc0]));
  bytes.writeUInt16BE(14_000, at + 5);
  bytes.writeUInt16BE(14_000, at + 7);
  writeFileSync(path, bytes);
  await expect(drawSheet({ title: "t", frames: [path] })).rejects.toThrow(
    /14000 × 14000 = 196,000,000 pixels, more than the 33,554,432/,
  );
  expect(() => findClip(`${annotations}#0`, { count: 1e9 })).toThrow(/from 1 to 1000/);
});

test.each(["width", "height", "tile"])(
  "a %s of nothing, or of half a pixel, is wrong usage",
  async (side) => {
    for (const value of [0, -1, 1.5, Number.NaN])
      await expect(drawSheet({ title: "", frames: [] }, { [side]: value })).rejects.toMatchObject({
        code: "USAGE",
        what: `${side} is ${value}`,
      });
  },
);

test("a picture that is missing is named", async () => {
  const clip = { title: "t", frames: ["/nowhere/000000000.jpg"] };
  await expect(drawSheet(clip)).rejects.toMatchObject({ code: "NOT_FOUND" });
});
