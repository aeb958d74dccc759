/** The planted-fault matrix of annotation files: each fault named by its rule and record and nothing else. */
import { execFileSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
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

/** Puts a file or folder elsewhere, with a link in its place. */
function moveAndLink(path: string): void {
  const elsewhere = join(newFolder(), "it");
  renameSync(path, elsewhere);
  symlinkSync(elsewhere, path);
}

function renameFrames(folder: string, name: (number: number) => string): void {
  for (let number = 0; number < FRAMES; number++) {
    renameSync(join(folder, `${String(number).padStart(9, "0")}.jpg`), join(folder, name(number)));
  }
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
const spared = new Set<string>();
/** Something that is nearly a fault of `rule`, and legal: nothing is found, by this rule or another. */
function nearMiss(rule: keyof typeof ANNOTATION_RULES, name: string, plant: () => Plant): void {
  spared.add(rule);
  test(`${rule}, near miss: ${name}`, async () => {
    expect(await found(plant())).toEqual([]);
  });
}

test("names with a NUL, quick or not, are missing files; names of 300 kB are cut in the message", async () => {
  const root = copyOf(clean);
  const long = "x".repeat(300_000);
  for (const name of ["a\0b", long]) {
    const youtube = join(root, "annos/YouTube.json");
    writeFileSync(youtube, JSON.stringify([{ folder_name: name, first_frame: "000000000.jpg" }]));
    const nuscenesFile = join(root, "annos/nuScenes.json");
    const frames = (nuscenes[0]!.frames as string[]).map((_, i) => `${name}/${i}.jpg`);
    writeFileSync(nuscenesFile, JSON.stringify([{ ...nuscenes[0], frames }]));
    for (const quick of [{}, { quick: { records: 5 } }]) {
      const findings = await collect(checkAnnotations([youtube, nuscenesFile], { root, ...quick }));
      expect(findings.map(({ rule }) => rule).sort()).toEqual([
        "annos/folder-missing",
        "annos/frame-missing",
      ]);
      for (const { message } of findings) expect(message.length).toBeLessThan(2100);
    }
  }
});

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
  nearMiss("unreadable-file", "a link to a file on another disk", () => ({
    youtube,
    change: (root) => moveAndLink(join(root, "annos/YouTube.json")),
  }));
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
    "bad-json",
    "a byte order mark, at which json.load stops",
    () => ({ youtube: `\ufeff${toPythonJson(youtube)}` }),
    undefined,
    /byte order mark/,
  );
  nearMiss("bad-json", "white space of another system around and within", () => ({
    youtube: `\r\n${JSON.stringify(youtube, null, "\t").replaceAll("\n", "\r\n")}\r\n\r\n`,
  }));
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
    /none of its first 100 records \(of 101\)/,
  );
  fault(
    "unknown-kind",
    "clips of YouTube under the name of nuScenes's file, of which each by itself is sound",
    () => ({ nuscenes: youtube }),
    undefined,
    /its 130 records are of the kind YouTube, and Vista reads a file of this name as NuScenes: it ends/,
  );
  fault(
    "unknown-kind",
    "records of nuScenes under the name of YouTube's file",
    () => ({ youtube: nuscenes }),
    undefined,
    /its 11 records are of the kind NuScenes, and Vista reads a file of this name as YouTube: it tries for ever/,
  );
  test("records of another kind than the file's name says are none that a config could train on", async () => {
    const root = copyOf(clean);
    const path = join(root, "annos/nuScenes.json");
    writeFileSync(path, toPythonJson(youtube));
    const check = checkAnnotations([path], { root });
    await collect(check);
    expect(check.summary.annotations).toMatchObject([
      { records: 130, unusable: 130, stopping: { records: 130, first: "record 0" } },
    ]);
  });
  nearMiss("unknown-kind", "fields of one's own before those that Vista reads", () => ({
    youtube: youtube.map((record, i) => ({ id: i, weather: { rain: [0, 1] }, ...record })),
    nuscenes: nuscenes.map((record, i) => ({ id: i, scene: "scene-0061", ...record })),
  }));
  fault(
    "shape",
    "a first record without a field",
    () => ({ youtube: [{}, ...youtube] }),
    "record 0",
    /"folder_name" is missing/,
  );
  fault("empty-file", "no records", () => ({ nuscenes: "[]" }), undefined, /no records/);
  nearMiss("empty-file", "one record", () => ({
    nuscenes: nuscenes.slice(0, 1),
    youtube: youtube.slice(0, 1),
  }));
  fault(
    "root-missing",
    "no data/YouTube",
    () => ({ youtube, change: (root) => rmSync(join(root, "data/YouTube"), { recursive: true }) }),
    undefined,
    /no data\/YouTube/,
  );
  nearMiss("root-missing", "data/YouTube and data/nuscenes are links to other disks", () => ({
    youtube,
    nuscenes,
    change: (root) => {
      moveAndLink(join(root, "data/YouTube"));
      moveAndLink(join(root, "data/nuscenes"));
    },
  }));
});

describe("YouTube.json", () => {
  fault(
    "shape",
    "a number for a folder",
    () => ({ youtube: edited(youtube, 5, { folder_name: 7 }) }),
    "record 5",
    /"folder_name" is the number 7, not a string/,
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
    /is an array of 1 \(number\), not an object/,
  );
  nearMiss("shape", "numbers where the record does not need them to be text", () => ({
    youtube: edited(youtube, 5, { score: "0.5", id: "5" }),
  }));
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
  nearMiss("frame-name", "a dot in the name of the folder, no padding, the extension in capitals", () => {
    const moved = { ...rows[0]!, videoid: "v1.0_x.y" };
    return {
      youtube: Array.from({ length: FRAMES - 24 }, (_, first) => ({
        folder_name: folderOf(moved),
        first_frame: `${first}.JPG`,
      })),
      change: (root) => {
        renameSync(
          join(root, "data/YouTube", folderOf(rows[0]!)),
          join(root, "data/YouTube", folderOf(moved)),
        );
        renameFrames(join(root, "data/YouTube", folderOf(moved)), (number) => `${number}.JPG`);
      },
    };
  });
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
  nearMiss("folder-missing", "a link, a slash at the end, and an absolute path", () => {
    const elsewhere = join(clean, "data/YouTube", folderOf(rows[2]!));
    return {
      youtube: youtube.map((record) => ({
        ...record,
        folder_name: (record.folder_name as string).replace(folderOf(rows[1]!), `${folderOf(rows[1]!)}/`)
          .replace(folderOf(rows[2]!), elsewhere),
      })), // biome-ignore format: two replacements
      change: (root) => {
        moveAndLink(join(root, "data/YouTube", folderOf(rows[0]!)));
        rmSync(join(root, "data/YouTube", folderOf(rows[2]!)), { recursive: true });
      },
    };
  });
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
  nearMiss("frame-missing", "a folder of its own width and extension", () => ({
    youtube: youtube.map((record) =>
      record.folder_name === folderOf(rows[0]!)
        ? { ...record, first_frame: `${(record.first_frame as string).slice(3, 9)}.png` }
        : record,
    ),
    change: (root) =>
      renameFrames(
        join(root, "data/YouTube", folderOf(rows[0]!)),
        (number) => `${String(number).padStart(6, "0")}.png`,
      ),
  }));
  fault(
    "past-end",
    "one frame too far",
    () => ({ youtube: [...youtube, { folder_name: folderOf(rows[0]!), first_frame: "000000026.jpg" }] }),
    "record 130",
    /from frame 26 to 50, the folder ends at 49/,
  );
  nearMiss("past-end", "the last of its frames is the folder's last", () => ({
    youtube: [{ folder_name: folderOf(rows[0]!), first_frame: "000000025.jpg" }],
  }));
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
  const frame27 = (root: string) => join(root, "data/YouTube", folderOf(rows[0]!), "000000027.jpg");
  fault(
    "over-gap",
    "a frame that is a link to nowhere",
    () => ({
      youtube: youtube.slice(0, 5),
      change: (root) => {
        rmSync(frame27(root));
        symlinkSync("/nowhere/at/all.jpg", frame27(root));
      },
    }),
    "record 3",
    /2 records run over a gap .* frame 27 is missing/,
  );
  nearMiss("over-gap", "a frame that is a link to a file elsewhere", () => ({
    youtube: youtube.slice(0, 5),
    change: (root) => moveAndLink(frame27(root)),
  }));
  test("a list of videos that cannot be read is told, as long as it might name validation videos", async () => {
    const root = copyOf(clean);
    const path = join(root, "annos/YouTube.json");
    writeFileSync(path, toPythonJson(youtube));
    truncateSync(join(root, "data/YouTube/meta/OpenDV-YouTube.json"), 700);
    const check = checkAnnotations([path], { root });
    expect(await collect(check)).toEqual([]);
    expect(check.summary.unseen?.at(-1)).toMatch(
      /^validation videos .*OpenDV-YouTube.json: .*ends inside row/,
    );
    rmSync(join(root, "data/YouTube/meta"), { recursive: true });
    symlinkSync("meta", join(root, "data/YouTube/meta"));
    const other = checkAnnotations([path], { root });
    await collect(other);
    expect(other.summary.unseen?.at(-1)).toMatch(/^validation videos .*meta: is a symbolic link in a circle/);
  });
  nearMiss("over-gap", "clips that end and start right beside a gap", () => ({
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
  test("a folder in other spellings is the same folder: duplicates and validation videos are found", async () => {
    const [train, val] = [folderOf(rows[0]!), folderOf(rows[5]!)];
    const clip = (folder_name: string) => ({ folder_name, first_frame: "000000000.jpg" });
    const spelled = [train, `./${train}`, `${train}//`, `${train}/.`, train.replace("/", "//")].map(clip);
    // `full_images` at its start does not make a folder one of training videos.
    const findings = await found({ youtube: [...spelled, clip(`full_images/../${val}`)] });
    expect(findings.map(({ rule, record, count }) => [rule, record, count])).toEqual([
      ["annos/duplicate", "record 1", 4],
      ["annos/val-in-train", "record 5", 1],
    ]);
    expect(findings[0]!.message).toBe(
      `4 records repeat a clip of ${train} that is listed before, from frame 0 on`,
    );
  });
  nearMiss("duplicate", "the same first frame in two folders, and clips that share 24 frames", () => ({
    youtube: [4, 5].flatMap((first) =>
      [rows[0]!, rows[1]!].map((row) => ({
        folder_name: folderOf(row),
        first_frame: `00000000${first}.jpg`,
      })),
    ),
  }));
  fault(
    "val-in-train",
    "a validation video",
    () => ({ youtube: [...youtube, ...youtubeRecords([rows[5]!])] }),
    "record 130",
    /26 records take clips from the validation video/,
  );
  const respelled: [string, (folder: string, root: string) => string][] = [
    ["./ before it", (name) => `./${name}`],
    ["a slash and a dot behind it", (name) => `${name}//./`],
    ["by way of a folder of training videos", (name) => `OpenDV-YouTube/full_images/../../${name}`],
    [
      "a link to the video under another name",
      (name, root) => {
        symlinkSync(join(root, "data/YouTube", name), join(root, "data/YouTube/mine"));
        return "mine";
      },
    ],
    [
      "a link to its youtuber",
      (name, root) => {
        symlinkSync(join(root, "data/YouTube", name, ".."), join(root, "data/YouTube/some"));
        return `some/${basename(name)}`;
      },
    ],
  ];
  test.each(respelled)("val-in-train: a validation video by another name: %s", async (_, spell) => {
    const root = copyOf(clean);
    // Without the list of videos, the place alone tells.
    const name = "OpenDV-YouTube/val_images/Some_Driver/abcdefghijk";
    const data = join(root, "data/YouTube");
    mkdirSync(join(data, "OpenDV-YouTube/full_images"), { recursive: true });
    mkdirSync(join(data, name), { recursive: true });
    for (let i = 0; i < 25; i++) writeFileSync(join(data, name, `${String(i).padStart(9, "0")}.jpg`), "x");
    const path = join(root, "annos/YouTube.json");
    const folder_name = spell(name, root);
    writeFileSync(path, toPythonJson([{ folder_name, first_frame: "000000000.jpg" }]));
    expect((await collect(checkAnnotations([path], { root }))).map(({ rule }) => rule)).toEqual([
      "annos/val-in-train",
    ]);
  });
  test("val-in-train, near miss: a link to a training video, and a set below a folder val_images", async () => {
    const above = join(newFolder(), "val_images/Vista");
    const data = join(above, "data/YouTube");
    const video = join(data, "full_images/Some_Driver/abcdefghijk");
    mkdirSync(video, { recursive: true });
    for (let i = 0; i < 25; i++) writeFileSync(join(video, `${String(i).padStart(9, "0")}.jpg`), "x");
    symlinkSync(video, join(data, "mine"));
    mkdirSync(join(above, "annos"));
    const path = join(above, "annos/YouTube.json");
    writeFileSync(path, toPythonJson([{ folder_name: "mine", first_frame: "000000000.jpg" }]));
    expect(await collect(checkAnnotations([path], { root: above }))).toEqual([]);
  });
  test.each(["YouTube_val.json", "YouTube-validation.json", "opendv_VAL.json"])(
    "val-in-train, near miss: validation videos in %s",
    async (name) => {
      const root = copyOf(clean);
      const path = join(root, "annos", name);
      writeFileSync(path, toPythonJson(youtubeRecords([rows[5]!])));
      expect(await collect(checkAnnotations([path], { root }))).toEqual([]);
    },
  );
  nearMiss("shape", "fields in another order and other white space", () => ({
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
  nearMiss("cmd-range", "13", () => ({ language: edited(language, 2, { cmd: 13 }) }));
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
  for (const name of ["00000041.jpg", "000000041.png", "0000000041.jpg"]) {
    fault(
      "frame-name",
      `the last frame as ${name}`,
      () => ({ language: edited(language, 2, { last_frame: name }) }),
      "record 2",
      /which would be "000000041.jpg"/,
    );
  }
  fault(
    "shape",
    "no blip",
    () => ({ language: edited(language, 2, { blip: null }) }),
    "record 2",
    /"blip" is null/,
  );
  nearMiss("length", "40 frames whose numbers are of one digit and of two", () => ({
    language: Array.from({ length: 11 }, (_, first) => ({
      ...language[0]!,
      first_frame: `${first}.jpg`,
      last_frame: `${first + 39}.jpg`,
    })),
    change: (root) =>
      renameFrames(join(root, "data/YouTube", folderOf(rows[0]!)), (number) => `${number}.jpg`),
  }));
  fault(
    "language-past-end",
    "past the last frame",
    () => ({
      language: [...language, { ...language[0]!, first_frame: "000000011.jpg", last_frame: "000000050.jpg" }],
    }),
    "record 55",
    /to 50, the folder ends at 49/,
  );
  nearMiss("language-past-end", "the last of its frames is the folder's last", () => ({
    language: [{ ...language[0]!, first_frame: "000000010.jpg", last_frame: "000000049.jpg" }],
  }));
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
  nearMiss("language-folder", "the set is a folder within data/YouTube, and the video a link", () => ({
    language,
    change: (root) => {
      const youtube = join(root, "data/YouTube");
      renameSync(youtube, join(root, "data/set"));
      mkdirSync(youtube);
      renameSync(join(root, "data/set"), join(youtube, "OpenDV-YouTube"));
      moveAndLink(join(youtube, "OpenDV-YouTube", folderOf(rows[0]!)));
    },
  }));
  fault(
    "language-past-end",
    "a start past the last frame",
    () => ({
      language: [...language, { ...language[0]!, first_frame: "000000050.jpg", last_frame: "000000089.jpg" }],
    }),
    "record 55",
    /from frame 50 to 89, the folder ends at 49/,
  );
  nearMiss("shape", "escapes and other scripts in a caption", () => ({
    language: edited(language, 2, { blip: 'a sign that says "停车" \\ \n ü' }),
  }));
});

describe("nuScenes.json", () => {
  const one = (change: Record<string, unknown>) => () => ({ nuscenes: edited(nuscenes, 4, change) });
  /** Record 4 with one of its frames some microseconds later, in its file's name too; as number `like`, if given. */
  const moved = (at: number, by: number, like = at) => {
    const frames = [...(nuscenes[4]!.frames as string[])];
    const name = frames[at]!.replace(/[0-9]+(?=\.jpg$)/, (time) => String(Number(time) + by));
    frames[at] = like === at ? name : frames[like]!;
    return {
      nuscenes: edited(nuscenes, 4, { frames }),
      change: (root: string) => writeFileSync(join(root, "data/nuscenes", frames[at]!), "x"),
    };
  };
  fault(
    "shape",
    "a number that is infinite as float32",
    one({ traj: [0.5, 3.4028236e38, 0, 0, 0, 0, 0, 0, 0, 0] }),
    "record 4",
    /"traj" has 3.4028236e\+38, which is infinite as float32/,
  );
  fault(
    "shape",
    "an object in the trajectory that JavaScript makes no number of",
    one({ traj: [0.5, { toString: 1, valueOf: 1 }, 0, 0, 0, 0, 0, 0, 0, 0] }),
    "record 4",
    /"traj"\[1\] is an object, not a number/,
  );
  nearMiss("shape", "the largest number of float32", one({ angle: [3.4028235e38, 0, 0, 0, 0] }));
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
  nearMiss(
    "length",
    "points and speeds without a fraction",
    one({ traj: [0, 0, 0, 4, 0, 8, 0, 12, 0, 16], speed: [0, 1, 2, 3, 4] }),
  );
  fault("cmd-range", "4", one({ cmd: 4 }), "record 4", /4, not 0 to 3/);
  const all = (change: Record<string, unknown>) => () => ({
    nuscenes: nuscenes.map((record) => ({ ...record, ...change })),
  });
  fault(
    "trajectory",
    "points in global coordinates",
    one({ traj: [401.2, 1180.5, 402, 1184, 403, 1188, 404, 1192, 405, 1196] }),
    "record 4",
    /^1 record has a trajectory that does not start at the car .* 401.2, 1180.5, 402,/,
  );
  fault(
    "trajectory",
    "points in millimetres",
    all({ traj: [0, 0, 1, 4e3, 2, 8e3, 3, 12e3, 4, 16e3] }),
    "record 0",
    /^11 records/,
  );
  fault(
    "trajectory",
    "an integer that torch cannot hold",
    () => ({
      nuscenes: toPythonJson(edited(nuscenes, 4, { traj: [0, 0, 4711, 4, 0, 8, 0, 12, 0, 16] })).replace(
        "4711",
        "9".repeat(20),
      ),
    }),
    "record 4",
    /more than 500 m away/,
  );
  fault(
    "trajectory",
    "forward before left",
    all({ traj: [0, 0, 4, 0.1, 8, 0.2, 12, 0.4, 16.5, 0.8] }),
    "record 0",
    /^11 records have .* leads to its side, .* the first 0, 0, 4, 0.1,/,
  );
  nearMiss(
    "trajectory",
    "a car that turns by a half as tightly as it can, and one that creeps to a side",
    () => ({
      // On a circle of 5.5 m, after 35, 75, 110 and 145 degrees.
      nuscenes: edited(edited(nuscenes, 4, { traj: [0, 0, 1, 3.2, 4.1, 5.3, 7.4, 5.2, 10, 3.2] }), 5, {
        traj: [0, 0, 1, 0, 2, 0, 3, 0, 4.9, 0],
      }),
    }),
  );
  fault(
    "speed-unit",
    "speeds in m/s",
    all({ speed: [8.3, 8.4, 8.6, 8.7, 8.6] }),
    "record 0",
    /^11 records have speeds that do not fit the trajectory, 0 records have some that do: the first has speeds of 8.5 km\/h in the mean, and 16.5 m in 2 s, which are 29.7 km\/h$/,
  );
  nearMiss("speed-unit", "mph, and the speeds of another moment in half of the records", () => ({
    nuscenes: nuscenes.map((record, i) => ({
      ...record,
      speed: i < 5 ? [8, 8, 8, 8, 8] : [18.6, 18.6, 18.6, 18.6, 18.6],
    })),
  }));
  nearMiss("speed-unit", "cars that stand or creep, whose wheels turn a little", () => ({
    nuscenes: nuscenes.map((record) => ({
      ...record,
      traj: [0, 0, 0, 1, 0, 2, 0, 3, 0, 4.9],
      speed: [0, 0, 0, 0, 0],
    })),
  }));
  nearMiss("trajectory", "rounding at the start, a fast car, and one that drives backwards", () => ({
    nuscenes: edited(edited(nuscenes, 4, { traj: [-1e-12, 0.05, 0.1, 40, 0.2, 80, 0.4, 120, 0.8, 160] }), 5, {
      traj: [0, 0, 0, -1, 0, -2, 0, -3, 0, -4],
    }),
  }));
  fault("no-actions", "no CAN bus", all({ speed: [], angle: [] }), "record 0", /records have no speed/);
  nearMiss("mixed-actions", "no record has a goal", all({ z: -1 }));
  fault(
    "mixed-actions",
    "one goal behind the camera",
    one({ z: -1 }),
    "record 4",
    /^1 record has no goal, \d+ records have one: .*KeyError 'goal'/,
  );
  test("mixed-actions: one record without speed and angle, one with its goal outside the picture", async () => {
    const findings = await found({
      nuscenes: edited(edited(nuscenes, 1, { speed: [], angle: [] }), 2, { goal: [1600, 400] }),
    });
    expect(findings.map(({ rule, severity, record }) => [rule, severity, record])).toEqual([
      ["annos/mixed-actions", "warning", "record 1"],
      ["annos/mixed-actions", "warning", "record 1"],
      ["annos/no-actions", "note", "record 1"],
      ["annos/mixed-actions", "warning", "record 2"],
      ["annos/goal-outside", "note", "record 2"],
    ]);
  });
  nearMiss(
    "no-actions",
    "a car that stands still",
    one({ speed: [0, 0, 0, 0, 0], angle: [0, 0, 0, 0, 0], cmd: 2 }),
  );
  fault(
    "goal-outside",
    "right of the picture",
    all({ goal: [1600, 400] }),
    "record 0",
    /outside the 1600 × 900 picture/,
  );
  fault("goal-outside", "on the upper edge", all({ goal: [800, 0] }), "record 0", /\(800.0, 0.0\)/);
  nearMiss("goal-outside", "a goal behind the camera, which is none", all({ goal: [1700, 400], z: -2 }));
  nearMiss("goal-outside", "a goal in the last pixel", one({ goal: [1599.5, 899.5] }));
  nearMiss("goal-outside", "a goal in the first pixel", one({ goal: [0.01, 0.01], z: 0.01 }));
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
  const sweep = (root: string) => join(root, "data/nuscenes", (nuscenes[0]!.frames as string[])[1]!);
  for (const [what, put] of [
    ["a link that leads nowhere", (path: string) => symlinkSync("nowhere", path)],
    ["a link to itself", (path: string) => symlinkSync(basename(path), path)],
    ["a folder", (path: string) => mkdirSync(path)],
    ["a pipe", (path: string) => execFileSync("mkfifo", [path])],
  ] as const) {
    fault(
      "frame-missing",
      `${what} in the place of a sweep`,
      () => ({
        nuscenes,
        change: (root) => {
          rmSync(sweep(root));
          put(sweep(root));
        },
      }),
      "record 0",
      /1 record names files that are not in sweeps\/CAM_FRONT/,
    );
  }
  nearMiss("frame-missing", "a sweep that is a link to a file elsewhere", () => ({
    nuscenes,
    change: (root) => moveAndLink(sweep(root)),
  }));
  nearMiss("frame-missing", "sweeps on another disk, named by their absolute path", () => {
    const elsewhere = join(clean, "data/nuscenes/sweeps");
    return {
      nuscenes: nuscenes.map((record) => ({
        ...record,
        frames: (record.frames as string[]).map((frame) => frame.replace(/^sweeps/, elsewhere)),
      })),
      change: (root) => rmSync(join(root, "data/nuscenes/sweeps"), { recursive: true }),
    };
  });
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
  for (const [what, from, to] of [
    ["camera", /CAM_FRONT/g, "CAM_BACK"],
    ["drive", /n015/, "n008"],
  ] as const) {
    fault(
      "frame-order",
      `a frame of another ${what}`,
      () => {
        const frames = [...(nuscenes[4]!.frames as string[])];
        frames[7] = frames[7]!.replace(from, to);
        return {
          nuscenes: edited(nuscenes, 4, { frames }),
          change: (root) => {
            mkdirSync(join(root, "data/nuscenes", frames[7]!, ".."), { recursive: true });
            writeFileSync(join(root, "data/nuscenes", frames[7]!), "x");
          },
        };
      },
      "record 4",
      new RegExp(`frame 7 is of another ${what} than frame 6`),
    );
  }
  fault(
    "frame-order",
    "a frame twice",
    () => moved(7, -83_333, 6),
    "record 4",
    /frame 7 has the time of frame 6/,
  );
  fault(
    "frame-rate",
    "key frames without the sweeps between them",
    () => ({ nuscenes: [{ ...nuscenes[0], frames: drive(LOG, 150).filter((_, i) => i % 6 === 0) }] }),
    "record 0",
    /^1 record has frames that are not some 83 ms apart, .*: 500 ms in the first/,
  );
  for (const [hz, us] of [
    [10, 100_000],
    [20, 50_000],
  ] as const) {
    nearMiss("frame-rate", `a set of one's own with ${hz} Hz`, () => {
      const frames = Array.from(
        { length: 25 },
        (_, i) => `own/n1__CAM_FRONT__${1532402927612460 + i * us}.jpg`,
      );
      return {
        nuscenes: [{ ...nuscenes[0], frames }],
        change: (root) => {
          mkdirSync(join(root, "data/nuscenes/own"));
          for (const frame of frames) writeFileSync(join(root, "data/nuscenes", frame), "x");
        },
      };
    });
  }
  nearMiss("frame-order", "a frame a microsecond after the one before", () => moved(7, -83_332));
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
    "over-gap",
    "a microsecond more than a second",
    () => moved(24, 916_668),
    "record 4",
    /frame 24 is 1.0 s/,
  );
  nearMiss("over-gap", "a second between two frames, no more", () => moved(24, 916_667));
  fault(
    "duplicate",
    "a record twice",
    () => ({ nuscenes: [...nuscenes, nuscenes[3]!] }),
    "record 11",
    /as record 3/,
  );
  nearMiss("duplicate", "the same 24 frames and one more", () => ({
    nuscenes: [...nuscenes, ...nuscenesRecords(drive(LOG, 150), 1, 26)],
  }));
  fault(
    "val-in-train",
    "a validation clip",
    () => ({ nuscenes: [...nuscenes, validation[2]!], validation }),
    "record 11",
    /frame 0 is one of a validation clip/,
  );
  fault(
    "val-in-train",
    "a clip that ends with the first frame of the validation clips",
    () => ({ nuscenes: [...nuscenes, ...nuscenesRecords(drive(LOG, 150), 66, 91)], validation }),
    "record 11",
    /frame 24 is one of a validation clip/,
  );
  const spellings: [string, (frame: string, root: string) => string][] = [
    ["./ before it", (frame) => `./${frame}`],
    ["slashes and a dot within", (frame) => frame.replace("/", "//./")],
    ["its absolute path", (frame, root) => join(root, "data/nuscenes", frame)],
    ["a link to its folder", (frame) => `links/${frame}`],
    ["a link to the picture", (frame) => `single/${basename(frame)}`],
  ];
  const repeated = async (spell: (frame: string, root: string) => string, options: { nuscenes?: false }) => {
    const root = copyOf(clean);
    const data = join(root, "data/nuscenes");
    symlinkSync(".", join(data, "links"));
    mkdirSync(join(data, "single"));
    const frames = validation[2]!.frames as string[];
    for (const frame of frames) symlinkSync(join("..", frame), join(data, "single", basename(frame)));
    const again = { ...validation[2]!, frames: frames.map((frame) => spell(frame, root)) };
    const files = ["nuScenes.json", "nuScenes_val.json"].map((name) => join(root, "annos", name));
    writeFileSync(files[0]!, toPythonJson([...nuscenes, again]));
    writeFileSync(files[1]!, toPythonJson(validation));
    const seen = await collect(checkAnnotations(files, { root, ...options }));
    return seen.map(({ rule, record }) => [rule, record]);
  };
  test.each(spellings)("val-in-train: a frame of a validation clip by %s", async (_, spell) => {
    expect(await repeated(spell, {})).toEqual([["annos/val-in-train", "record 11"]]);
  });
  test.each(spellings.slice(0, 2))("val-in-train without pictures: by %s", async (_, spell) => {
    expect(await repeated(spell, { nuscenes: false })).toContainEqual(["annos/val-in-train", "record 11"]);
  });
  nearMiss("val-in-train", "a clip that ends right before the first frame of the validation clips", () => ({
    nuscenes: [...nuscenes, ...nuscenesRecords(drive(LOG, 150), 65, 90)],
    validation,
  }));
  test("the frames of a record that is wrong in something else are looked at all the same", async () => {
    const root = copyOf(clean);
    const path = join(root, "annos/nuScenes.json");
    // Of all records, only the last one has this frame.
    rmSync(join(root, "data/nuscenes", (nuscenes[10]!.frames as string[])[24]!));
    writeFileSync(path, toPythonJson(edited(nuscenes, 10, { goal: [] })));
    const check = checkAnnotations([path], { root });
    expect((await collect(check)).map(({ rule, record }) => [rule, record])).toEqual([
      ["annos/length", "record 10"],
      ["annos/frame-missing", "record 10"],
    ]);
    expect(check.summary.annotations).toMatchObject([{ records: 11, unusable: 1, lost: 1 }]);
  });
  test("a name of a megabyte is looked at in no time", async () => {
    const frames = Array.from({ length: 25 }, (_, i) => `samples/CAM_FRONT/${"__a".repeat(1 << 18)}${i}.jpg`);
    const start = performance.now();
    const findings = await found({ nuscenes: [{ ...nuscenes[0], frames }] });
    expect(findings.map(({ rule }) => rule)).toEqual(["annos/frame-missing"]);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
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
  nearMiss("val-scene", "a scene of the training split, the number before one of the other", () => ({
    nuscenes,
    change: (root) => tables(root, "scene-0111"),
  }));
  nearMiss("val-scene", "the next scene of the drive", () => ({
    nuscenes: nuscenesRecords(drive(LOG, 150), 96, 150),
    change: (root) => tables(root, "scene-0103"),
  }));
  test.each([
    ["24 frames", { frames: 24 }, 25, 1],
    ["26 frames, of which the loader takes 25", { frames: 26 }, 25, 0],
    ["a trajectory of text", { traj: Array(10).fill("1") }, 25, 1],
    ["a command of text", { cmd: "3" }, 25, 1],
    ["a command with a fraction, a tensor all the same", { cmd: 3.5 }, 25, 0],
    ["a command out of range", { cmd: 9 }, 25, 0],
    ["null for no speed", { speed: null }, 25, 0],
    ["text for speeds", { speed: "12 km/h" }, 25, 1],
    ["no goal in the list", { goal: [] }, 25, 1],
    ["no depth", { z: null }, 25, 1],
  ])("would the loader fail on: %s", async (_, change: Record<string, unknown>, numFrames, unusable) => {
    const root = copyOf(clean);
    const path = join(root, "annos/nuScenes.json");
    const frames =
      typeof change.frames === "number" ? { frames: drive(LOG, 150).slice(0, change.frames) } : {};
    writeFileSync(path, toPythonJson([{ ...nuscenes[0]!, ...change, ...frames }]));
    const check = checkAnnotations([path], { root, numFrames });
    expect((await collect(check)).length).toBe(1);
    expect(check.summary.annotations).toMatchObject([{ records: 1, unusable }]);
  });
  test("the offset leads to the record", async () => {
    const content = toPythonJson(edited(nuscenes, 4, { cmd: 4 }));
    const [finding] = await found({ nuscenes: content });
    expect(JSON.parse(`${content.slice(finding!.offset).split("}")[0]}}`).cmd).toBe(4);
  });
});

test("every rule has a planted fault", () => {
  expect([...covered].sort()).toEqual(Object.keys(ANNOTATION_RULES).sort());
});

test("every rule has a near miss", () => {
  expect([...spared].sort()).toEqual(Object.keys(ANNOTATION_RULES).sort());
});
