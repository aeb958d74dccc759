/** The devkit as judge: it loads what we call clean, and what it cannot load we call broken. */
import { readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COLOURED_CATEGORIES } from "../../../src/dataset/nuscenes/check/labels.js";
import { findingsOf, Sets, type TestSet, VERSION } from "../../dataset/nuscenes/set.js";
import { runPython } from "../python.js";

const sets = new Sets();
let clean: TestSet;
let labelled: TestSet;

beforeAll(async () => {
  clean = await sets.make();
  labelled = await sets.make({ lidarseg: true, seed: 3 });
});
afterAll(() => sets.clear());

interface Verdict {
  error?: string;
  counts?: Record<string, number>;
  /** Whether scripts/assert_download.py's own function accepts the files. */
  download?: string;
  classes?: [number, number, boolean];
}

/** Loads each root with the devkit, in one process, and says what came of it. */
async function devkit(roots: readonly string[]): Promise<Verdict[]> {
  const script = `
import json, sys
from nuscenes.nuscenes import NuScenes
from nuscenes.tests.assert_download import verify_setup

out = []
for root in json.loads(sys.argv[1]):
    try:
        n = NuScenes(version="${VERSION}", dataroot=root, verbose=False)
        for sample in n.sample:
            n.get_sample_data(sample["data"]["CAM_FRONT"])
    except Exception as e:
        out.append({"error": type(e).__name__})
        continue
    verdict = {"counts": {t: len(getattr(n, t)) for t in n.table_names}}
    try:
        verify_setup(n)
        verdict["download"] = "complete"
    except AssertionError:
        verdict["download"] = "incomplete"
    if hasattr(n, "lidarseg"):
        names = list(n.colormap.keys())
        order = all(names[i] == name for name, i in n.lidarseg_name2idx_mapping.items())
        verdict["classes"] = [len(n.lidarseg_idx2name_mapping), len(n.colormap), order]
    out.append(verdict)
print("RESULT" + json.dumps(out))
`;
  const stdout = await runPython("data", ["-c", script, JSON.stringify(roots)]);
  return JSON.parse(stdout.slice(stdout.indexOf("RESULT") + 6));
}

describe("a generated set", () => {
  it("loads in the devkit, with all its files, and passes the checks of the devkit's own tests", async () => {
    const [plain, labels] = await devkit([clean.root, labelled.root]);
    expect(plain!.error).toBeUndefined();
    expect(plain!.download).toBe("complete");
    for (const [table, count] of Object.entries(plain!.counts!))
      expect(clean.rows(table)).toHaveLength(count);
    expect(labels!.counts!.lidarseg).toBe(labelled.rows("lidarseg").length);
    // test_lidarseg.py: 32 classes, as many colours, in the order of their numbers.
    expect(labels!.classes).toEqual([32, 32, true]);
    for (const set of [clean, labelled]) expect((await findingsOf(set.root)).findings).toEqual([]);
  });
});

/** What makes the devkit fail, at loading or at the first look at a sample, and the rule under which we say so. */
const BREAKS: [rule: string, labels: boolean, plant: (set: TestSet) => unknown][] = [
  ["missing-table", false, (set) => rmSync(set.path(VERSION, "attribute.json"))],
  ["bad-json", false, (set) => truncateSync(set.path(VERSION, "sample_data.json"), 3000)],
  [
    "bad-json",
    false,
    (set) => {
      const file = set.path(VERSION, "log.json");
      writeFileSync(file, `\ufeff${readFileSync(file, "utf8")}`);
    },
  ],
  ["bad-json", false, (set) => writeFileSync(set.path(VERSION, "image_annotations.json"), '[{"a": 1')],
  ["empty-table", false, (set) => set.edit("category", () => [])],
  ["empty-table", false, (set) => set.edit("instance", () => [])],
  ["dangling-token", false, (set) => set.edit("sensor", (rows) => rows.slice(1))],
  ["dangling-token", false, (set) => set.edit("calibrated_sensor", (rows) => rows.slice(1))],
  ["dangling-token", false, (set) => set.edit("sample", (rows) => rows.slice(1))],
  ["dangling-token", false, (set) => set.edit("instance", (rows) => rows.slice(1))],
  [
    "log-without-map",
    false,
    (set) => set.edit("map", (rows) => rows.map((row) => ({ ...row, log_tokens: [] }))),
  ],
  ["missing-map", false, (set) => rmSync(set.path("maps"), { recursive: true })],
  [
    "wrong-type",
    false,
    (set) => set.edit("sample_data", (rows) => void delete rows[0]!.calibrated_sensor_token),
  ],
  [
    "keyframe-missing",
    false,
    (set) =>
      set.edit("sample_data", (rows) => {
        rows.find((row) => row.is_key_frame && row.filename.includes("CAM_FRONT"))!.is_key_frame = false;
      }),
  ],
  ["category-index", true, (set) => set.edit("category", (rows) => void delete rows[0]!.index)],
  [
    "category-index",
    true,
    (set) =>
      set.edit("category", (rows) => {
        rows[0]!.name = "vehicle.spaceship";
      }),
  ],
  ["labels-unlisted", true, (set) => writeFileSync(set.path("lidarseg", VERSION, "0_lidarseg.bin"), "")],
  ["labels-unlisted", true, (set) => set.edit("lidarseg", () => [])],
  [
    "missing-file",
    true,
    (set) => {
      set.edit("lidarseg", () => []);
      rmSync(set.path("lidarseg"), { recursive: true });
    },
  ],
  [
    "missing-file",
    true,
    (set) => {
      renameSync(set.path("lidarseg", VERSION), set.path("lidarseg/other"));
      set.edit("lidarseg", (rows) => {
        for (const row of rows) row.filename = row.filename.replace(VERSION, "other");
      });
    },
  ],
  [
    "duplicate-file",
    true,
    (set) =>
      set.edit("lidarseg", (rows) => {
        rmSync(set.path(rows[1]!.filename));
        rows[1]!.filename = rows[0]!.filename;
      }),
  ],
];

it("the devkit has colours for the categories that we know", async () => {
  const script =
    "import json; from nuscenes.utils.color_map import get_colormap; print(json.dumps(list(get_colormap())))";
  expect(JSON.parse(await runPython("data", ["-c", script]))).toEqual([...COLOURED_CATEGORIES]);
});

/** Changes the text of all tables. */
function rewrite(set: TestSet, change: (text: string) => string): void {
  for (const name of readdirSync(set.path(VERSION))) {
    const file = set.path(VERSION, name);
    writeFileSync(file, change(readFileSync(file, "utf8")));
  }
}

/** Gives all rows other tokens. */
function retoken(set: TestSet, change: (token: string) => string): void {
  rewrite(set, (text) =>
    text.replace(/"[0-9a-f]{32}"/g, (token) => JSON.stringify(change(token.slice(1, -1)))),
  );
}

/** What the devkit takes without a word, and we take as well. */
const HARMLESS: ((set: TestSet) => unknown)[] = [
  (set) => set.edit("sample_data", (rows) => rows.reverse()),
  (set) => set.edit("ego_pose", (rows) => rows, 4),
  (set) => set.edit("sample_annotation", (rows) => rows.map((row) => ({ ...row, visibility_token: "" }))),
  (set) => set.edit("sensor", (rows) => rows.map((row) => ({ ...row, note: 'é "quoted" \\ {}[]' }))),
  (set) => rewrite(set, (text) => text.replaceAll("\n", "\r\n")),
  (set) => rewrite(set, (text) => text.replaceAll("\n", "\r")),
  (set) => rewrite(set, (text) => text.replaceAll('"token": "', '"token": "another",\n"token": "')),
  (set) => rewrite(set, (text) => text.replace(/"timestamp": (\d+)/g, '"timestamp": $1.0')),
  (set) => retoken(set, (token) => token.toUpperCase()),
  (set) => retoken(set, (token) => token.slice(0, 9)),
  (set) => retoken(set, (token) => token + token),
  (set) => retoken(set, (token) => `${token.slice(0, 8)}-${token.slice(8)}`),
  (set) => retoken(set, (token) => `🚗${token}`),
  (set) =>
    set.edit("scene", (rows) => rows.map((row) => ({ ...row, description: "雨 \u2028", extra: [[{}]] }))),
  (set) =>
    set.edit("ego_pose", (rows) =>
      rows.map((row) => ({ ...row, rotation: row.rotation.map((x: number) => x * 2) })),
    ),
  (set) => set.edit("map", (rows) => [...rows, { ...rows[0], token: "d".repeat(32) }]),
  (set) =>
    set.edit("sample_data", (rows) => rows.map((row) => ({ ...row, filename: set.path(row.filename) }))),
  (set) =>
    set.edit("sample_data", (rows) =>
      rows.map((row) => ({ ...row, filename: `samples/..//${row.filename}` })),
    ),
  (set) => {
    for (const name of ["attribute", "visibility"]) set.edit(name, () => []);
    set.edit("sample_annotation", (rows) =>
      rows.map((row) => ({ ...row, attribute_tokens: [], visibility_token: "" })),
    );
  },
];

it("what the devkit cannot use is an error here, and under the right rule", async () => {
  const broken = BREAKS.map(([, labels, plant]) => {
    const set = sets.copy(labels ? labelled : clean);
    plant(set);
    return set;
  });
  const verdicts = await devkit(broken.map((set) => set.root));
  for (const [i, set] of broken.entries()) {
    const rule = BREAKS[i]![0];
    const { findings } = await findingsOf(set.root);
    const errors = findings.filter((each) => each.severity === "error").map((each) => each.rule);
    expect(errors, rule).toContain(`nuscenes/${rule}`);
    expect(verdicts[i]!.error, `${rule} (${i})`).toBeDefined();
  }
});

it("what the devkit does not mind is no finding", async () => {
  const sound = HARMLESS.map((plant) => {
    const set = sets.copy(clean);
    plant(set);
    return set;
  });
  for (const verdict of await devkit(sound.map((set) => set.root))) expect(verdict.error).toBeUndefined();
  for (const set of sound) expect((await findingsOf(set.root)).findings).toEqual([]);
});
