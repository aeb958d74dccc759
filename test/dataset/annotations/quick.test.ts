/** The quick form of the annotation check: planted faults anywhere in a file, and what it says of how much it looked at. */
import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type AnnotationCheckOptions, checkAnnotations } from "../../../src/dataset/annotations/check.js";
import { stopsDataset } from "../../../src/dataset/annotations/nuscenes-rows.js";
import type { AnnotationTally, CheckSummary, Finding } from "../../../src/dataset/finding.js";
import { collect, newFolder, removeFolders } from "../opendv/support.js";

afterAll(removeFolders);

/** For tests of what is left out for want of time: it stands still, so that a busy machine leaves out no more than a free one. */
function stopTheClock(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

type Records = Record<string, unknown>[];
const name = (frame: number) => `${String(frame).padStart(9, "0")}.jpg`;

/** Most tests write the records of the one before, but for a few. */
const texts = new WeakMap<object, string>();

/** As Python writes it: a blank after each comma and colon. */
function textOf(record: Records[number]): string {
  const text = texts.get(record) ?? JSON.stringify(record).replace(/":/g, '": ').replace(/,"/g, ', "');
  texts.set(record, text);
  return text;
}

function writeRecords(root: string, records: Records, file = "annos/YouTube.json"): void {
  writeTexts(root, records.map(textOf), file);
}

function writeTexts(root: string, records: string[], file = "annos/YouTube.json"): void {
  mkdirSync(join(root, file, ".."), { recursive: true });
  writeFileSync(join(root, file), `[${records.join(", ")}]`);
}

function makeFrames(root: string, folder: string, count: number, first = 0): Records {
  mkdirSync(join(root, "data/YouTube", folder), { recursive: true });
  for (let i = first; i < first + count; i++)
    closeSync(openSync(join(root, "data/YouTube", folder, name(i)), "w"));
  return Array.from({ length: count - 24 }, (_, i) => ({
    folder_name: folder,
    first_frame: name(first + i),
  }));
}

async function quick(
  root: string,
  bounds: NonNullable<AnnotationCheckOptions["quick"]> = {},
  file = "annos/YouTube.json",
  options: AnnotationCheckOptions = {},
): Promise<{ findings: Finding[]; rules: string[]; summary: CheckSummary; tally: AnnotationTally }> {
  const check = checkAnnotations([join(root, file)], { root, quick: bounds, ...options });
  const findings = await collect(check);
  const rules = findings.map((one) => one.rule.replace("annos/", ""));
  return { findings, rules, summary: check.summary, tally: check.summary.annotations![0]! };
}

describe("a file that is read to its end", () => {
  const FRAMES = 1500;
  const FOLDERS = 40;
  let root: string;
  let long: Records;
  let others: Records;

  beforeAll(() => {
    root = newFolder();
    long = makeFrames(root, "Driver_A/aaaaaaaaaaa", FRAMES);
    others = Array.from({ length: FOLDERS }, (_, i) => makeFrames(root, `Driver_B/v${i}`, 30)).flat();
  });

  test("clean: nothing is found, and the verdict says what was a sample", async () => {
    writeRecords(root, [...long, ...others]);
    const { findings, summary, tally } = await quick(root, { records: 100 });
    expect(findings).toEqual([]);
    expect(summary.sampled).toEqual([
      "frames of 100 of 1,716 records of annos/YouTube.json (seed 0) and the last one of 41 folders",
    ]);
    expect(tally).toMatchObject({ records: 1716, unusable: 0 });
    expect(tally.quick!.frames).toMatchObject({ records: 100, missing: 0, all: false });
  });

  test("clean, with no more records than the sample has: no sample, and no word of one", async () => {
    writeRecords(root, others);
    const { findings, summary, tally } = await quick(root);
    expect(findings).toEqual([]);
    expect(summary.sampled).toBeUndefined();
    expect(tally.quick!.frames).toMatchObject({ records: 240, all: true });
  });

  test("faults in the records themselves, in the middle and in the last one: as the whole check finds them", async () => {
    const records = [...long, ...others];
    records[858] = { folder_name: "Driver_A/aaaaaaaaaaa" };
    records[1715] = { folder_name: "Driver_B/v39", first_frame: "0000.0005.jpg" };
    writeRecords(root, records);
    const { findings } = await quick(root, { records: 20 });
    expect(findings.map(({ rule, record }) => [rule, record])).toEqual([
      ["annos/shape", "record 858"],
      ["annos/frame-name", "record 1715"],
    ]);
    const whole = await collect(checkAnnotations([join(root, "annos/YouTube.json")], { root }));
    expect(findings).toEqual(whole);
  });

  test("frames that late records alone need", async () => {
    writeRecords(root, [...others, ...long]);
    const away = join(root, "away");
    mkdirSync(away);
    const frames = Array.from({ length: 600 }, (_, i) => name(900 + i));
    const folder = join(root, "data/YouTube/Driver_A/aaaaaaaaaaa");
    for (const frame of frames) renameSync(join(folder, frame), join(away, frame));
    const { rules, tally } = await quick(root, { records: 200 });
    for (const frame of frames) renameSync(join(away, frame), join(folder, frame));
    rmSync(away, { recursive: true });
    // Those that start beyond the end of the folder, and perhaps some that run past it.
    expect(rules).toContain("frame-missing");
    const { records, missing } = tally.quick!.frames!;
    expect(records).toBe(200);
    // 600 of 1,716 records lack frames.
    expect(missing).toBeGreaterThan(40);
    expect(missing).toBeLessThan(100);
  });

  test("the last frame of a folder alone, whatever the sample", async () => {
    writeRecords(root, [...long, ...others]);
    const frame = join(root, "data/YouTube/Driver_B/v17", name(29));
    renameSync(frame, `${frame}.away`);
    const { findings, tally } = await quick(root, { records: 3 });
    renameSync(`${frame}.away`, frame);
    expect(findings.map(({ rule, message }) => [rule, message.split(":")[0]])).toEqual([
      ["annos/past-end", expect.stringContaining("past the end of Driver_B/v17")],
    ]);
    expect(tally.quick!.frames!.missing).toBeLessThan(2);
  });

  test("a folder that is not there, of forty", async () => {
    writeRecords(root, [...long, ...others]);
    const folder = join(root, "data/YouTube/Driver_B/v3");
    renameSync(folder, `${folder}-away`);
    const { rules, findings } = await quick(root, { records: 3 });
    renameSync(`${folder}-away`, folder);
    expect(rules).toEqual(["folder-missing"]);
    expect(findings[0]!.message).toContain("Driver_B/v3");
  });

  test("links that lead nowhere are frames that are missing", async () => {
    writeRecords(root, others);
    const frame = join(root, "data/YouTube/Driver_B/v5", name(10));
    renameSync(frame, `${frame}.away`);
    symlinkSync("/nowhere/10.jpg", frame);
    const { findings, rules } = await quick(root);
    rmSync(frame);
    renameSync(`${frame}.away`, frame);
    expect(rules).toEqual(["over-gap"]);
    expect(findings[0]!.message).toContain("frame 10 is missing");
  });

  test("an abort while frames are looked for stops it", async () => {
    writeRecords(root, [...long, ...others]);
    const controller = new AbortController();
    const check = checkAnnotations([join(root, "annos/YouTube.json")], {
      root,
      quick: {},
      signal: controller.signal,
      // The file has been read; what is left is looking for frames.
      onProgress: () => setImmediate(() => controller.abort()),
    });
    await expect(collect(check)).rejects.toMatchObject({ code: "ABORTED" });
    expect(check.summary.interrupted).toBe(true);
  });

  test("clips of another length", async () => {
    const records = makeFrames(root, "Short/video", 12).concat(
      Array.from({ length: 3 }, (_, i) => ({ folder_name: "Short/video", first_frame: name(i) })),
    );
    writeRecords(root, records);
    expect((await quick(root)).rules).toEqual(["past-end"]);
    expect((await quick(root, {}, undefined, { numFrames: 10 })).rules).toEqual([]);
  });

  test("no folder of images at all: said so, as ever", async () => {
    const bare = newFolder();
    writeRecords(bare, others);
    const { rules, tally } = await quick(bare);
    expect(rules).toEqual(["root-missing"]);
    expect(tally.quick!.frames).toBeUndefined();
  });

  test("language files, which Vista does not read: a missing folder is a warning", async () => {
    const language = Array.from({ length: 5 }, (_, i) => ({
      cmd: 2,
      blip: "a street",
      folder: `full_images/Driver_C/${i === 4 ? "gone" : "here"}`,
      first_frame: name(i),
      last_frame: name(i + 39),
    }));
    makeFrames(root, "full_images/Driver_C/here", 50);
    writeRecords(root, language, "annos/10hz_YouTube_train_split0.json");
    const { findings } = await quick(root, {}, "annos/10hz_YouTube_train_split0.json");
    rmSync(join(root, "data/YouTube/full_images"), { recursive: true });
    expect(findings.map(({ rule, severity }) => [rule, severity])).toEqual([
      ["annos/language-folder", "warning"],
    ]);
  });
});

describe("a file that takes longer than there is time", () => {
  stopTheClock();
  // A long folder name makes records of 2.5 kB: 17 MB of them, of which reading stops at 8.
  const folder = [...Array.from("abcdefghij", (letter) => letter.repeat(240)), "video"].join("/");
  const COUNT = 7000;
  const now = { seconds: 0, records: 200 };
  let root: string;
  let records: Records;
  let file: string;

  beforeAll(() => {
    root = newFolder();
    records = makeFrames(root, folder, COUNT + 24);
    file = join(root, "annos/YouTube.json");
  });

  test("clean: nothing is found, and the verdict says how far it was read", async () => {
    writeRecords(root, records);
    const { findings, summary, tally } = await quick(root, now);
    expect(findings).toEqual([]);
    expect(summary.sampled).toHaveLength(2);
    expect(summary.sampled![0]).toMatch(
      /^\d+,\d{3} of about [67],\d{3} records of annos\/YouTube\.json \(\d+,\d{3} in the first 4\d % of the file, 200 from the rest, seed 0\)$/,
    );
    expect(summary.sampled![1]).toMatch(/^frames of 400 of about [67],\d{3} records/);
    expect(tally.quick!.sampled).toBe(200);
    expect(Math.abs(tally.quick!.total - COUNT)).toBeLessThan(COUNT / 100);
  });

  test("other objects within records are not taken for records", async () => {
    const boxes = '{"boxes": [{"a": 1}, {"b": [2]}, {"c": 3}], ';
    writeTexts(
      root,
      records.map((record) => textOf(record).replace("{", boxes)),
    );
    expect((await quick(root, now)).findings).toEqual([]);
  });

  test("cut off at the end", async () => {
    writeRecords(root, records);
    truncateSync(file, statSync(file).size - 5000);
    const { rules } = await quick(root, now);
    expect(rules).toEqual(["bad-json"]);
  });

  test("a hole of zeros in the part that was not read", async () => {
    writeRecords(root, records);
    const handle = openSync(file, "r+");
    writeSync(handle, Buffer.alloc(3 << 20), 0, 3 << 20, 12_000_000);
    closeSync(handle);
    const { findings, rules } = await quick(root, now);
    expect(rules).toEqual(["bad-json"]);
    expect(findings[0]!.offset).toBeGreaterThanOrEqual(12_000_000 - 2000);
    expect(findings[0]!.offset).toBeLessThan(12_000_000 + (3 << 20));
  });

  test("records of another shape from two thirds of the file on", async () => {
    const bare = { folder_name: folder };
    writeRecords(
      root,
      records.map((record, i) => (i > COUNT * 0.66 ? bare : record)),
    );
    const { findings, rules, tally } = await quick(root, now);
    expect(new Set(rules)).toEqual(new Set(["shape"]));
    // Nobody counted the records before them: the byte is said instead.
    expect(findings[0]!.record).toBeUndefined();
    expect(findings[0]!.offset).toBeGreaterThan(8 << 20);
    expect(tally.unusable).toBeGreaterThan(60);
  });

  test("frames that are missing for the last quarter", async () => {
    writeRecords(root, records);
    const video = join(root, "data/YouTube", folder);
    for (let i = COUNT * 0.75; i < COUNT + 24; i++) rmSync(join(video, name(i)));
    const { rules, tally } = await quick(root, now);
    for (let i = COUNT * 0.75; i < COUNT + 24; i++) writeFileSync(join(video, name(i)), "");
    expect(rules).toContain("frame-missing");
    // A quarter of the file; the sample from the rest is denser than that from its start.
    expect(tally.quick!.frames!.missing).toBeGreaterThan(50);
    expect(tally.quick!.frames!.missing).toBeLessThan(130);
  });

  test("the same seed takes the same records, another one others", async () => {
    writeRecords(
      root,
      records.map((record, i) => (i % 50 === 7 ? { ...record, first_frame: "x" } : record)),
    );
    const places = async (seed: number) =>
      (await quick(root, now, undefined, { seed })).findings
        .filter(({ record }) => record === undefined)
        .map(({ offset }) => offset);
    const first = await places(0);
    expect(first.length).toBeGreaterThan(0);
    expect(await places(0)).toEqual(first);
    expect(await places(1)).not.toEqual(first);
  });
});

describe("nuScenes.json", () => {
  stopTheClock();
  const COUNT = 500;
  let root: string;
  let records: Records;

  beforeAll(() => {
    root = newFolder();
    mkdirSync(join(root, "data/nuscenes/sweeps/CAM_FRONT"), { recursive: true });
    const files = Array.from({ length: COUNT + 24 }, (_, i) => {
      const path = `sweeps/CAM_FRONT/n015-2018-07-24-11-22-45+0800__CAM_FRONT__${1532402927612460 + i * 83_333}.jpg`;
      writeFileSync(join(root, "data/nuscenes", path), "");
      return path;
    });
    records = Array.from({ length: COUNT }, (_, i) => ({
      frames: files.slice(i, i + 25),
      traj: Array(10).fill(0.5),
      cmd: 3,
      speed: [],
      angle: [],
      z: 1,
      goal: [800, 450],
    }));
  });
  const look = (bounds = {}, options = {}) => quick(root, bounds, "annos/nuScenes.json", options);
  const errors = (findings: readonly Finding[]) => findings.filter(({ severity }) => severity === "error");

  test("all frames of all records are looked for, and one that is missing is found", async () => {
    writeRecords(root, records, "annos/nuScenes.json");
    const clean = await look();
    expect(errors(clean.findings)).toEqual([]);
    expect(clean.summary.sampled).toBeUndefined();
    const frame = join(root, "data/nuscenes", (records[400]!.frames as string[])[24]!);
    renameSync(frame, `${frame}.away`);
    const { findings, tally } = await look();
    renameSync(`${frame}.away`, frame);
    expect(errors(findings).map(({ rule, record }) => [rule, record])).toEqual([
      ["annos/frame-missing", "record 400"],
    ]);
    expect(tally.unusable).toBe(25);
  });

  test("beyond the time: records from the rest, and their frames", async () => {
    // 10 MB, of which reading stops at 8.
    const many = Array.from({ length: 5000 }, (_, i) => records[i % COUNT]!);
    writeRecords(root, many, "annos/nuScenes.json");
    const clean = await look({ seconds: 0 });
    expect(errors(clean.findings)).toEqual([]);
    expect(clean.summary.sampled).toHaveLength(1);
    expect(clean.summary.sampled![0]).toMatch(/39\d from the rest/);
    const without = records.map((record) => ({ ...record, frames: ["nowhere.jpg"] }));
    const bad = many.map((record, i) => (i >= 4000 ? without[i % COUNT]! : record));
    writeRecords(root, bad, "annos/nuScenes.json");
    const { findings, tally } = await look({ seconds: 0 });
    expect(errors(findings)[0]).toMatchObject({ rule: "annos/length" });
    expect(tally.unusable).toBeGreaterThan(10);
  });

  test("fewer frames where the config takes fewer, more than needed in any case", async () => {
    const some = (frames: number) =>
      records
        .slice(0, 50)
        .map((record) => ({ ...record, frames: (record.frames as string[]).slice(0, frames) }));
    writeRecords(root, some(10), "annos/nuScenes.json");
    expect((await look()).tally.unusable).toBe(50);
    expect((await look({}, { numFrames: 10 })).rules).not.toContain("length");
    const more = some(25).map((record) => ({ ...record, frames: [...record.frames, "none.jpg"] }));
    writeRecords(root, more, "annos/nuScenes.json");
    const surplus = await look();
    // Not as the authors write them, but the loader takes the first 25.
    expect(surplus.rules).toContain("length");
    expect(surplus.tally.unusable).toBe(0);
  });

  test("records that stop the data set class are counted, and the first is named", async () => {
    const bad = records.map((record, i) => (i === 123 || i === 234 ? { ...record, cmd: undefined } : record));
    writeRecords(root, bad, "annos/nuScenes.json");
    expect((await look()).tally.stopping).toEqual({ records: 2, first: "record 123" });
    writeRecords(
      root,
      records.map((record, i) => (i === 7 ? { ...record, traj: [] } : record)),
      "annos/nuScenes.json",
    );
    expect((await look()).tally.stopping).toBeUndefined();
  });
});

const SOUND = { frames: [], traj: [], cmd: 3, speed: [1], angle: [1], z: 1, goal: [800, 450] };
test.each<[string, unknown, boolean]>([
  ["a sound record", SOUND, false],
  ["no object", "x", true],
  ["a list", [1], true],
  ["no cmd", { frames: [], traj: [], speed: [1], angle: [1], z: 1, goal: [800, 450] }, true],
  ["no speed", { cmd: 3, angle: [], z: 1, goal: [1, 1] }, true],
  ["empty speed and nothing else", { cmd: 3, speed: [] }, false],
  ["speed, but no angle", { cmd: 3, speed: [1] }, true],
  ["no z", { cmd: 3, speed: [1], angle: [1] }, true],
  ["a text for z", { ...SOUND, z: "1" }, true],
  ["z that was NaN", { ...SOUND, z: null }, false],
  ["no goal, and z below it", { cmd: 3, speed: [1], angle: [1], z: 0 }, false],
  ["no goal", { cmd: 3, speed: [1], angle: [1], z: 1 }, true],
  ["an empty goal", { ...SOUND, goal: [] }, true],
  ["half a goal", { ...SOUND, goal: [800] }, true],
  ["half a goal, outside", { ...SOUND, goal: [-800] }, false],
  ["true for z and the goal, which Python takes for 1", { ...SOUND, z: true, goal: [true, true] }, false],
  ["false for z, which is no depth", { ...SOUND, z: false, goal: "none" }, false],
  ["an empty object for no speed", { ...SOUND, speed: {}, z: "1" }, false],
  // Each as the class of Vista itself does, made with one such record.
])("what stops the data set class: %s", (_, record, stops) => {
  expect(stopsDataset(record)).toBe(stops);
});

test("a file whose kind shows only behind the part that was read: the records of the rest have no numbers", async () => {
  const root = newFolder();
  mkdirSync(join(root, "annos"));
  const odd = Array.from({ length: 90 }, () => ({ text: "x".repeat(100_000) }));
  const bad = Array.from({ length: 20_000 }, () => ({ folder_name: "a", first_frame: "a.b.c" }));
  writeFileSync(join(root, "annos/YouTube.json"), JSON.stringify([...odd, ...bad]));
  const check = checkAnnotations([join(root, "annos/YouTube.json")], {
    root,
    quick: { seconds: 0, records: 50 },
  });
  const findings = (await collect(check)).filter(({ rule }) => rule === "annos/frame-name");
  expect(findings.length).toBeGreaterThan(0);
  for (const { record } of findings) expect(record).toBeUndefined();
});
