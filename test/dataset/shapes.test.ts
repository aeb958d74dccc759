/** Reports and lists of videos with values of other kinds than expected: each is one error that names file and field. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readMeta } from "../../src/dataset/opendv/meta.js";
import { mergeReports } from "../../src/dataset/report/merge.js";
import type { Report } from "../../src/dataset/report/report.js";
import { temporaryFolder } from "../helpers/state.js";

const report = (changes: Record<string, unknown>) =>
  ({
    format: "vista-data report 1",
    version: "0.1.0",
    root: ".",
    verdict: "clean",
    counts: { error: 0, warning: 0, note: 0 },
    parts: [
      {
        kind: "nuscenes",
        title: "t",
        root: ".",
        coverage: [{ what: "tables", checked: 13, total: 13 }],
        interrupted: false,
      },
    ],
    options: { maxFindings: 100, ignore: [], check: {} },
    shard: { index: 1, count: 1 },
    rules: [],
    findings: [],
    ignored: {},
    ...changes,
  }) as unknown as Report;

describe("reports", () => {
  const merged = (changes: Record<string, unknown>) =>
    mergeReports([{ path: "report.json", report: report(changes) }]);

  it("a whole one is taken", () => {
    expect(merged({}).verdict).toBe("clean");
  });

  it.each<[string, Record<string, unknown>]>([
    ["parts", { parts: null }],
    [
      "parts",
      { parts: [{ kind: "nuscenes", title: "t", root: ".", coverage: [undefined], interrupted: false }] },
    ],
    ["findings", { findings: {} }],
    ["findings", { findings: [{ rule: "nuscenes/empty-file", path: 3, message: "m", severity: "error" }] }],
    ["rules", { rules: [{ code: "no/such-rule" }] }],
    ["options", { options: [] }],
    ["ignored", { ignored: { a: "many" } }],
    ["shard", { shard: { index: 1, count: 2 ** 53 } }],
    ["counts", { counts: JSON.parse('{"__proto__": {"error": 0, "warning": 0, "note": 0}}') }],
  ])("one whose %s is something else is refused by that name", (name, changes) => {
    expect(() => merged(changes)).toThrow(`report.json: this is no whole report: \`${name}\``);
  });
});

it("a list of videos whose cells are lists and mappings is read as far as it goes", async () => {
  const path = join(temporaryFolder(), "meta.json");
  const deep = `${"[".repeat(20)}${"]".repeat(20)}`;
  writeFileSync(
    path,
    `[{"videoid": {"toString": 1}, "split": ${deep}, "subset": {"valueOf": null}, "youtuber": []}]`,
  );
  const meta = await readMeta(path);
  expect(meta.problems.length + meta.videos.length).toBeGreaterThan(0);
});
