/** The planted-fault matrix of annotation files: each fault named by its rule and record and nothing else. */
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  folderOf,
  languageRows,
  makeOpenDv,
  type OpenDvRow,
  toPythonJson,
} from "../../../bench/make-opendv.mjs";
import { checkAnnotations } from "../../../src/dataset/annotations/check.js";
import { ANNOTATION_RULES } from "../../../src/dataset/annotations/rules.js";
import type { Finding } from "../../../src/dataset/finding.js";
import { collect, copyOf, newFolder, removeFolders } from "../opendv/support.js";

const FRAMES = 50;
const LOG = "n015-2018-07-24-11-22-45+0800";
type Records = Record<string, unknown>[];

let clean: string;
let rows: OpenDvRow[];
let youtube: Records;
let nuscenes: Records;
let validation: Records;
let language: Records;

function youtubeRecords(of: readonly OpenDvRow[]): Records {
  return of.flatMap((row) =>
    Array.from({ length: FRAMES - 24 }, (_, first) => ({
      folder_name: folderOf(row),
      first_frame: `${String(first).padStart(9, "0")}.jpg`,
    })),
  );
}

/** A drive of `count` CAM_FRONT images at 12 Hz, every sixth a key frame. */
function drive(log: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const folder = i % 6 === 0 ? "samples" : "sweeps";
    return `${folder}/CAM_FRONT/${log}__CAM_FRONT__${1532402927612460 + i * 83_333}.jpg`;
  });
}

function nuscenesRecords(files: readonly string[], from: number, to: number): Records {
  const records: Records = [];
  for (let start = from; start + 25 <= to; start += 6) {
    records.push({
      frames: files.slice(start, start + 25),
      traj: [0, 0, 0.1, 4, 0.2, 8, 0.4, 12, 0.8, 16.5],
      cmd: records.length % 4,
      speed: [30.1, 30.4, 31, 31.2, 30.9],
      angle: [1.5, 2, -3, 0, 4],
      z: 15.8,
      goal: [803.2, 512.9],
    });
  }
  return records;
}

beforeAll(async () => {
  clean = newFolder();
  rows = await makeOpenDv(join(clean, "data/YouTube"), { frames: FRAMES });
  const train = rows.filter((row) => row.split === "Train");
  youtube = youtubeRecords(train);
  language = [...languageRows(train, FRAMES)];
  const files = drive(LOG, 150);
  for (const file of files) {
    mkdirSync(join(clean, "data/nuscenes", file, ".."), { recursive: true });
    writeFileSync(join(clean, "data/nuscenes", file), "x");
  }
  nuscenes = nuscenesRecords(files, 0, 90);
  validation = nuscenesRecords(files, 90, 150);
  mkdirSync(join(clean, "annos"));
});
afterAll(removeFolders);

interface Plant {
  youtube?: Records | string;
  nuscenes?: Records | string;
  validation?: Records;
  language?: Records | string;
  change?: (root: string) => void;
}

/** What the check of the planted files finds. */
async function found(plant: Plant): Promise<Finding[]> {
  const root = copyOf(clean);
  const files: string[] = [];
  const write = (name: string, content: Records | string | undefined) => {
    if (content === undefined) return;
    const path = join(root, "annos", name);
    writeFileSync(path, typeof content === "string" ? content : toPythonJson(content));
    files.push(path);
  };
  write("nuScenes.json", plant.nuscenes);
  write("nuScenes_val.json", plant.validation);
  write("YouTube.json", plant.youtube);
  write("10hz_YouTube_train_split3.json", plant.language);
  plant.change?.(root);
  return collect(checkAnnotations(files, { root }));
}

function edited(records: Records, index: number, change: Record<string, unknown>): Records {
  return records.map((record, i) => (i === index ? { ...record, ...change } : record));
}

const covered = new Set<string>();
function fault(
  rule: keyof typeof ANNOTATION_RULES,
  name: string,
  plant: () => Plant,
  record: string | undefined,
  message: RegExp,
): void {
  covered.add(rule);
  test(`${rule}: ${name}`, async () => {
    const findings = await found(plant());
    expect(findings.map((one) => [one.rule, one.record])).toEqual([[`annos/${rule}`, record]]);
    expect(findings[0]!.message).toMatch(message);
  });
}
function nearMiss(name: string, plant: () => Plant): void {
  test(`near miss: ${name}`, async () => {
    expect(await found(plant())).toEqual([]);
  });
}

test("clean files have no finding, and all their records count", async () => {
  const root = copyOf(clean);
  const write = (name: string, content: unknown) => {
    writeFileSync(join(root, "annos", name), JSON.stringify(content));
    return join(root, "annos", name);
  };
  const check = checkAnnotations([
    write("nuScenes.json", nuscenes),
    write("nuScenes_val.json", validation),
    write("YouTube.json", youtube),
    write("10hz_YouTube_train_split0.json", language),
    write("10hz_YouTube_val.json", [
      ...languageRows(
        rows.filter((row) => row.split === "Val"),
        FRAMES,
      ),
    ]),
  ]);
  expect(await collect(check)).toEqual([]);
  expect(check.summary.interrupted).toBe(false);
  expect(
    check.summary.annotations!.map(({ path, subset, records, unusable }) => [
      path,
      subset,
      records,
      unusable,
    ]),
  ).toEqual([
    ["annos/nuScenes_val.json", "NuScenes", 6, 0],
    ["annos/10hz_YouTube_val.json", "language", 11, 0],
    ["annos/nuScenes.json", "NuScenes", 11, 0],
    ["annos/YouTube.json", "YouTube", 130, 0],
    ["annos/10hz_YouTube_train_split0.json", "language", 55, 0],
  ]);
});

describe("files", () => {
  test("unreadable-file", async () => {
    covered.add("unreadable-file");
    const findings = await collect(checkAnnotations([join(clean, "annos/gone.json")], { root: clean }));
    expect(findings.map(({ rule, path }) => [rule, path])).toEqual([
      ["annos/unreadable-file", "annos/gone.json"],
    ]);
  });
  fault(
    "bad-json",
    "cut off",
    () => ({
      youtube,
      change: (root) => truncateSync(join(root, "annos/YouTube.json"), 1000),
    }),
    undefined,
    /ends inside row 11/,
  );
  fault(
    "bad-json",
    "an object",
    () => ({ nuscenes: '{"frames": []}' }),
    undefined,
    /does not start with an array/,
  );
  fault(
    "unknown-kind",
    "other fields",
    () => ({ youtube: [{ a: 1 }, { b: 2 }] }),
    undefined,
    /none of its 2/,
  );
  fault(
    "unknown-kind",
    "a known record after a hundred others",
    () => ({ youtube: [...Array.from({ length: 100 }, () => ({})), youtube[0]!] }),
    undefined,
    /none of its 101/,
  );
  fault(
    "shape",
    "a first record without a field",
    () => ({ youtube: [{}, ...youtube] }),
    "record 0",
    /"folder_name" is missing/,
  );
  fault("empty-file", "no records", () => ({ nuscenes: "[]" }), undefined, /no records/);
  fault(
    "root-missing",
    "no data/YouTube",
    () => ({ youtube, change: (root) => rmSync(join(root, "data/YouTube"), { recursive: true }) }),
    undefined,
    /no data\/YouTube/,
  );
});

describe("YouTube.json", () => {
  fault(
    "shape",
    "a number for a folder",
    () => ({ youtube: edited(youtube, 5, { folder_name: 7 }) }),
    "record 5",
    /"folder_name" is 7, not a string/,
  );
  fault(
    "shape",
    "no first frame",
    () => ({ youtube: [...youtube.slice(0, 9), { folder_name: folderOf(rows[0]!) }, ...youtube.slice(10)] }),
    "record 9",
    /"first_frame" is missing/,
  );
  fault(
    "shape",
    "a list for a record",
    () => ({ youtube: toPythonJson([...youtube, [1]]) }),
    "record 130",
    /a list of 1/,
  );
  fault(
    "frame-name",
    "two dots",
    () => ({ youtube: edited(youtube, 5, { first_frame: "000000005.0.jpg" }) }),
    "record 5",
    /has 2 dots/,
  );
  fault(
    "frame-name",
    "not a number",
    () => ({ youtube: edited(youtube, 5, { first_frame: "f_000005.jpg" }) }),
    "record 5",
    /not a number/,
  );
  fault(
    "folder-missing",
    "not extracted",
    () => ({
      youtube,
      change: (root) => rmSync(join(root, "data/YouTube", folderOf(rows[1]!)), { recursive: true }),
    }),
    "record 26",
    /26 records name full_images.*, where no frame is/,
  );
  fault(
    "frame-missing",
    "another width",
    () => ({ youtube: edited(youtube, 3, { first_frame: "000003.jpg" }) }),
    "record 3",
    /000003.jpg .* which has %09d.jpg/,
  );
  fault(
    "frame-missing",
    "another extension",
    () => ({ youtube: edited(youtube, 3, { first_frame: "000000003.png" }) }),
    "record 3",
    /000000003.png/,
  );
  fault(
    "frame-missing",
    "a start that is past the end",
    () => ({ youtube: [...youtube, { folder_name: folderOf(rows[0]!), first_frame: "000000050.jpg" }] }),
    "record 130",
    /at frame 50/,
  );
  fault(
    "past-end",
    "one frame too far",
    () => ({ youtube: [...youtube, { folder_name: folderOf(rows[0]!), first_frame: "000000026.jpg" }] }),
    "record 130",
    /from frame 26 to 50, the folder ends at 49/,
  );
  fault(
    "over-gap",
    "a frame is missing",
    () => ({
      youtube: youtube.slice(0, 5),
      change: (root) => rmSync(join(root, "data/YouTube", folderOf(rows[0]!), "000000027.jpg")),
    }),
    "record 3",
    /2 records run over a gap .* frame 3 to 27, frame 27 is missing/,
  );
  nearMiss("clips on both sides of a gap", () => ({
    youtube: [...youtube.slice(0, 1), ...youtube.slice(26)],
    change: (root) => rmSync(join(root, "data/YouTube", folderOf(rows[0]!), "000000025.jpg")),
  }));
  fault(
    "duplicate",
    "the same clip",
    () => ({ youtube: [...youtube, youtube[4]!] }),
    "record 130",
    /1 record repeats/,
  );
  fault(
    "val-in-train",
    "a validation video",
    () => ({ youtube: [...youtube, ...youtubeRecords([rows[5]!])] }),
    "record 130",
    /26 records take clips from the validation video/,
  );
  nearMiss("fields in another order and other white space", () => ({
    youtube: JSON.stringify(
      youtube.map(({ folder_name, first_frame }) => ({ first_frame, folder_name })),
      null,
      4,
    ),
  }));
});

describe("language files", () => {
  fault(
    "cmd-range",
    "14",
    () => ({ language: edited(language, 2, { cmd: 14 }) }),
    "record 2",
    /14, not 0 to 13/,
  );
  nearMiss("13", () => ({ language: edited(language, 2, { cmd: 13 }) }));
  fault(
    "length",
    "39 frames",
    () => ({ language: edited(language, 2, { last_frame: "000000040.jpg" }) }),
    "record 2",
    /covers 39 frames, not 40/,
  );
  fault(
    "length",
    "backwards",
    () => ({ language: edited(language, 2, { last_frame: "000000001.jpg" }) }),
    "record 2",
    /covers 0 frames/,
  );
  fault(
    "shape",
    "no blip",
    () => ({ language: edited(language, 2, { blip: null }) }),
    "record 2",
    /"blip" is null/,
  );
  fault(
    "language-past-end",
    "past the last frame",
    () => ({
      language: [...language, { ...language[0]!, first_frame: "000000011.jpg", last_frame: "000000050.jpg" }],
    }),
    "record 55",
    /to 50, the folder ends at 49/,
  );
  fault(
    "language-folder",
    "a video that was not extracted",
    () => ({
      language,
      change: (root) => rmSync(join(root, "data/YouTube", folderOf(rows[0]!)), { recursive: true }),
    }),
    "record 0",
    /11 records name full_images.*, where no frame is/,
  );
  fault(
    "language-past-end",
    "a start past the last frame",
    () => ({
      language: [...language, { ...language[0]!, first_frame: "000000050.jpg", last_frame: "000000089.jpg" }],
    }),
    "record 55",
    /from frame 50 to 89, the folder ends at 49/,
  );
  nearMiss("escapes and other scripts in a caption", () => ({
    language: edited(language, 2, { blip: 'a sign that says "停车" \\ \n ü' }),
  }));
});

describe("nuScenes.json", () => {
  const one = (change: Record<string, unknown>) => () => ({ nuscenes: edited(nuscenes, 4, change) });
  fault("shape", "cmd as text", one({ cmd: "3" }), "record 4", /"cmd" is the string "3", not an integer/);
  fault(
    "shape",
    "NaN in the trajectory",
    one({ traj: [0, 0, null, 4, 0, 8, 0, 12, 0, 16] }),
    "record 4",
    /"traj"\[2\]/,
  );
  fault(
    "shape",
    "a nested trajectory",
    one({
      traj: [
        [0, 0],
        [0, 4],
        [0, 8],
        [0, 12],
        [0, 16],
      ],
    }),
    "record 4",
    /"traj"\[0\]/,
  );
  fault("shape", "no goal", one({ goal: undefined }), "record 4", /"goal" is missing/);
  fault(
    "length",
    "24 frames",
    () => ({ nuscenes: edited(nuscenes, 4, { frames: (nuscenes[4]!.frames as string[]).slice(1) }) }),
    "record 4",
    /"frames" has 24 entries, not 25/,
  );
  fault(
    "length",
    "4 points",
    one({ traj: [0, 0, 0, 4, 0, 8, 0, 12] }),
    "record 4",
    /"traj" has 8 entries, not 10/,
  );
  fault("length", "3 speeds", one({ speed: [1, 2, 3] }), "record 4", /"speed" has 3 entries, not 5 or 0/);
  fault("cmd-range", "4", one({ cmd: 4 }), "record 4", /4, not 0 to 3/);
  fault("no-actions", "no CAN bus", one({ speed: [], angle: [] }), "record 4", /1 record has no speed/);
  fault(
    "goal-outside",
    "right of the picture",
    one({ goal: [1600, 400] }),
    "record 4",
    /outside the 1600 × 900 picture/,
  );
  nearMiss("a goal behind the camera, which is none", one({ goal: [1700, 400], z: -2 }));
  nearMiss("a goal in the last pixel", one({ goal: [1599.5, 899.5] }));
  fault(
    "frame-missing",
    "a sweep that is gone",
    () => ({
      nuscenes,
      change: (root) => rmSync(join(root, "data/nuscenes", (nuscenes[0]!.frames as string[])[1]!)),
    }),
    "record 0",
    /1 record names files that are not in sweeps\/CAM_FRONT/,
  );
  fault(
    "frame-order",
    "two frames swapped",
    () => {
      const frames = [...(nuscenes[4]!.frames as string[])];
      [frames[7], frames[8]] = [frames[8]!, frames[7]!];
      return { nuscenes: edited(nuscenes, 4, { frames }) };
    },
    "record 4",
    /frame 8 is 0.083 s before frame 7/,
  );
  fault(
    "over-gap",
    "two seconds left out",
    () => {
      const all = drive(LOG, 150);
      return { nuscenes: edited(nuscenes, 4, { frames: [...all.slice(24, 36), ...all.slice(60, 73)] }) };
    },
    "record 4",
    /frame 12 is 2.1 s after frame 11/,
  );
  fault(
    "duplicate",
    "a record twice",
    () => ({ nuscenes: [...nuscenes, nuscenes[3]!] }),
    "record 11",
    /as record 3/,
  );
  fault(
    "val-in-train",
    "a validation clip",
    () => ({ nuscenes: [...nuscenes, validation[2]!], validation }),
    "record 11",
    /a frame of a validation clip/,
  );
  /** Tables that say: the first 89 images are of this scene. */
  const tables = (root: string, scene: string) => {
    const folder = join(root, "data/nuscenes/v1.0-mini");
    mkdirSync(folder);
    const write = (name: string, content: Records) =>
      writeFileSync(join(folder, name), JSON.stringify(content));
    const times = [1532402927600000, 1532402927612460 + 89 * 83_333];
    write("log.json", [{ token: "l", logfile: LOG }]);
    write(
      "sample.json",
      times.map((timestamp, i) => ({ token: `s${i}`, timestamp })),
    );
    write("scene.json", [
      { token: "x", name: scene, log_token: "l", first_sample_token: "s0", last_sample_token: "s1" },
    ]);
  };
  fault(
    "val-scene",
    "a scene of the devkit's validation split",
    () => ({ nuscenes, change: (root) => tables(root, "scene-0103") }),
    "record 0",
    /11 records take clips from scene-0103/,
  );
  nearMiss("a scene of the training split", () => ({
    nuscenes,
    change: (root) => tables(root, "scene-0061"),
  }));
  nearMiss("both files", () => ({ nuscenes, validation }));
  test("the offset leads to the record", async () => {
    const content = toPythonJson(edited(nuscenes, 4, { cmd: 4 }));
    const [finding] = await found({ nuscenes: content });
    expect(JSON.parse(`${content.slice(finding!.offset).split("}")[0]}}`).cmd).toBe(4);
  });
});

test("every rule has a planted fault", () => {
  expect([...covered].sort()).toEqual(Object.keys(ANNOTATION_RULES).sort());
});
