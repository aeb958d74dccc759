/** Ctrl-C while `annos nuscenes` and `annos nuscenes-12hz` work (`annos youtube`: data-index.test.ts), and disks without room for them. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CHANNELS } from "../../../bench/make-nuscenes.mjs";
import { newToken, partialPath } from "../../../src/core/io/partial-names.js";
import { writeInterpolatedTables } from "../../../src/dataset/annotations/make/interpolate.js";
import { runCli } from "../../helpers/cli.js";
import { signalAt } from "../../helpers/signal-at.js";
import { Sets, type TestSet, VERSION } from "../nuscenes/set.js";

const sets = new Sets();
let set: TestSet;

beforeAll(async () => {
  set = await sets.make({ files: "none", channels: CHANNELS });
});
afterAll(() => sets.clear());

/**
 * Runs the command, which gets SIGINT when it has begun: what a dead process has left of its output is cleared first.
 *
 * @param target  its output
 */
async function interrupted(args: string[], target: string) {
  const left = partialPath(target, newToken().replace(/^\d+/, String(spawnSync("true").pid)), "partial");
  writeFileSync(left, "left");
  const env = signalAt(1, "name", "SIGINT");
  const result = await runCli("vista-data", args, { process: true, env });
  expect(existsSync(left)).toBe(false);
  return result;
}

it("annos nuscenes: 130, one line, the old file as it was, nothing else", async () => {
  const folder = set.path("made");
  mkdirSync(folder);
  const target = join(folder, "nuScenes.json");
  writeFileSync(target, "[]");
  const args = [
    "annos",
    "nuscenes",
    set.root,
    "--version",
    VERSION,
    "--split",
    "all",
    "-o",
    target,
    "--force",
  ];
  const { code, stdout, stderr } = await interrupted(args, target);
  expect(stderr).toMatch(/^vista-data: interrupted; nothing was written.*\n$/);
  expect([code, stdout]).toEqual([130, ""]);
  expect(readdirSync(folder)).toEqual(["nuScenes.json"]);
  expect(readFileSync(target, "utf8")).toBe("[]");
});

it("annos nuscenes-12hz: 130, one line, the old folder as it was, nothing else", async () => {
  const folder = set.path("made12");
  const target = join(folder, "interp");
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, "sample.json"), "[]");
  const args = ["annos", "nuscenes-12hz", set.root, "--version", VERSION, "--out", target, "--force"];
  const { code, stdout, stderr } = await interrupted(args, target);
  expect(stderr).toMatch(/^vista-data: interrupted; nothing was written.*\n$/);
  expect([code, stdout]).toEqual([130, ""]);
  expect(readdirSync(folder)).toEqual(["interp"]);
  expect(readdirSync(target)).toEqual(["sample.json"]);
});

it("annos nuscenes-12hz: a disk without room for the tables that are copied is refused before anything is read", async () => {
  const empty = await sets.make({ files: "none" });
  // Without a byte of it on the disk: 8 TB of ego poses.
  truncateSync(empty.path(VERSION, "ego_pose.json"), 2 ** 43);
  const out = empty.path("interp_12Hz_mini");
  await expect(writeInterpolatedTables(empty.root, out, { version: VERSION })).rejects.toMatchObject({
    code: "NO_SPACE",
    message: expect.stringMatching(/needs 8,?796,?\d+/),
  });
  expect(readdirSync(empty.root).filter((name) => name.includes("interp"))).toEqual([]);
});
