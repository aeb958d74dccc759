import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Finding } from "../../../src/dataset/finding.js";
import { compareFindings } from "../../../src/dataset/report/report.js";
import { SortedFindings } from "../../../src/dataset/report/sorted-findings.js";
import { temporaryFolder } from "../../helpers/state.js";

/** The same on every run. */
function* numbers(): Generator<number> {
  for (let state = 1; ; state = (state * 48271) % 2147483647) yield state;
}

it("more findings than are kept in memory come out in the order of reports, and no file is left", () => {
  const random = numbers();
  const next = (below: number) => (random.next().value as number) % below;
  const findings = Array.from(
    { length: 3001 },
    (_, i): Finding => ({
      rule: ["nuscenes/dangling-token", "opendv/gap", "annos/frame-missing"][next(3)]!,
      severity: "error",
      path: `folder ${next(5)}/ä${next(9)}`,
      // Some lines longer than a block.
      message: `${next(20)} ${i % 500 === 0 ? "long ".repeat(30_000) : ""}`,
    }),
  );
  const expected = [...findings].sort(compareFindings).map((finding) => JSON.stringify(finding));
  const folder = temporaryFolder();
  for (const size of [1, 100, 3001, 10_000]) {
    const sorted = new SortedFindings(join(folder, "out.ndjson"), size);
    for (const finding of size === 1 ? findings.slice(0, 200) : findings) sorted.add(finding);
    expect(readdirSync(folder)).toEqual([]);
    const lines = [...sorted.lines()].join("").trimEnd().split("\n");
    sorted.close();
    if (size > 1) expect(lines).toEqual(expected);
    else
      expect(lines).toEqual([...findings.slice(0, 200)].sort(compareFindings).map((f) => JSON.stringify(f)));
  }
});

it("a folder that is not there is an error with its path", () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "a"));
  const sorted = new SortedFindings(join(folder, "b", "out.ndjson"), 1);
  const finding: Finding = { rule: "opendv/gap", severity: "error", path: "a", message: "b" };
  expect(() => sorted.add(finding)).toThrow(/out\.ndjson: cannot write/);
});
