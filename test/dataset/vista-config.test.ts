/** The planted-fault matrix of Vista's own config: each fault named by its rule alone, each near miss by nothing. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { AnnotationTally } from "../../src/dataset/finding.js";
import { configFindings, readVistaConfig } from "../../src/dataset/vista-config.js";
import { VISTA_RULES } from "../../src/dataset/vista-rules.js";
import { newFolder, removeFolders } from "./opendv/support.js";

afterAll(removeFolders);

const EVERYTHING = ["data/nuscenes", "data/YouTube", "annos/nuScenes.json", "annos/YouTube.json"];

interface Plant {
  /** Lines of `data.params`. */
  params: string[];
  /** What is there below Vista's folder. Default: all of it. */
  there?: string[];
  /** Records of annos/nuScenes.json that would fail, of ten. */
  unusable?: number;
  /** Those of them on which the data set class raises. */
  stopping?: number;
  /** The annotation file as the check names it. */
  tally?: string;
}

async function found(plant: Plant) {
  const { params, there = EVERYTHING, unusable = 0, stopping = 0, tally = "annos/nuScenes.json" } = plant;
  const file = join(newFolder(), "config.yaml");
  const lines = params.map((line) => `    ${line}\n`).join("");
  writeFileSync(file, `model:\n  num_frames: &num_frames 25\ndata:\n  params:\n${lines}`);
  const one: AnnotationTally = { path: tally, subset: "NuScenes", records: 10, unusable };
  if (stopping > 0) one.stopping = { records: stopping, first: "record 4" };
  return [...configFindings(await readVistaConfig(file), (path) => there.includes(path), [one])];
}

const both = "subsets: [YouTube, NuScenes]";
const without = (path: string) => EVERYTHING.filter((each) => each !== path);

const FAULTS: [rule: keyof typeof VISTA_RULES, name: string, plant: Plant, message: RegExp][] = [
  ["subset-unknown", "in another spelling", { params: ["subsets: [nuScenes]"] }, /"nuScenes" is neither/],
  ["subset-missing", "its data", { params: [both], there: without("data/YouTube") }, /^data\/YouTube: not there/],
  [
    "subset-missing",
    "its annotations",
    { params: [both], there: without("annos/nuScenes.json") },
    /^annos\/nuScenes.json: not there/,
  ],
  ["subset-unusable", "all samples", { params: [both], unusable: 10 }, /10 of 10 samples/],
  ["subset-stops", "one record", { params: [both], unusable: 1, stopping: 1 }, /nuScenes.json, record 4: a field/],
  ["subset-stops", "all of them", { params: [both], unusable: 10, stopping: 10 }, /record 4 and 9 more: a field/],
  ["samples-skipped", "one sample", { params: [both], unusable: 1 }, /1 of 10 samples/],
  ["samples-skipped", "all samples but one", { params: [both], unusable: 9 }, /9 of 10 samples/],
  [
    "samples-skipped",
    "in a folder below the one that the check was started for",
    { params: [both], unusable: 1, tally: "Vista/annos/nuScenes.json" },
    /1 of 10 samples/,
  ],
  ["probs-mismatch", "one too few", { params: [both, "probs: [1]"] }, /2 subsets, but 1 probs/],
  ["probs-mismatch", "one too many", { params: [both, "probs: [1, 1, 0]"] }, /2 subsets, but 3 probs/],
  ["size-not-64", "the height", { params: [both, "target_height: 360"] }, /target_height 360/],
  ["size-not-64", "the width", { params: [both, "target_width: 608"] }, /target_width 608/],
  ["batch-size", "two clips of nuScenes", { params: [both, "batch_size: 2"] }, /batch_size is 2: .*KeyError/],
  ["too-many-frames", "one too many", { params: [both, "num_frames: 26"] }, /num_frames is 26/],
]; // biome-ignore format: a table

const NEAR_MISSES: [rule: keyof typeof VISTA_RULES, name: string, plant: Plant][] = [
  ["subset-unknown", "a subset twice, in quotes", { params: [`subsets: ["NuScenes", 'NuScenes']`] }],
  [
    "subset-missing",
    "what belongs to a subset that the config does not name",
    { params: ["subsets:", "- NuScenes"], there: ["data/nuscenes", "annos/nuScenes.json"] },
  ],
  ["subset-unusable", "no sample would fail", { params: [both] }],
  [
    "subset-stops",
    "in the validation file, which training does not read",
    { params: [both], unusable: 1, stopping: 1, tally: "annos/nuScenes_val.json" },
  ],
  [
    "samples-skipped",
    "the validation file, which training does not read",
    { params: [both], unusable: 10, tally: "annos/nuScenes_val.json" },
  ],
  [
    "samples-skipped",
    "a subset that the config does not name",
    { params: ["subsets: [YouTube]"], unusable: 10 },
  ],
  ["probs-mismatch", "as many, of unequal weight", { params: [both, "probs: [0.9, 3]"] }],
  ["probs-mismatch", "none: the loader weighs by size", { params: [both, "probs: null"] }],
  [
    "size-not-64",
    "the sizes of Vista's configs",
    { params: [both, "target_height: 576", "target_width: 1024"] },
  ],
  ["size-not-64", "the smallest multiple", { params: [both, "target_height: 64", "target_width: 64"] }],
  ["batch-size", "one", { params: [both, "batch_size: 1"] }],
  ["batch-size", "videos only, which have no actions", { params: ["subsets: [YouTube]", "batch_size: 8"] }],
  ["too-many-frames", "as many as there are, by an anchor", { params: [both, "num_frames: *num_frames"] }],
  [
    "too-many-frames",
    "more, of videos only: their clips are as long as one likes",
    { params: ["subsets: [YouTube]", "num_frames: 26"] },
  ],
];

test.each(FAULTS)("%s: %s", async (rule, _name, plant, message) => {
  const findings = await found(plant);
  expect(findings.map((each) => [each.rule, each.severity])).toEqual([[`vista/${rule}`, "error"]]);
  expect(findings[0]!.message).toMatch(message);
});

test.each(NEAR_MISSES)("%s, near miss: %s", async (_rule, _name, plant) => {
  expect(await found(plant)).toEqual([]);
});

test.each([
  ["faults", FAULTS],
  ["near misses", NEAR_MISSES],
])("every rule is among the %s", (_, cases: readonly (readonly [string, ...unknown[]])[]) => {
  expect([...new Set(cases.map(([rule]) => rule))].sort()).toEqual(Object.keys(VISTA_RULES).sort());
});

test.each([
  ["an alias to nothing", "a: *nothing"],
  ["a merge of nothing", "a:\n  <<: *nothing"],
  ["a merge of no mapping", "a:\n  <<: [1]"],
  ["an alias to itself", "a: &a [*a]"],
  ["a mapping for a key", "? {b: 1}\n: 2"],
  ["lists nested ten thousand deep", `a: ${"[".repeat(10_000)}`],
])("YAML with %s is one clear error, not one of the library's own", async (_, text) => {
  const file = join(newFolder(), "config.yaml");
  writeFileSync(file, text);
  await expect(readVistaConfig(file)).rejects.toMatchObject({
    name: "VistaError",
    code: "FORMAT",
    message: expect.not.stringContaining("internal error"),
  });
});

test("a file that is no config of Vista's is one clear error", async () => {
  const file = join(newFolder(), "config.yaml");
  const error = (text: string) => {
    writeFileSync(file, text);
    return readVistaConfig(file);
  };
  await expect(error("a: [1")).rejects.toThrow(/not YAML/);
  await expect(error("data:\n  params:\n    subsets: NuScenes\n")).rejects.toThrow(
    /no list data.params.subsets/,
  );
  await expect(error("data:\n  params:\n")).rejects.toThrow(/no list data.params.subsets/);
  await expect(error("")).rejects.toThrow(/no list data.params.subsets/);
  for (const setting of [
    "num_frames: 0",
    "num_frames: -0",
    "batch_size: 0.5",
    "target_height: -64",
    "target_width: 1e400",
  ])
    await expect(error(`data:\n  params:\n    subsets: [NuScenes]\n    ${setting}\n`)).rejects.toThrow(
      /not a whole number from 1 on/,
    );
  await expect(error("data:\n  params:\n    subsets: [NuScenes]\n    num_frames: many\n")).rejects.toThrow(
    /num_frames is "many", not a whole number from 1 on/,
  );
});
