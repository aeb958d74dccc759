/** `check --write-clean`: which records are left out, and that all others stay as they are, byte for byte. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkAnnotations } from "../../../src/dataset/annotations/check.js";
import { UnusableBuilder, unusableRecords, writeClean } from "../../../src/dataset/annotations/clean.js";
import { runCli } from "../../helpers/cli.js";
import { collect, newFolder, removeFolders } from "../opendv/support.js";

const LOG = "n015-2018-07-24-11-22-45+0800";
const VIDEO = "full_images/Road_Film/abcdefghijk";
const FILES = Array.from({ length: 60 }, (_, i) => {
  const folder = i % 6 === 0 ? "samples" : "sweeps";
  return `${folder}/CAM_FRONT/${LOG}__CAM_FRONT__${1532402927612460 + i * 83_333}.jpg`;
});
let root: string;

beforeAll(() => {
  root = newFolder();
  for (const file of FILES) {
    mkdirSync(join(root, "data/nuscenes", file, ".."), { recursive: true });
    writeFileSync(join(root, "data/nuscenes", file), "x");
  }
  mkdirSync(join(root, "data/YouTube", VIDEO), { recursive: true });
  for (let i = 0; i < 60; i++) {
    if (i !== 40) writeFileSync(join(root, "data/YouTube", VIDEO, `${String(i).padStart(9, "0")}.jpg`), "x");
  }
  mkdirSync(join(root, "annos"));
});
afterAll(removeFolders);

type Members = Record<string, unknown>;

/** Records as a script of one's own may have laid them out: digits, order of keys and white space are to stay. */
function nuScenesText(start: number, change: Members = {}): string {
  const { frames = FILES.slice(start, start + 25), ...others } = change;
  const members: Members = { z: 15.8, frames, traj: [0, 0, 1, 2, 3, 4, 5, 6, 7, 8], cmd: 3, ...others };
  const text = Object.entries({ speed: [], angle: [], goal: [8, 5], ...members })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `"${key}" :${typeof value === "string" ? value : JSON.stringify(value)}`);
  return `{${text.join(" ,\t")}, "note": "é \\u00e9 1.50"}`;
}

function youTubeText(first: string, folder = VIDEO): string {
  return `{"first_frame":${JSON.stringify(first)} , "folder_name": ${JSON.stringify(folder)}}`;
}

const SOUND = {
  "nuScenes.json": [0, 6, 12, 18].map((start) => nuScenesText(start)),
  "YouTube.json": ["000000000.jpg", "000000001.jpg", "000000010.jpg", "000000015.jpg"].map((first) =>
    youTubeText(first),
  ),
};
type Name = keyof typeof SOUND;

/** Checks a file of these records and makes the clean one. */
async function clean(name: Name, records: readonly string[]) {
  const path = join(root, "annos", name);
  writeFileSync(path, `\n[ ${records.join(" ,\n")}]\n\n`);
  const unusable = unusableRecords(path);
  const findings = await collect(checkAnnotations([path], { root, unusable }));
  const target = join(root, `${name}.clean`);
  await writeClean(unusable, target, { force: true, fsync: false });
  return { unusable, findings, text: readFileSync(target, "utf8"), target };
}

const FAULTS: [Name, string, record: string, rule: string][] = [
  ["nuScenes.json", "no object", "17", "shape"],
  ["nuScenes.json", "a list", "[1, {}]", "shape"],
  ["nuScenes.json", "a key that is missing", nuScenesText(3, { cmd: undefined }), "shape"],
  ["nuScenes.json", "text for a number", nuScenesText(3, { z: '"15.8"' }), "shape"],
  ["nuScenes.json", "NaN", nuScenesText(3, { z: "NaN" }), "shape"],
  ["nuScenes.json", "a list of too few numbers", nuScenesText(3, { traj: [1, 2] }), "length"],
  ["nuScenes.json", "too few frames", nuScenesText(3, { frames: FILES.slice(3, 20) }), "length"],
  [
    "nuScenes.json",
    "a frame that is not there",
    nuScenesText(3, { frames: [...FILES.slice(3, 27), "sweeps/CAM_FRONT/other.jpg"] }),
    "frame-missing",
  ],
  ["YouTube.json", "no object", "null", "shape"],
  ["YouTube.json", "no first frame", `{"folder_name": "${VIDEO}"}`, "shape"],
  ["YouTube.json", "a name without a dot", youTubeText("000000000"), "frame-name"],
  [
    "YouTube.json",
    "a folder that is not there",
    youTubeText("000000000.jpg", "full_images/a/b"),
    "folder-missing",
  ],
  ["YouTube.json", "a frame with another extension", youTubeText("000000000.png"), "frame-missing"],
  ["YouTube.json", "past the end", youTubeText("000000041.jpg"), "past-end"],
  ["YouTube.json", "over a gap", youTubeText("000000020.jpg"), "over-gap"],
];

describe.each(FAULTS)("%s, %s", (name, _what, broken, rule) => {
  it.each([0, 2, 4])("as record %i it is left out, all others stay", async (place) => {
    const records: string[] = [...SOUND[name]];
    records.splice(place, 0, broken);
    const { unusable, findings, text, target } = await clean(name, records);
    expect(findings.map((each) => each.rule)).toContain(`annos/${rule}`);
    expect(text).toBe(`\n[ ${SOUND[name].join(" ,\n")}]\n\n`);
    expect([unusable.records, unusable.kept, [...unusable.leftOut]]).toEqual([5, 4, [[`annos/${rule}`, 1]]]);
    const again = await collect(checkAnnotations([target], { root }));
    expect(again.filter((each) => each.severity === "error")).toEqual([]);
  });
});

describe("records that Vista trains on", () => {
  it.each([
    ["annos/cmd-range", nuScenesText(3, { cmd: 9 })],
    ["annos/duplicate", SOUND["nuScenes.json"][0]!],
    ["annos/frame-order", nuScenesText(3, { frames: FILES.slice(3, 28).reverse() })],
  ])("%s: kept, and found again", async (rule, record) => {
    const { findings, text } = await clean("nuScenes.json", [...SOUND["nuScenes.json"], record]);
    expect(findings.map((each) => each.rule)).toContain(rule);
    expect(text).toContain(record);
  });
});

it("of random records, whatever is left out, the others stay in their order", async () => {
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const path = join(root, "random.json");
  for (let round = 0; round < 60; round++) {
    const count = 1 + random(12);
    const records = Array.from(
      { length: count },
      (_, i) => `{"${i}": "${"x".repeat(random(2) * random(900_000))}"}`,
    );
    const kept = records.filter(() => random(3) > 0);
    if (kept.length === 0) kept.push(records.at(-1)!);
    const unusable = { ...unusableRecords(path), subset: "NuScenes" as const };
    const builder = new UnusableBuilder(unusable);
    let text = "[";
    for (const [i, record] of records.entries()) {
      text += i === 0 ? "" : ", ";
      const end = text.length + record.length;
      builder.add(text.length, end, kept.includes(record) ? undefined : "annos/shape");
      text += record;
    }
    writeFileSync(path, `${text}]`);
    await writeClean(Object.assign(unusable, { stamp: stampOf(path) }), `${path}.clean`, {
      force: true,
      fsync: false,
    });
    const clean = readFileSync(`${path}.clean`, "utf8");
    if (clean !== `[${kept.join(", ")}]`) throw new Error(`round ${round}`);
  }
});

function stampOf(path: string) {
  const { size, mtimeMs } = statSync(path);
  return { size, mtimeMs };
}

describe("no clean file", () => {
  const refusals: [string, string, RegExp][] = [
    ["every record broken", "[1, 2]", /no record of a kind that is known/],
    ["not one that could be kept", `[{"folder_name": "a", "first_frame": "x"}]`, /not one of the 1 records/],
    ["cut off", `[${SOUND["nuScenes.json"][0]}, {`, /no JSON array/],
    [
      "a language file",
      `[{"cmd":2,"blip":"","folder":"f","first_frame":"0.jpg","last_frame":"39.jpg"}]`,
      /language file/,
    ],
  ];
  it.each(refusals)("%s: exit 1, the report, and why", async (_name, text, reason) => {
    const folder = newFolder();
    writeFileSync(join(folder, "a.json"), text);
    const args = [
      "check",
      folder,
      "--annos",
      join(folder, "a.json"),
      "--write-clean",
      join(folder, "b.json"),
    ];
    const { code, stdout, stderr } = await runCli("vista-data", args);
    expect(stdout).toMatch(/Verdict: /);
    expect(stderr).toMatch(new RegExp(`^vista-data: \\S*b\\.json was not written: .*${reason.source}.*\n$`));
    const quiet = await runCli("vista-data", [...args, "-q"]);
    expect([quiet.stdout, quiet.stderr.split("\n").slice(-2).join("\n")]).toEqual(["", stderr]);
    expect(code).toBe(1);
    expect(readdirSync(folder)).toEqual(["a.json"]);
  });

  it("of a file that was changed meanwhile", async () => {
    const path = join(root, "annos/nuScenes.json");
    writeFileSync(path, `[${SOUND["nuScenes.json"].join(",")}]`);
    const unusable = unusableRecords(path);
    await collect(checkAnnotations([path], { root, unusable }));
    appendFileSync(path, " ");
    const target = join(root, "changed.json");
    await expect(writeClean(unusable, target, { fsync: false })).rejects.toThrow(
      /changed while it was checked/,
    );
    expect(existsSync(target)).toBe(false);
  });
});

describe("vista-data check --write-clean", () => {
  const write = (folder: string, name: string, records: readonly string[]) => {
    mkdirSync(join(folder, "annos"), { recursive: true });
    writeFileSync(join(folder, "annos", name), `[${records.join(",\n")}]`);
  };
  const check = (...args: string[]) => runCli("vista-data", ["check", ...args]);

  it("of several files, that whose name the output's begins with; closing lines with the reasons by rule", async () => {
    const folder = newFolder();
    write(folder, "nuScenes.json", [...SOUND["nuScenes.json"], "1", nuScenesText(0, { traj: [] })]);
    write(folder, "nuScenes_val.json", SOUND["nuScenes.json"]);
    const output = join(folder, "annos/nuScenes.clean.json");
    const { stdout } = await check(folder, "--write-clean", output);
    expect(stdout.trimEnd().split("\n").slice(-2)).toEqual([
      `wrote ${output}: 4 of 6 records of ${join(folder, "annos/nuScenes.json")} kept, 2 left out (annos/length 1, annos/shape 1)`,
      "  whether the frames of what was kept exist was not looked at: there is no data here",
    ]);
    expect(JSON.parse(readFileSync(output, "utf8"))).toHaveLength(4);
    expect(await check(folder, "--write-clean", output)).toMatchObject({ code: 1, stdout: "" });
    const val = join(folder, "val.json");
    const json = await check(
      folder,
      "--annos",
      join(folder, "annos/nuScenes_val.json"),
      "--write-clean",
      val,
      "--json",
    );
    expect(JSON.parse(json.stdout).clean).toMatchObject({ path: val, records: 4, kept: 4, leftOut: {} });
    expect(readFileSync(val)).toEqual(readFileSync(join(folder, "annos/nuScenes_val.json")));
  });

  it("wrong usage: no file that it could be made of, or only a part of the check", async () => {
    const folder = newFolder();
    write(folder, "nuScenes.json", SOUND["nuScenes.json"]);
    write(folder, "nuScenes_val.json", SOUND["nuScenes.json"]);
    const output = join(folder, "clean.json");
    const wrong = [
      ["--write-clean", output],
      ["--write-clean", join(folder, "nuScenes.clean.json"), "--quick"],
      ["--write-clean", join(folder, "nuScenes.clean.json"), "--shard", "1/2"],
      ["--list-missing", output, "--shard", "1/2"],
    ];
    for (const args of wrong) {
      const { code, stdout, stderr } = await check(folder, ...args);
      expect([code, stdout, stderr.trimEnd().split("\n").length]).toEqual([2, "", 1]);
    }
    rmSync(join(folder, "annos/nuScenes_val.json"));
    const self = await check(folder, "--write-clean", join(folder, "annos/nuScenes.json"), "--force");
    expect([self.code, self.stderr]).toEqual([2, expect.stringContaining("there is no annotation file")]);
  });
});
