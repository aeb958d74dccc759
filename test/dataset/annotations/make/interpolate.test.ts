/** The 12 Hz tables: rules on a small set where the answer is plain; test/peers has random ones and the devkit. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type InterpolateOptions,
  writeInterpolatedTables,
} from "../../../../src/dataset/annotations/make/interpolate.js";
import { slerp } from "../../../../src/dataset/annotations/make/pose.js";
import { runCli } from "../../../helpers/cli.js";
import { type Row, Sets, type TestSet, VERSION } from "../../nuscenes/set.js";

const sets = new Sets();
let plain: TestSet;

beforeAll(async () => {
  plain = await sets.make({ sceneNumbers: [1, 3], samples: 3, boxes: 3, files: "none" });
});
afterAll(() => sets.clear());

function tables(folder: string) {
  const read = (name: string) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as Row[];
  return { sample: read("sample"), boxes: read("sample_annotation"), data: read("sample_data") };
}

async function make(set: TestSet, options: InterpolateOptions = {}) {
  const result = await writeInterpolatedTables(set.root, undefined, { fsync: false, ...options });
  return { result, ...tables(result.folder) };
}

const byToken = (rows: Row[]) => new Map(rows.map((row) => [row.token, row]));

describe("the rules", () => {
  it("six samples for each with a next one, chained, a sixth of the way apart", async () => {
    const set = sets.copy(plain);
    const { result, sample } = await make(set);
    expect(result).toMatchObject({
      version: VERSION,
      scenes: 2,
      keySamples: 6,
      samples: 2 * 13,
      unattached: 0,
    });
    expect(result.folder).toBe(set.path("interp_12Hz_mini"));
    const rows = byToken(sample);
    for (const scene of set.rows("scene")) {
      const walked: Row[] = [];
      for (let at = scene.first_sample_token; at !== ""; at = rows.get(at)!.next) walked.push(rows.get(at)!);
      expect(walked).toHaveLength(13);
      expect(walked.map((row) => row.prev)).toEqual(["", ...walked.slice(0, -1).map((row) => row.token)]);
      expect(walked.map((row) => row.token.slice(32))).toEqual([
        "",
        "1",
        "2",
        "3",
        "4",
        "5",
        "",
        "1",
        "2",
        "3",
        "4",
        "5",
        "",
      ]);
      const [first, , third, , , , last] = walked as [Row, Row, Row, Row, Row, Row, Row];
      expect(third.timestamp).toBe(first.timestamp + (2 / 6) * (last.timestamp - first.timestamp));
    }
  });

  it("boxes between two samples that have the instance: moved in a line, turned, the rest as it was", async () => {
    const set = sets.copy(plain);
    set.edit("sample_annotation", (rows) => {
      for (const row of rows) row.note = 'é "kept"';
    });
    const before = byToken(set.rows("sample_annotation"));
    const { boxes, result } = await make(set);
    const rows = byToken(boxes);
    expect(boxes).toHaveLength(result.annotations);
    let between = 0;
    for (const own of before.values()) {
      const after = own.next === "" ? undefined : before.get(own.next)!;
      expect(rows.has(`${own.token}1`)).toBe(after !== undefined);
      expect(rows.get(own.token)!.next).toBe(after === undefined ? "" : `${own.token}1`);
      expect(rows.get(own.token)!.prev).toBe(own.prev === "" ? "" : `${own.prev}5`);
      if (after === undefined) continue;
      between += 5;
      const third = rows.get(`${own.token}3`)!;
      expect(third.translation[0]).toBeCloseTo((own.translation[0] + after.translation[0]) / 2, 5);
      expect(third).toMatchObject({
        sample_token: `${own.sample_token}3`, prev: `${own.token}2`, next: `${own.token}4`, size: own.size, note: own.note,
        instance_token: own.instance_token, attribute_tokens: own.attribute_tokens, num_lidar_pts: own.num_lidar_pts,
      }); // biome-ignore format: short
      expect(rows.get(`${own.token}5`)!.next).toBe(own.next);
    }
    expect(between).toBeGreaterThan(0);
    expect(boxes).toHaveLength(before.size + between);
  });

  it.each([
    ["sample", ["sample_data", "sample_annotation"], "sample_token"],
    ["sample_data", [], ""],
    ["sample_annotation", [], ""],
  ])(
    "tokens of %s that a made row would have, too, are refused; equally long ones are not",
    async (table, others, key) => {
      for (const [spell, isTaken] of [
        [(i: number) => `own${i < 3 ? i + 1 : i + 8}`, false],
        [(i: number) => `own${String(i + 1).padStart(3, "0")}`, true],
        // None of these tokens is another one with a digit from 1 to 5.
        [(i: number) => `own${i + 97}`, true],
      ] as const) {
        const set = sets.copy(plain);
        const own = new Map(set.rows(table).map(({ token }, i) => [token, spell(i)]));
        const rename = (row: Row, ...keys: string[]) => {
          for (const each of keys) row[each] = own.get(row[each]) ?? row[each];
        };
        set.edit(table, (rows) => { for (const row of rows) rename(row, "token", "prev", "next"); }); // biome-ignore format: short
        for (const other of others) set.edit(other, (rows) => { for (const row of rows) rename(row, key); }); // biome-ignore format: short
        if (isTaken) {
          const rows = (await make(set))[
            { sample: "sample", sample_data: "data", sample_annotation: "boxes" }[table] as "data"
          ];
          expect(byToken(rows).size).toBe(rows.length);
          continue;
        }
        await expect(make(set)).rejects.toThrow(
          /from "own(.)", one would have the token "own\1[1-5]" of another row/,
        );
        await expect(make(set)).rejects.toMatchObject({ code: "UNSUPPORTED" });
        expect(existsSync(set.path("interp_12Hz_mini"))).toBe(false);
      }
    },
  );

  it("key frames show the frames after them, up to the next key frame; prev is the generator's own", async () => {
    const set = sets.copy(plain);
    const source = set.rows("sample_data");
    const key = source.find(
      (row) => row.is_key_frame && row.prev === "" && row.filename.includes("CAM_FRONT"),
    )!;
    const chain = [key];
    const all = byToken(source);
    while (chain.length < 7) chain.push(all.get(chain.at(-1)!.next)!);
    // One sweep less: the last frame is shown twice.
    set.edit("sample_data", (rows) => {
      rows.find((row) => row.token === chain[4]!.token)!.next = chain[6]!.token;
    });
    const { data } = await make(set);
    const rows = byToken(data);
    expect(data.every((row) => row.is_key_frame)).toBe(true);
    for (let k = 1; k <= 5; k++) {
      const shown = chain[Math.min(k, 4)]!;
      expect(rows.get(`${key.token}${k}`)).toMatchObject({
        sample_token: `${key.sample_token}${k}`, filename: shown.filename, ego_pose_token: shown.ego_pose_token,
        calibrated_sensor_token: shown.calibrated_sensor_token, prev: `${key.token}${k}${k - 1}`, height: key.height,
      }); // biome-ignore format: short
    }
    expect(rows.get(key.token)!.next).toBe(`${key.token}1`);
  });

  it("the keys of a row may come in any order, and in another one in the next row", async () => {
    const { data: usual } = await make(sets.copy(plain));
    const set = sets.copy(plain);
    set.edit("sample_data", (rows) => {
      for (const [i, row] of rows.entries())
        if (!row.is_key_frame) rows[i] = Object.fromEntries(Object.entries(row).reverse()) as Row;
    });
    expect((await make(set)).data).toEqual(usual);
  });

  it("other tables are copied byte for byte; of a split there are its samples only", async () => {
    const set = sets.copy(plain);
    const { result, sample } = await make(set, { split: "val" });
    expect(result).toMatchObject({ scenes: 1, keySamples: 3, samples: 13 });
    const scene = set.rows("scene").find((row) => row.name === "scene-0003")!;
    expect(new Set(sample.map((row) => row.scene_token))).toEqual(new Set([scene.token]));
    for (const name of ["category", "instance", "calibrated_sensor", "ego_pose", "map"]) {
      expect(readFileSync(join(result.folder, `${name}.json`))).toEqual(
        readFileSync(set.path(VERSION, `${name}.json`)),
      );
    }
    expect(readdirSync(result.folder)).toHaveLength(13);
  });

  it("damage in a split that nobody asked for, and a sweep that is there twice, do not matter", async () => {
    const { data: usual } = await make(sets.copy(plain), { split: "val" });
    const set = sets.copy(plain);
    set.edit("sample_data", (rows) => {
      const scenes = new Map(set.rows("sample").map((row) => [row.token, row.scene_token]));
      const own = set.rows("scene").find((row) => row.name === "scene-0003")!.token;
      const other = rows.filter((row) => row.is_key_frame && scenes.get(row.sample_token) !== own);
      other[0]!.is_key_frame = 1;
      return [...rows, other[1]!, rows.find((row) => !row.is_key_frame)!];
    });
    expect((await make(set, { split: "val" })).data).toEqual(usual);
  });

  it("slerp takes the shorter way, and goes straight between rotations that are nearly the same", () => {
    const half = slerp([1, 0, 0, 0], [-Math.SQRT1_2, 0, 0, -Math.SQRT1_2], 0.5).map(Math.abs);
    expect(half[0]).toBeCloseTo(Math.cos(Math.PI / 8), 12);
    expect(half[3]).toBeCloseTo(Math.sin(Math.PI / 8), 12);
    expect(slerp([2, 0, 0, 0], [1, 0, 0, 0.001], 0.5)[3]).toBeCloseTo(0.0005, 8);
  });
});

const DAMAGE: [name: string, change: (set: TestSet) => unknown, said: RegExp][] = [
  ["a box has two numbers for a place", (set) => set.edit("sample_annotation", (rows) => rows[0]!.translation.pop()), /sample_annotation \w+: at byte \d+: field "translation" is an array of 2/],
  ["a box names no instance", (set) => set.edit("sample_annotation", (rows) => { rows[0]!.instance_token = ""; }), /sample_annotation \w+: at byte \d+: field "instance_token" is empty/],
  ["an instance has two boxes in a sample", (set) => set.edit("sample_annotation", (rows) => [...rows, { ...rows[0]!, token: "another" }]), /a sample has two boxes of this instance/],
  ["a frame is gone and the one before names it", (set) => set.edit("sample_data", (rows) => rows.filter((row) => row.token !== rows.find((one) => one.is_key_frame && one.next !== "")!.next)), /sample_data \w+: at byte \d+: next names sample_data "\w+", which is not there/],
  ["a key frame has no file", (set) => set.edit("sample_data", (rows) => { rows.find((one) => one.is_key_frame)!.filename = null; }), /field "filename" is null/],
  ["a key frame says so by 1, which is true in Python", (set) => set.edit("sample_data", (rows) => { rows.find((one) => one.is_key_frame)!.is_key_frame = 1; }), /sample_data \w+: at byte \d+: field "is_key_frame" is the number 1, not true or false/],
  ["a key frame is there twice", (set) => set.edit("sample_data", (rows) => [...rows, rows.find((one) => one.is_key_frame)!]), /sample_data \w+: at byte \d+: two rows have this token/],
  ["a row of sample_data is no object", (set) => set.edit("sample_data", (rows) => [...rows, 7]), /sample_data\.json: at byte \d+: the row is the number 7, not an object/],
  ["the next sample is gone", (set) => set.edit("sample", (rows) => rows.filter((row) => row.prev === "" || row.next === "")), /next names sample "\w+", which is not there/],
  ["the next sample is earlier", (set) => set.edit("sample", (rows) => { rows.find((row) => row.next === "")!.timestamp = 1; }), /the next sample is not later/],
  ["a table is cut off", (set) => writeFileSync(set.path(VERSION, "sample_annotation.json"), '[{"token": "a"'), /sample_annotation\.json: at byte 14: not JSON/],
  ["a row ends in a comma", (set) => { const file = set.path(VERSION, "sample_annotation.json"); writeFileSync(file, readFileSync(file, "utf8").replace(/\}\s*\]\s*$/, ",}]")); }, /sample_annotation\.json: at byte \d+: not JSON/],
  ["a table that is only copied is cut off", (set) => writeFileSync(set.path(VERSION, "ego_pose.json"), '[{"token": "a"'), /ego_pose\.json: at byte 14: not JSON/],
  ["a small table that is only copied is cut off", (set) => writeFileSync(set.path(VERSION, "category.json"), '[{"token"'), /category\.json: at byte 9: not JSON/],
  ["a row is no object", (set) => set.edit("sample_annotation", (rows) => [...rows, 7]), /the row is not an object/],
]; // biome-ignore format: one case a line

describe("a row that is needed is named when it is damaged, and no folder is left", () => {
  it.each(DAMAGE)("%s", async (_, change, said) => {
    const set = sets.copy(plain);
    change(set);
    await expect(make(set)).rejects.toThrow(said);
    expect(readdirSync(set.root).filter((name) => name.includes("interp"))).toEqual([]);
  });
});

describe("vista-data annos nuscenes-12hz", () => {
  it("writes a folder whole, replaces one of its own kind only, and says what it made", async () => {
    const set = sets.copy(plain);
    const run = (...args: string[]) =>
      runCli("vista-data", ["annos", "nuscenes-12hz", ...args], { cwd: set.root });
    const made = await run("--output", "interp_12Hz_trainval");
    expect([made.code, made.stderr]).toEqual([0, ""]);
    expect(made.stdout).toMatch(
      /^interp_12Hz_trainval: 26 samples at 12 Hz from 6 at 2 Hz, of 2 scenes \(all, v1\.0-mini\)\n {2}\d+ boxes/,
    );
    const again = await run("--out", "interp_12Hz_trainval");
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/already exists.*--force/)]);
    const forced = await run("--out", "interp_12Hz_trainval", "--force", "--split", "val", "--json");
    expect(JSON.parse(forced.stdout)).toMatchObject({ split: "val", samples: 13, keySamples: 3 });
    mkdirSync(set.path("other"));
    writeFileSync(set.path("other", "thesis.tex"), "");
    expect((await run("--output", "other", "--force")).code).toBe(1);
    expect(existsSync(set.path("other", "thesis.tex"))).toBe(true);
    expect((await run("--out", VERSION, "--force")).code).toBe(2);
    expect(readdirSync(set.root).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("leaves nothing after a stop", async () => {
    const set = sets.copy(plain);
    const controller = new AbortController();
    controller.abort();
    await expect(make(set, { signal: controller.signal })).rejects.toMatchObject({ code: "ABORTED" });
    expect(readdirSync(set.root).filter((name) => name.includes("interp"))).toEqual([]);
  });
});
