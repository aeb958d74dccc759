/** One key of one row changed to another row that is there: one finding, under one rule, at the row that was changed. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findingsOf, type Row, Sets, type TestSet, VERSION } from "./set.js";

const sets = new Sets();
let made: TestSet[];

beforeAll(async () => {
  // Scenes of few samples and instances of few boxes: strays at ends, in chains of two, and alone.
  const forms = [
    { scenes: 3, samples: 4, boxes: 3 },
    { scenes: 4, samples: 2, boxes: 2 },
    { scenes: 2, samples: 6, boxes: 3 },
  ];
  made = await Promise.all(forms.map((form, seed) => sets.make({ ...form, seed, files: "none" })));
});
afterAll(() => sets.clear());

/** Table and key, and the rules that it may fall under. */
const KEYS: [table: string, key: string, rules: RegExp][] = [
  ["sample", "scene_token", /chain-crosses/],
  ["sample", "next", /chain-(crosses|asymmetric)/],
  ["sample", "prev", /chain-(crosses|asymmetric)/],
  ["sample_data", "next", /chain-(crosses|asymmetric)/],
  ["sample_data", "prev", /chain-(crosses|asymmetric)/],
  ["sample_annotation", "instance_token", /chain-crosses/],
  ["sample_annotation", "next", /chain-(crosses|asymmetric)/],
  ["sample_annotation", "prev", /chain-(crosses|asymmetric)/],
  ["scene", "first_sample_token", /wrong-first-last/],
  ["scene", "last_sample_token", /wrong-first-last/],
  ["instance", "first_annotation_token", /wrong-first-last/],
  ["instance", "last_annotation_token", /wrong-first-last/],
]; // biome-ignore format: a table

const ROWS = 4;

describe.each(KEYS)("%s.%s", (table, key, rules) => {
  it("is one finding, whatever row it names instead", async () => {
    let planted = 0;
    for (const [form, set] of made.entries()) {
      const file = set.path(VERSION, `${table}.json`);
      const text = readFileSync(file, "utf8");
      for (let i = 0; i < ROWS; i++) {
        const rows: Row[] = JSON.parse(text);
        const row = rows[(i * 7919 + form) % rows.length]!;
        const others = [...new Set(rows.map((each) => each[key]))].filter(
          (token) => token !== "" && token !== row[key],
        );
        if (others.length === 0) continue;
        row[key] = others[(i * 31) % others.length];
        writeFileSync(file, JSON.stringify(rows));
        const { findings } = await findingsOf(set.root, { tablesOnly: true });
        const found = findings.map((each) => `${each.rule} ${each.path} ${each.record}`);
        expect(found, `set ${form}, row ${row.token}`).toEqual([
          expect.stringMatching(`^nuscenes/${rules.source} ${VERSION}/${table}.json ${row.token}$`),
        ]);
        planted++;
      }
      writeFileSync(file, text);
    }
    expect(planted).toBeGreaterThan(ROWS);
  });
});
