/** An output whose name says another format than it would have is wrong usage, told before any work is done. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { newFolder, removeFolders } from "../opendv/support.js";

afterAll(removeFolders);

const WRONG: [args: string[], name: string, hint: string][] = [
  [["check", "--report"], "report.txt", ".html or .htm"],
  [["check", "--sarif"], "report.html", ".sarif or .json"],
  [["check", "--ndjson"], "findings.json", ".ndjson or .jsonl"],
  [["check", "--list-missing"], "missing.html", ".txt or .tsv"],
  [["check", "--write-clean"], "clean", ".json"],
  [["merge-reports", "shard.json", "--report"], "report.pdf", ".html or .htm"],
  [["index", "-o"], "index.json", ".index"],
  [["annos", "nuscenes", "-o"], "nuScenes.yaml", ".json"],
  [["annos", "youtube", "-o"], "YouTube.csv", ".json"],
  [["preview", "clip", "-o"], "sheet.jpg", ".png"],
];

it.each(WRONG)("%j %s", async (args, name, hint) => {
  const folder = newFolder();
  // What `index` takes for a set.
  mkdirSync(join(folder, "full_images/Someone/dQw4w9WgXcQ"), { recursive: true });
  const { code, stdout, stderr } = await runCli("vista-data", [...args, name], { cwd: folder });
  expect(stderr).toMatch(/^vista-data: [^\n]*and this output has another name\. [^\n]*\n$/);
  expect(stderr).toContain(`${name}: `);
  expect(stderr).toContain(`Name an output that ends in ${hint}.`);
  expect([code, stdout]).toEqual([2, ""]);
  expect(readdirSync(folder)).toEqual(["full_images"]);
});

it("a path below a file, or with a name that is too long, is a line that says so", async () => {
  const folder = newFolder();
  mkdirSync(join(folder, "full_images/Someone/dQw4w9WgXcQ"), { recursive: true });
  writeFileSync(join(folder, "file"), "");
  for (const path of ["file/x", "x".repeat(300)]) {
    const output = await runCli("vista-data", ["check", ".", "--report", path], { cwd: folder });
    expect([output.code, output.stderr]).toEqual([2, expect.stringMatching(/another name/)]);
    const input = await runCli("vista-data", ["check", ".", "--annos", path], { cwd: folder });
    expect([input.code, input.stdout]).toEqual([
      1,
      expect.stringMatching(/cannot be read \((?:ENOTDIR|ENAMETOOLONG)\)/),
    ]);
    for (const { stderr } of [output, input]) expect(stderr).not.toMatch(/internal error/);
    expect(input.stdout).toMatch(/Verdict: seen in part \(annotation files: 0 of 1, 0\.0 %\)/);
  }
});
