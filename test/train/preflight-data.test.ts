/** What the preflight says of the data: faults anywhere in it, by what Vista's loader would do about them. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { makeCheckout, temporaryFolder } from "./checkout.js";
import { ENDPOINT, type Preflight, preflightOf } from "./found.js";

const folder = await temporaryFolder();
let vista: string;

beforeEach(async () => {
  rmSync(join(folder, "Vista"), { recursive: true, force: true });
  vista = await makeCheckout(folder);
});

const found: Preflight = (...args) => preflightOf(folder, ...args);
const youtube = () => found("phase1", { nodes: 1, rdzvEndpoint: ENDPOINT });

type Records = Record<string, unknown>[];

/** A larger set: one drive of nuScenes with a record at each frame, three videos with clips at each frame. */
async function largerSet(): Promise<{ nuscenes: Records; clips: Records }> {
  const frames = Array.from(
    { length: 324 },
    (_, i) => `sweeps/CAM_FRONT/n008__CAM_FRONT__${1631884000000000 + i * 83333}.jpg`,
  );
  for (const frame of frames) writeFileSync(join(vista, "data/nuscenes", frame), "");
  const nuscenes = frames.slice(24).map((_, i) => sample(frames.slice(i, i + 25)));
  const clips: Records = [];
  for (const video of ["first", "second", "third"]) {
    mkdirSync(join(vista, "data/YouTube/Driver", video), { recursive: true });
    for (let i = 0; i < 224; i++) writeFileSync(join(vista, "data/YouTube/Driver", video, name(i)), "");
    for (let i = 0; i < 200; i++) clips.push({ folder_name: `Driver/${video}`, first_frame: name(i) });
  }
  await write("nuScenes", nuscenes);
  await write("YouTube", clips);
  return { nuscenes, clips };
}

const name = (frame: number) => `${String(frame).padStart(9, "0")}.jpg`;
const sample = (frames: readonly string[]) => ({
  frames,
  traj: Array(10).fill(0.5),
  cmd: 3,
  speed: [],
  angle: [],
  z: 1,
  goal: [800, 450],
});
const write = (kind: string, records: unknown) =>
  writeFile(join(vista, `annos/${kind}.json`), JSON.stringify(records));

test("places that are not there, and subsets that nobody knows", async () => {
  await rm(join(vista, "data/nuscenes"), { recursive: true });
  const missing = await found("debug");
  expect(missing.codes).toEqual(["error data-missing"]);
  expect(missing.text).toContain("data/nuscenes");
  await rm(join(vista, "annos/YouTube.json"));
  expect((await youtube()).codes).toEqual(["error data-missing"]);
  expect((await found("debug", { extra: ["data.params.subsets=[Waymo]"] })).codes).toEqual([
    "error unknown-subset",
  ]);
});

test("a subset that is no list", async () => {
  const result = await found("debug", { extra: ["data.params.subsets=NuScenes"] });
  expect(result.codes).toEqual(["error unknown-subset"]);
  expect(result.text).toContain("data.params.subsets=[NuScenes]");
});

describe("what ends a training, or keeps it from beginning, is an error", () => {
  test.each<[string, string, string]>([
    ["no records", "[]", "has no records"],
    ["no array", '{"a": 1}', "does not start with an array"],
    ["cut off", '[{"folder_name": "a", "first', "ends inside row 0"],
    [
      "cut off after a record",
      '[{"folder_name": "Some_Driver/abcdefghijk", "first_frame": "000000007.jpg"}',
      "before its array is closed",
    ],
    ["something else", '[{"token": "a"}]', "fields of a kind that is known"],
    ["a name that the loader misreads", '[{"folder_name": "a", "first_frame": "a.b.jpg"}]', "2 dots"],
    ["nothing but a folder that is not there", '[{"folder_name": "x", "first_frame": "1.jpg"}]', "names x"],
    [
      "past the end",
      '[{"folder_name": "Some_Driver/abcdefghijk", "first_frame": "000000008.jpg"}]',
      "from frame 8 to 32, the folder ends at 31",
    ],
    ["records of the other kind", JSON.stringify([sample(["a.jpg"])]), "not those of YouTube"],
  ])("YouTube.json: %s", async (_, text, message) => {
    await writeFile(join(vista, "annos/YouTube.json"), text);
    const result = await youtube();
    expect(result.codes).toEqual(["error data-faulty"]);
    expect(result.text).toContain(message);
  });

  test("an empty folder of frames", async () => {
    await rm(join(vista, "data/nuscenes"), { recursive: true });
    await mkdir(join(vista, "data/nuscenes"));
    const empty = await found("debug");
    expect(empty.codes).toEqual(["error data-faulty"]);
    expect(empty.text).toContain("none of the 1 records that were looked at can be loaded");
    expect(empty.text).toContain("sweeps/CAM_FRONT");
  });

  test("all frames of all records, of many", async () => {
    await largerSet();
    await rm(join(vista, "data/YouTube/Driver"), { recursive: true });
    const result = await youtube();
    expect(result.codes).toEqual(["error data-faulty"]);
    expect(result.text).toContain(
      "of 400 records whose frames were looked for (of 600 in all), all lack some",
    );
  });

  test("a file that is cut off at its end", async () => {
    const { nuscenes } = await largerSet();
    const text = JSON.stringify(nuscenes);
    await writeFile(join(vista, "annos/nuScenes.json"), text.slice(0, -300));
    const result = await found("debug");
    expect(result.codes).toEqual(["error data-faulty"]);
    expect(result.text).toContain("ends inside row 299");
  });

  test.each([0, 150, 299])("one record, number %i, that the data set class stops at", async (at) => {
    const { nuscenes } = await largerSet();
    delete nuscenes[at]!.cmd;
    await write("nuScenes", nuscenes);
    const result = await found("debug");
    expect(result.codes[0]).toBe("error data-faulty");
    expect(result.text).toContain(`record ${at}: a field that the data set class reads`);
    expect(result.text).toContain('"cmd" is missing');
  });
});

describe("what costs samples is a warning", () => {
  test.each([0, 300, 599])("one record, number %i, that cannot be read", async (at) => {
    const { clips } = await largerSet();
    clips[at] = { folder_name: "Driver/first" };
    await write("YouTube", clips);
    const result = await youtube();
    expect(result.codes).toEqual(["warning data-faulty", "warning data-faulty"]);
    expect(result.text).toContain("1 of the 600 records that were looked at cannot be loaded");
    expect(result.text).toContain(`record ${at}: "first_frame" is missing`);
  });

  test("frames that are missing for late records alone", async () => {
    await largerSet();
    await rm(join(vista, "data/YouTube/Driver/third"), { recursive: true });
    const result = await youtube();
    expect(result.codes).toEqual(["warning data-faulty", "warning data-faulty"]);
    expect(result.text).toMatch(
      /of 400 records whose frames were looked for \(of 600 in all\), 1\d\d lack some/,
    );
    expect(result.text).toContain("names Driver/third".replace("names", "name"));
  });

  test("one frame, the last of a folder", async () => {
    await largerSet();
    await rm(join(vista, "data/YouTube/Driver/third", name(223)));
    const result = await youtube();
    expect(new Set(result.codes)).toEqual(new Set(["warning data-faulty"]));
    expect(result.text).toContain("past the end of Driver/third");
  });

  test("one frame of nuScenes, which the last records take", async () => {
    const { nuscenes } = await largerSet();
    const last = (nuscenes[299]!.frames as string[])[24]!;
    await rm(join(vista, "data/nuscenes", last));
    const result = await found("debug");
    expect(result.codes).toEqual(["warning data-faulty", "warning data-faulty"]);
    expect(result.text).toContain("1 of the 300 records that were looked at cannot be loaded");
    expect(result.text).toContain(last);
  });

  test("one of two annotation files that is of no use", async () => {
    const { nuscenes } = await largerSet();
    await subsetSource(
      "nuscenes.py",
      `data_root="data/nuscenes", anno_file=["annos/nuScenes.json", "annos/b.json"],`,
    );
    await writeFile(join(vista, "annos/b.json"), "[]");
    const empty = await found("debug");
    expect(empty.codes).toEqual(["warning data-faulty"]);
    expect(empty.text).toContain("annos/b.json: the array has no records");
    await writeFile(join(vista, "annos/b.json"), JSON.stringify(nuscenes));
    expect((await found("debug")).codes).toEqual([]);
  });
});

describe("no alarm", () => {
  test("a clean set that is larger than the sample, which the verdict says", async () => {
    await largerSet();
    const result = await youtube();
    expect(result.codes).toEqual([]);
    expect(result.sampled).toEqual([
      "frames of 400 of 600 records of annos/YouTube.json (seed 0) and the last one of 3 folders",
    ]);
    const nuscenes = await found("debug");
    expect(nuscenes.codes).toEqual([]);
    expect(nuscenes.sampled).toEqual([]);
  });

  test("rules that are left out are not looked at", async () => {
    await largerSet();
    const options = { nodes: 1, rdzvEndpoint: ENDPOINT };
    for (const chosen of [{ ignore: ["data"] }, { ignore: ["data-faulty"] }, { only: ["unknown-subset"] }]) {
      expect(await found("phase1", options, undefined, chosen)).toMatchObject({ codes: [], sampled: [] });
    }
    expect((await found("phase1", options, undefined, { only: ["data-faulty"] })).sampled).toHaveLength(1);
  });

  test("a config that takes fewer frames than the records have, or than a folder needs for 25", async () => {
    await write("YouTube", [{ folder_name: "Some_Driver/abcdefghijk", first_frame: "000000020.jpg" }]);
    expect((await youtube()).codes).toEqual(["error data-faulty"]);
    const shorter = { nodes: 1, rdzvEndpoint: ENDPOINT, extra: ["data.params.num_frames=12"] };
    expect((await found("phase1", shorter)).codes).toEqual([]);
    expect((await found("debug", { extra: ["data.params.num_frames=12"] })).codes).toEqual([]);
  });

  test("records with more than the loader needs: other keys, frames to spare", async () => {
    const [record] = JSON.parse(await readFile(join(vista, "annos/nuScenes.json"), "utf8")) as Records;
    await write("nuScenes", [{ ...record, scene: "scene-0061", boxes: [{ a: 1 }, { b: 2 }] }]);
    expect((await found("debug")).codes).toEqual([]);
    await write("nuScenes", [{ ...record, frames: [...(record!.frames as string[]), "not/there.jpg"] }]);
    // Not as the authors write it, but it trains.
    expect((await found("debug")).codes).toEqual(["warning data-faulty"]);
  });

  test("NaN, which Python writes, and a file with indents", async () => {
    const text = await readFile(join(vista, "annos/nuScenes.json"), "utf8");
    await writeFile(join(vista, "annos/nuScenes.json"), JSON.stringify(JSON.parse(text), null, 4));
    expect((await found("debug")).codes).toEqual([]);
    // The loader compares it and goes on without a goal.
    await writeFile(join(vista, "annos/nuScenes.json"), text.replace('"z":1', '"z":NaN'));
    expect((await found("debug")).codes).toEqual(["warning data-faulty", "warning data-faulty"]);
  });

  test("annotations of one's own with frames and commands alone: the loader has something to train on", async () => {
    const [record] = JSON.parse(await readFile(join(vista, "annos/nuScenes.json"), "utf8")) as Records;
    await write("nuScenes", [{ ...record, speed: [], angle: [], z: 0, goal: [] }]);
    const result = await found("debug");
    expect(new Set(result.codes)).toEqual(new Set(["warning data-faulty"]));
    expect(result.text).toContain("1 of the 1 records that were looked at cannot be used for every action");
  });

  test("other names of frames, in folders with odd names, below a linked root", async () => {
    const clip = "Drv #1/v = 'é'";
    await mkdir(join(folder, "disk 2", clip), { recursive: true });
    for (let i = 0; i < 25; i++) await writeFile(join(folder, "disk 2", clip, `${i}.png`), "");
    await subsetSource(
      "youtube.py",
      `data_root="${join(folder, "disk 2")}", anno_file='annos/YouTube.json',`,
    );
    await write("YouTube", [{ folder_name: clip, first_frame: "0.png" }]);
    expect((await youtube()).codes).toEqual([]);
    // os.path.join takes an absolute name for itself.
    await write("YouTube", [{ folder_name: join(folder, "disk 2", clip), first_frame: "0.png" }]);
    await subsetSource("youtube.py", `data_root="data/YouTube", anno_file='annos/YouTube.json',`);
    expect((await youtube()).codes).toEqual([]);
    await rm(join(folder, "disk 2"), { recursive: true });
  });
});

test.each([
  ["data.params.target_height=570", "570"],
  ["data.params.probs=[1, 2]", "2 probs"],
  ["data.params.num_frames=26", "num_frames is 26"],
  ["data.params.num_frames=0", "num_frames is 0, not a whole number"],
  ["data.params.target_height=-64", "target_height is -64"],
  ["data.params.batch_size=2", "vista/batch-size"],
])("settings that no data fits: %s", async (setting, text) => {
  const result = await found("debug", { extra: [setting] });
  expect(result.codes[0]).toEqual("error data-faulty");
  expect(result.text).toContain(text);
});

/** Writes a data set class with these parameters, as the checkout has them. */
async function subsetSource(file: string, parameters: string): Promise<void> {
  await mkdir(join(vista, "vwm/data/subsets"), { recursive: true });
  await writeFile(
    join(vista, "vwm/data/subsets", file),
    `class D:\n    def __init__(self, ${parameters}\n                 target_height=320):\n        pass\n`,
  );
}

describe("data roots are read from the checkout, where the documentation has people edit them", () => {
  test("another folder, several annotation files", async () => {
    await subsetSource(
      "nuscenes.py",
      `data_root="/mnt/nuscenes", anno_file=["annos/nuScenes.json", 'annos/more.json'],`,
    );
    const result = await found("debug");
    expect(result.codes).toEqual(["error data-missing", "error data-missing"]);
    expect(result.text).toContain("/mnt/nuscenes");
    expect(result.text).toContain("annos/more.json");
  });

  test.each([
    [`data_root: str = r'/mnt/a', anno_file="annos/nuScenes.json",`],
    [`data_root = "/mnt/a",  # data_root="data/nuscenes"`],
    [`# data_root="data/nuscenes",\n                 data_root="/mnt/a",`],
    [`\n                 data_root="/mnt/a"  # moved\n                 ,`],
  ])("in other words: %s", async (parameters) => {
    await subsetSource("nuscenes.py", parameters);
    const result = await found("debug");
    expect(result.codes).toEqual(["error data-missing"]);
    expect(result.text).toContain("no folder /mnt/a");
  });

  test.each([
    [`data_root=os.environ["NUSCENES"],`, "data_root"],
    [`data_root=ROOT + "/nuscenes",`, "data_root"],
    [`data_root="/mnt" + ROOT,`, "data_root"],
    [`data_root=f"{ROOT}/nuscenes",`, "data_root"],
    [`anno_file=glob("annos/*.json"),`, "anno_file"],
  ])("that only Python can work out: %s", async (parameters, name) => {
    await rm(join(vista, "data/nuscenes"), { recursive: true });
    await subsetSource("nuscenes.py", parameters);
    const result = await found("debug");
    expect(result.codes).toEqual(["note data-missing"]);
    expect(result.text).toContain(`does not set ${name} to a plain text`);
  });

  test("dataset.py may say it, too", async () => {
    await subsetSource("nuscenes.py", `data_root="data/nuscenes",`);
    await writeFile(
      join(vista, "vwm/data/dataset.py"),
      `datasets.append(\n    NuScenesDataset(data_root="/mnt/b", target_height=target_height)\n)\n`,
    );
    const result = await found("debug");
    expect(result.codes).toEqual(["error data-missing"]);
    expect(result.text).toContain("no folder /mnt/b");
  });
});
