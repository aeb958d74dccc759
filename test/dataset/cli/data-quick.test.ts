/** `vista-data check --quick` as a user runs it. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Report } from "../../../src/dataset/report/report.js";
import { runCli } from "../../helpers/cli.js";
import { newFolder, removeFolders } from "../opendv/support.js";

afterAll(removeFolders);

const name = (frame: number) => `${String(frame).padStart(9, "0")}.jpg`;
let root: string;

beforeAll(() => {
  root = newFolder();
  mkdirSync(join(root, "annos"));
  const records: object[] = [];
  for (const video of ["a", "b", "c"]) {
    mkdirSync(join(root, "data/YouTube/Driver", video), { recursive: true });
    for (let i = 0; i < 200; i++) writeFileSync(join(root, "data/YouTube/Driver", video, name(i)), "");
    for (let i = 0; i < 176; i++) records.push({ folder_name: `Driver/${video}`, first_frame: name(i) });
  }
  writeFileSync(join(root, "annos/YouTube.json"), JSON.stringify(records));
});

const check = (...args: string[]) => runCli("vista-data", ["check", root, ...args]);

test("a clean set: exit code 0, and a verdict that says it rests on a sample", async () => {
  const { code, stdout, stderr } = await check("--quick");
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain(
    "Verdict: seen in part (frames of 400 of 528 records of annos/YouTube.json (seed 0) and the last one of 3 folders), not looked at: sizes and contents of the frames that annotations name: nothing found in what was looked at.",
  );
  // Empty files are no images, which is not what the quick form looks at; the whole check does.
  expect((await check()).code).toBe(1);
});

test("--annos takes a pattern in quotes, as the statistics do; one that matches nothing is an error", async () => {
  const folder = newFolder();
  for (const file of ["a.json", "b.json"])
    writeFileSync(join(folder, file), `[{"folder_name": "Driver/${file[0]}", "first_frame": "${name(0)}"}]`);
  const pattern = join(folder, "*.json");
  const { stdout } = await check("--quick", "--json", "--annos", pattern);
  const [part] = (JSON.parse(stdout) as Report).parts;
  expect(part!.annotations!.map(({ records }) => records)).toEqual([528, 1, 1]);
  const counted = await runCli("vista-data", ["stats", root, "--json", "--annos", pattern]);
  expect(JSON.parse(counted.stdout).youtube).toMatchObject([{ clips: 528 }, { clips: 1 }, { clips: 1 }]);
  const { code, stderr } = await check("--annos", join(folder, "*.txt"));
  expect([code, stderr]).toEqual([1, expect.stringContaining("no file or folder matches this pattern")]);
});

test("--sample and --seed choose the records; as many as there are leave nothing to say", async () => {
  const { stdout } = await check("--quick", "--sample", "10", "--seed", "3");
  expect(stdout).toContain("frames of 10 of 528 records of annos/YouTube.json (seed 3)");
  expect((await check("--quick", "--sample", "528")).stdout).toMatch(/Verdict: all seen.*: clean\./);
});

test("a fault: exit code 1, in JSON with what was looked at", async () => {
  const frame = join(root, "data/YouTube/Driver/c", name(199));
  rmSync(frame);
  const { code, stdout } = await check("--quick", "--json");
  writeFileSync(frame, "");
  const report = JSON.parse(stdout) as Report;
  expect(code).toBe(1);
  expect(report.findings.map((one) => one.rule)).toEqual(["annos/past-end"]);
  expect(report.parts.map((part) => part.kind)).toEqual(["annotations"]);
  expect(report.parts[0]!.annotations![0]!.quick).toMatchObject({ total: 528, sampled: 0 });
});

test("a file that a worker thread reads", async () => {
  // 20,000 records of one video and blanks, 36 MB.
  const records = Array.from({ length: 20_000 }, (_, i) =>
    `{"folder_name": "Driver/a", "first_frame": "${name(i)}"}`.padStart(1800),
  );
  const file = join(root, "large.json");
  writeFileSync(file, `[${records.join(", ")}]`);
  const { code, stdout } = await check("--quick", "--json", "--annos", file, "--ignore", "annos/past-end");
  rmSync(file);
  const report = JSON.parse(stdout) as Report;
  expect(code).toBe(1);
  const large = report.parts[0]!.annotations!.find((each) => each.path === "large.json")!;
  expect(large.quick!.frames).toMatchObject({ records: 400, folders: 1 });
  expect(large.quick!.frames!.missing).toBeGreaterThan(390);
});

test.each([
  [["--quick", "--kind", "nuscenes"], "--kind nuscenes is about something else"],
  [["--quick", "--decode"], "--decode is about something else"],
  [["--quick", "--tables-only"], "--tables-only is about something else"],
  [["--quick", "--sample", "all"], "a sample"],
])("wrong usage: %j", async (args, message) => {
  const { code, stdout, stderr } = await check(...args);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(message);
});

test.each([
  [["--tables-only"], "--tables-only is about nuScenes, and no nuScenes tables are looked at here"],
  [["--version", "v1.0-mini"], "--version is about nuScenes"],
  [["--kind", "annotations", "--index", "x.index"], "--index is about OpenDV-YouTube"],
  [["--images", "names", "--decode"], "--images names and --decode contradict one another"],
  [["--images", "names", "--sample", "5"], "--images names and --sample contradict one another"],
  [["--tables-only", "--budget", "5s"], "--tables-only and --budget contradict one another"],
  [["--tables-only", "--list-missing", "m.txt"], "--list-missing needs the whole check"],
  [["--annos", ""], "what follows --annos is empty"],
])(
  "no verdict where options leave nothing to look at, or contradict one another: %j",
  async (args, message) => {
    const { code, stdout, stderr } = await check(...args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
  },
);

test("a shard with nothing of its own is not called clean", async () => {
  const { code, stdout } = await check("--kind", "annotations", "--shard", "2/2");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^Verdict: part 2 of 2, nothing seen, .*: nothing found in what was looked at\.$/m);
});

test("no annotation files: said in one line", async () => {
  const empty = newFolder();
  const { code, stderr } = await runCli("vista-data", ["check", empty, "--quick"]);
  expect(code).toBe(1);
  expect(stderr).toContain("no annotation files here. Name a folder with annos/nuScenes.json");
});
