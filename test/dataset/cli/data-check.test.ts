/** `vista-data check` and `merge-reports` as a user runs them. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CHANNELS } from "../../../bench/make-nuscenes.mjs";
import { makeOpenDv } from "../../../bench/make-opendv.mjs";
import type { Finding } from "../../../src/dataset/finding.js";
import type { Report } from "../../../src/dataset/report/report.js";
import { type CliResult, runCli } from "../../helpers/cli.js";
import { signalAt } from "../../helpers/signal-at.js";
import { temporaryFolder } from "../../helpers/state.js";
import { Sets, type TestSet, VERSION } from "../nuscenes/set.js";

const sets = new Sets();
let clean: TestSet;
let broken: TestSet;
/** Large enough that worker threads read it. */
let large: TestSet;

const check = (args: string[], options = {}): Promise<CliResult> =>
  runCli("vista-data", ["check", ...args], options);

beforeAll(async () => {
  clean = await sets.make();
  broken = sets.copy(clean);
  broken.edit("sample", (rows) => {
    rows[0]!.next = "f".repeat(32);
  });
  broken.edit("instance", (rows) => {
    for (const row of rows) row.nbr_annotations += 1;
  });
  const pictures = readdirSync(broken.path("sweeps/CAM_FRONT")).sort();
  for (const name of pictures.slice(0, 5)) rmSync(broken.path("sweeps/CAM_FRONT", name));
  for (const name of pictures.slice(6, 9)) truncateSync(broken.path("sweeps/CAM_FRONT", name), 700);
  writeFileSync(broken.path("sweeps/LIDAR_TOP/other.pcd.bin"), "x");
  rmSync(broken.path("can_bus/scene-0061_vehicle_monitor.json"));
  large = await sets.make({ scenes: 5, samples: 40, boxes: 2, files: "none", channels: CHANNELS });
  large.stretch("sample_data", 33 << 20);
});
afterAll(() => sets.clear());

describe("explain", () => {
  it("prints a rule's page; for what is no rule it names those that are close", async () => {
    const { code, stdout } = await runCli("vista-data", ["explain", "annos/past-end"]);
    expect([code, stdout]).toEqual([0, readFileSync("docs/rules/annos-past-end.md", "utf8")]);
    for (const name of ["past-end", "../../package", "annos/../annos/past-end"]) {
      expect(await runCli("vista-data", ["explain", name])).toMatchObject({ code: 2, stdout: "" });
    }
    const { stderr } = await runCli("vista-data", ["explain", "past-end"]);
    expect(stderr).toMatch(/Did you mean .*annos\/past-end\?/);
    for (const name of ["annos-past-end", "annos/past-ende", "anos/past-end"])
      expect((await runCli("vista-data", ["explain", name])).stderr).toMatch(
        /Did you mean annos\/past-end\?/,
      );
    const ofTrain = await runCli("vista-data", ["explain", "train/port-busy"]);
    expect(ofTrain.stderr).toContain("docs/rules-train.md has the rules of vista-train.");
  });
});

describe("exit codes and text", () => {
  it("0 and a verdict for a clean set", async () => {
    const { code, stdout, stderr } = await check([clean.root]);
    expect(stderr).toBe("");
    expect(stdout).toContain("nuScenes v1.0-mini");
    expect(stdout).toMatch(/Verdict: all seen.*: clean\./);
    expect(code).toBe(0);
  });

  it("one level above a nuScenes set: the set, not its maps as frames", async () => {
    const above = join(clean.root, "..", `above-${Date.now()}`);
    mkdirSync(above);
    symlinkSync(clean.root, join(above, "nuscenes"));
    const { code, stdout } = await check([above]);
    rmSync(above, { recursive: true });
    expect(stdout).toMatch(/^nuScenes v1\.0-mini in .*nuscenes\n/);
    expect(stdout).not.toContain("OpenDV");
    expect(code).toBe(0);
  });

  it("says what to name instead of a folder of tables, or of several sets", async () => {
    const tables = await check([clean.path(VERSION)]);
    expect(tables).toMatchObject({ code: 1, stdout: "" });
    expect(tables.stderr).toContain("no data set that is known here. These are the tables of one version");
    const above = join(clean.root, "..", `several-${Date.now()}`);
    mkdirSync(above);
    for (const name of ["mini", "full"]) symlinkSync(clean.root, join(above, name));
    const several = await check([above]);
    rmSync(above, { recursive: true });
    expect(several).toMatchObject({ code: 1, stdout: "" });
    expect(several.stderr).toContain("several nuScenes sets below it: name one of full, mini.");
  });

  it("1 for errors: summary first, totals last", async () => {
    const { code, stdout } = await check([broken.root]);
    expect(code).toBe(1);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toBe(`nuScenes v1.0-mini in ${broken.root}`);
    expect(lines.at(-1)).toMatch(/^Totals: \d+ errors, 2 warnings under 6 rules\.$/);
    expect(stdout).toContain(
      "error nuscenes/dangling-token: a key names a row that is not there, 1\n  v1.0-mini/sample.json\n",
    );
    expect(stdout).toContain("  sweeps/CAM_FRONT · 5\n");
    expect(stdout).toContain("    … 2 more\n");
  });

  it("--quiet prints the errors alone, on stderr; with --json the object alone", async () => {
    const told = await check([broken.root]);
    const { code, stdout, stderr } = await check([broken.root, "-q"]);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.match(/^\w+ [\w/-]+(?=: )/gm)).toEqual(told.stdout.match(/^error [\w/-]+(?=: )/gm));
    for (const line of stderr.trimEnd().split("\n")) expect(told.stdout.split("\n")).toContain(line);
    expect(await check([clean.root, "-q"])).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect(await check([broken.root, "-q", "--json"])).toMatchObject({ code: 1, stderr: "" });
  });

  it("0 where only warnings and notes are left", async () => {
    const ignore = ["dangling-token", "wrong-count", "missing-file", "truncated-image"].map(
      (rule) => `nuscenes/${rule}`,
    );
    const { code, stdout } = await check([
      "--ignore",
      ignore.slice(1).join(","),
      "--ignore",
      ignore[0]!,
      broken.root,
    ]);
    expect(stdout).toContain("not looked at: pixels of pictures (--decode): no errors (2 warnings).");
    expect(stdout).toContain("Ignored: nuscenes/dangling-token (1)");
    expect(code).toBe(0);
  });

  it("says that a sample is one", async () => {
    const { stdout, code } = await check([clean.root, "--sample", "10", "--seed", "3"]);
    expect(stdout).toMatch(
      /Verdict: seen in part \(.*pictures \(headers\): 10 of \d+, \d+\.\d %\), not looked at: pixels of pictures \(--decode\): nothing found/,
    );
    expect(code).toBe(0);
  });

  it("--tables-only and --version say that OpenDV-YouTube was left out", async () => {
    const root = sets.copy(clean).path("both");
    mkdirSync(join(root, "data"), { recursive: true });
    symlinkSync(clean.root, join(root, "data/nuscenes"));
    await makeOpenDv(join(root, "data/YouTube"), { youtubers: 1, videos: 1, frames: 40 });
    for (const option of [["--tables-only"], ["--version", "v1.0-mini"]]) {
      const { code, stdout } = await check([root, ...option]);
      expect(code).toBe(0);
      expect(stdout).toMatch(
        new RegExp(`^Verdict: .*not looked at: .*OpenDV-YouTube in .*data/YouTube \\(${option[0]}\\)`, "m"),
      );
    }
  });

  it("--tables-only leaves the files alone", async () => {
    const { stdout } = await check([broken.root, "--tables-only", "--json"]);
    const report: Report = JSON.parse(stdout);
    expect(report.rules.map((rule) => rule.code)).toEqual([
      "nuscenes/dangling-token",
      "nuscenes/wrong-count",
    ]);
    expect(report.parts[0]!.coverage.map((each) => each.what)).toEqual(["table rows"]);
  });

  it.each([
    [["--ignore", "nuscenes/nothing"], 2, "there is no such rule"],
    [["--shard", "3/2"], 2, "i/n"],
    [["--shard", "slurm"], 2, "SLURM_ARRAY_TASK_ID is not set"],
    [["--sample", "some"], 2, "whole number"],
    [["--version", "v1.0-test"], 1, "no v1.0-test"],
    [["--config", "no.yaml"], 1, "no such file"],
    [["--report", "/no/such/folder/r.html"], 1, "/no/such/folder"],
  ])("%j is one clear line", async (args, expected, text) => {
    const { code, stdout, stderr } = await check([clean.root, ...args]);
    expect(stderr).toContain(text);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stdout).toBe("");
    expect(code).toBe(expected);
  });

  it("a folder without data says what it looked for", async () => {
    const { code, stderr } = await check([join(clean.root, "can_bus")]);
    expect(stderr).toContain("no data set that is known here. Name a nuScenes root (with v1.0-…)");
    expect(code).toBe(1);
  });
});

describe("outputs", () => {
  it("NDJSON has every finding, JSON the same, SARIF one result for each rule and folder", async () => {
    const folder = sets.copy(clean).path("out");
    mkdirSync(folder);
    const [ndjson, sarif] = [join(folder, "f.ndjson"), join(folder, "f.sarif")];
    const { stdout } = await check([broken.root, "--json", "--ndjson", ndjson, "--sarif", sarif]);
    const report: Report = JSON.parse(stdout);
    const lines: Finding[] = readFileSync(ndjson, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const sorted = (list: Finding[]) => list.map((each) => JSON.stringify(each)).sort();
    expect(sorted(lines)).toEqual(sorted(report.findings));
    expect(report.counts.error + report.counts.warning + report.counts.note).toBe(lines.length);
    const log = JSON.parse(readFileSync(sarif, "utf8"));
    expect(log.version).toBe("2.1.0");
    expect(log.runs[0].results).toHaveLength(report.rules.flatMap((rule) => rule.folders).length);
    expect(log.runs[0].results[0].locations[0].physicalLocation.artifactLocation.uri).toBe(
      "v1.0-mini/sample.json",
    );
    expect(readdirSync(folder).sort()).toEqual(["f.ndjson", "f.sarif"]);
  });

  it("keeps a file that is there", async () => {
    const sarif = sets.copy(clean).path("f.sarif");
    writeFileSync(sarif, "mine");
    const { code, stderr } = await check([clean.root, "--sarif", sarif]);
    expect(code).toBe(1);
    expect(stderr).toContain("already exists");
    expect(readFileSync(sarif, "utf8")).toBe("mine");
  });

  it("--max-findings lists fewer and counts all", async () => {
    const { stdout } = await check([broken.root, "--json", "--max-findings", "2"]);
    const report: Report = JSON.parse(stdout);
    const missing = report.rules.find((rule) => rule.code === "nuscenes/missing-file")!;
    expect(missing.findings).toBe(5);
    expect(report.findings.filter((each) => each.rule === missing.code)).toHaveLength(2);
  });
});

describe("shards", () => {
  it.each([2, 5])("%i shards, merged, say byte for byte what one run says", async (count) => {
    const folder = sets.copy(clean).root;
    const args = [broken.root, "--json", "--sample", "20", "--max-findings", "3"];
    const whole = await check(args);
    const files: string[] = [];
    for (let index = count; index >= 1; index--) {
      const file = join(folder, `shard-${index}.json`);
      const { stdout } = await check([...args, "--shard", `${index}/${count}`]);
      writeFileSync(file, stdout);
      files.push(file);
    }
    const merged = await runCli("vista-data", ["merge-reports", ...files, "--json"]);
    expect(merged.stderr).toBe("");
    expect(merged.stdout).toBe(whole.stdout);
    expect(merged.code).toBe(1);
    expect(JSON.parse(merged.stdout).shard).toBeUndefined();
    // No shard did it all.
    for (const file of files)
      expect(JSON.parse(readFileSync(file, "utf8")).findings.length).toBeLessThan(
        JSON.parse(whole.stdout).findings.length,
      );
  });

  it("a set that was seen in part, and nothing found: merged as well", async () => {
    const folder = sets.copy(clean).root;
    const args = [clean.root, "--quiet", "--json", "--sample", "2"];
    const files = [1, 2].map((index) => join(folder, `part-${index}.json`));
    for (const [i, file] of files.entries()) {
      writeFileSync(file, (await check([...args, "--shard", `${i + 1}/2`])).stdout);
    }
    const merged = await runCli("vista-data", ["merge-reports", ...files, "--json"]);
    expect(JSON.parse(merged.stdout).verdict).toBe("clean in part");
    expect(merged.stdout).toBe((await check(args)).stdout);
    expect(merged.code).toBe(0);
  });

  it("writes every form as one run does, byte for byte, and refuses an NDJSON file that would lack findings", async () => {
    const folder = sets.copy(clean).root;
    const forms = (name: string) =>
      ["ndjson", "sarif", "html"].flatMap((form) => [
        `--${form === "html" ? "report" : form}`,
        join(folder, `${name}.${form}`),
      ]);
    const read = (name: string) =>
      // The head of the page says when, where and how the report was made.
      ["ndjson", "sarif", "html"].map((form) =>
        readFileSync(join(folder, `${name}.${form}`), "utf8").replace(/<dl>.*?<\/dl>/s, ""),
      );
    const shards = async (...args: string[]) => {
      const files = [1, 2].map((index) => join(folder, `shard-${index}.json`));
      for (const [i, file] of files.entries()) {
        const { stdout } = await check([broken.root, "--json", ...args, "--shard", `${i + 1}/2`]);
        writeFileSync(file, stdout);
      }
      return files;
    };
    const whole = await check([broken.root, "--max-findings", "0", ...forms("whole")]);
    const files = await shards("--max-findings", "0");
    const merged = await runCli("vista-data", ["merge-reports", ...files.reverse(), ...forms("merged")]);
    expect(merged.stderr).toMatch(/^(vista-data: wrote .*\n){3}$/);
    expect(merged.stdout).toBe(whole.stdout);
    expect(read("merged")).toEqual(read("whole"));
    const lines = read("whole")[0]!.trimEnd().split("\n");
    expect(lines.length).toBe(Number(/Totals: (\d+) errors/.exec(whole.stdout)![1]) + 2);
    expect(new Set(lines).size).toBe(lines.length);

    // One run writes all of them, whatever its report lists; from reports that list fewer this cannot be made.
    await check([broken.root, "--max-findings", "2", ...forms("short")]);
    expect(read("short")[0]).toBe(read("whole")[0]);
    const few = await shards("--max-findings", "2");
    const refused = await runCli("vista-data", ["merge-reports", ...few, ...forms("few")]);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/list 2 of \d+ findings of nuscenes\/\S+ and .*--max-findings 0/);
    expect(readdirSync(folder).filter((name) => name.includes("few"))).toEqual([]);
    const again = await runCli("vista-data", [
      "merge-reports",
      ...few,
      "--sarif",
      join(folder, "whole.sarif"),
    ]);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain("already exists");
  });

  it("a Vista root with nuScenes, OpenDV and annotations, from within it", async () => {
    const root = sets.copy(clean).path("vista");
    mkdirSync(join(root, "data"), { recursive: true });
    mkdirSync(join(root, "annos"));
    renameSync(sets.copy(broken).root, join(root, "data/nuscenes"));
    await makeOpenDv(join(root, "data/YouTube"), { youtubers: 2, videos: 2, frames: 40 });
    writeFileSync(
      join(root, "annos/YouTube.json"),
      '[{"folder_name": "full_images/none", "first_frame": "000000000.jpg"}]',
    );
    for (const more of [[], ["--sample", "60"]]) {
      const args = [".", "--json", ...more];
      const whole = await check(args, { cwd: root });
      const files: string[] = [];
      for (const index of [1, 2, 3]) {
        const file = join(root, `${index}.json`);
        writeFileSync(file, (await check([...args, "--shard", `${index}/3`], { cwd: root })).stdout);
        files.push(file);
      }
      expect(JSON.parse(whole.stdout).parts).toHaveLength(3);
      const merged = await runCli("vista-data", ["merge-reports", ...files, "--json"]);
      expect(merged.stdout).toBe(whole.stdout);
    }
  });

  it("takes index and count from a Slurm array, wherever it starts", async () => {
    const env = {
      SLURM_ARRAY_TASK_ID: "11",
      SLURM_ARRAY_TASK_MIN: "10",
      SLURM_ARRAY_TASK_MAX: "12",
      SLURM_ARRAY_TASK_COUNT: "3",
    };
    const { stdout } = await check([clean.root, "--json", "--shard", "slurm"], { env });
    expect(JSON.parse(stdout).shard).toEqual({ index: 2, count: 3 });
  });

  it("refuses what is not all shards of one check", async () => {
    const folder = sets.copy(clean).root;
    const write = async (name: string, args: string[]) => {
      const file = join(folder, name);
      writeFileSync(file, (await check([clean.root, "--json", ...args])).stdout);
      return file;
    };
    const [one, two] = [await write("1.json", ["--shard", "1/2"]), await write("2.json", ["--shard", "2/2"])];
    const other = await write("3.json", ["--shard", "2/2", "--seed", "1"]);
    const whole = await write("4.json", []);
    const merge = async (...files: string[]) =>
      (await runCli("vista-data", ["merge-reports", ...files])).stderr;
    expect(await merge(one)).toContain("of 2 shards, 1 is missing: 2");
    expect(await merge(one, two, two)).toContain("is shard 2, and so is");
    expect(await merge(one, other)).toContain("different checks");
    expect(await merge(whole)).toContain("a whole run, not of a shard");
    writeFileSync(whole, "{");
    expect(await merge(whole)).toContain("not JSON");
    expect(await merge(one, two)).toBe("");
  });
});

describe("large tables, in worker threads", () => {
  it("a clean set is clean", async () => {
    const { stdout, code } = await check([large.root, "--tables-only"]);
    expect(stdout).toMatch(/Verdict: all seen.*: clean\./);
    expect(code).toBe(0);
  });

  it("finds a fault in each of the large tables", async () => {
    const set = sets.copy(large);
    const text = (table: string) => readFileSync(set.path(VERSION, `${table}.json`), "utf8");
    const change = (table: string, from: RegExp, to: string) => {
      const before = text(table);
      const after = before.replace(from, to);
      expect(after).not.toBe(before);
      writeFileSync(set.path(VERSION, `${table}.json`), after);
    };
    change("sample_data", /"next": "[0-9a-f]{32}"/, `"next": "${"e".repeat(32)}"`);
    change("sample_annotation", /"num_lidar_pts": \d+/, '"num_lidar_pts": "3"');
    truncateSync(set.path(VERSION, "ego_pose.json"), 1_000_000);
    const { stdout, code } = await check([set.root, "--tables-only", "--json"]);
    const report: Report = JSON.parse(stdout);
    expect(report.rules.map((rule) => rule.code)).toEqual(
      ["bad-json", "wrong-type", "dangling-token"].map((rule) => `nuscenes/${rule}`),
    );
    expect(report.findings[0]!.offset).toBe(1_000_000);
    expect(code).toBe(1);
  });

  it("Ctrl-C: says what was covered, exits with 130, leaves no file", async () => {
    const ndjson = large.path("f.ndjson");
    // When the file is begun, so is the work.
    const env = signalAt(1, "create", "SIGINT");
    const { code, stdout } = await check([large.root, "--tables-only", "--ndjson", ndjson], {
      process: true,
      env,
    });
    expect(code).toBe(130);
    expect(stdout).toContain("Verdict: interrupted: nothing found in what was looked at, above.");
    expect(stdout).toMatch(/table rows +0/);
    expect(existsSync(ndjson)).toBe(true);
    expect(readdirSync(large.root).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});

describe("a Vista root and its config", () => {
  let vista: string;
  const config = (text: string) => {
    const file = join(vista, "config.yaml");
    writeFileSync(file, text);
    return file;
  };
  const training = (params: string) => `model:\n  x: &num_frames 25\ndata:\n  params:\n${params}`;

  beforeAll(() => {
    vista = sets.copy(clean).path("vista");
    mkdirSync(join(vista, "data"), { recursive: true });
    mkdirSync(join(vista, "annos"));
    renameSync(sets.copy(clean).root, join(vista, "data/nuscenes"));
  });

  it("checks data/nuscenes with paths from the root", async () => {
    writeFileSync(join(vista, "data/nuscenes/samples/CAM_FRONT/odd.jpg"), "x");
    const { stdout, code } = await check([vista, "--json"]);
    const report: Report = JSON.parse(stdout);
    expect(report.findings.map((each) => each.path)).toEqual(["data/nuscenes/samples/CAM_FRONT/odd.jpg"]);
    expect(code).toBe(0);
    rmSync(join(vista, "data/nuscenes/samples/CAM_FRONT/odd.jpg"));
  });

  it.each([
    ["    subsets: [NuScenes, YouTube]\n", ["subset-missing NuScenes", "subset-missing YouTube"]],
    [
      "    subsets: [Waymo]\n    probs: [1, 1]\n    target_height: 321\n",
      ["subset-unknown", "probs-mismatch", "size-not-64"],
    ],
  ])("%j", async (params, expected) => {
    const { stdout, code } = await check([vista, "--json", "--config", config(training(params))]);
    const report: Report = JSON.parse(stdout);
    const found = report.findings.map(
      (each) => `${each.rule.slice(6)}${each.record ? ` ${each.record}` : ""}`,
    );
    expect(found).toEqual(expected);
    expect(code).toBe(1);
  });

  it("says how many samples Vista would skip in silence, and whether all", async () => {
    const frames = readdirSync(join(vista, "data/nuscenes/sweeps/CAM_FRONT")).slice(0, 1);
    const good = Array.from({ length: 25 }, () => `sweeps/CAM_FRONT/${frames[0]}`);
    const bad = good.with(3, "sweeps/CAM_FRONT/none.jpg");
    const sample = (list: string[]) => ({
      frames: list,
      traj: Array(10).fill(1),
      cmd: 3,
      speed: [],
      angle: [],
      z: 1,
      goal: [800, 450],
    });
    const write = (...list: string[][]) =>
      writeFileSync(join(vista, "annos/nuScenes.json"), JSON.stringify(list.map(sample)));
    const file = config(training("    subsets: [NuScenes]\n    num_frames: *num_frames\n"));
    const vistaFindings = async () => {
      const report: Report = JSON.parse((await check([vista, "--json", "--config", file])).stdout);
      return report.findings
        .filter((each) => each.rule.startsWith("vista/"))
        .map((each) => `${each.rule}: ${each.message}`);
    };
    write(good, bad);
    expect(await vistaFindings()).toEqual([
      "vista/samples-skipped: 1 of 2 samples of annos/nuScenes.json would fail to load, and others would be drawn in their place",
    ]);
    write(bad, bad);
    expect(await vistaFindings()).toEqual([
      "vista/subset-unusable: 2 of 2 samples of annos/nuScenes.json would fail to load: Vista would try for ever, and say nothing",
    ]);
    write(good);
    expect(await vistaFindings()).toEqual([]);
  });
});

it("a check of annotation files alone does not say that it saw more of the frames than their names", async () => {
  const folder = temporaryFolder();
  const frames = Array.from(
    { length: 25 },
    (_, i) => `samples/CAM_FRONT/n015__CAM_FRONT__${1.5e15 + i * 83e3}.jpg`,
  );
  const actions = {
    traj: [0, 0, 0, 1, 0, 2, 0, 3, 0, 4],
    cmd: 3,
    speed: [9, 9, 9, 9],
    angle: [0, 0, 0, 0],
    z: 1,
    goal: [800, 450],
  };
  mkdirSync(join(folder, "annos"));
  mkdirSync(join(folder, "data/nuscenes/samples/CAM_FRONT"), { recursive: true });
  for (const frame of frames) writeFileSync(join(folder, "data/nuscenes", frame), "");
  writeFileSync(join(folder, "annos/nuScenes.json"), JSON.stringify([{ frames, ...actions }]));
  const { stdout, stderr } = await check([folder]);
  expect(stdout, stderr).toMatch(
    /Verdict: all seen, not looked at: sizes and contents of the frames that annotations name: /,
  );
});
