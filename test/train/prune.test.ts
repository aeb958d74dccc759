import { existsSync, utimesSync } from "node:fs";
import {
  chmod,
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../src/checkpoint/tensor/typed-array.js";
import { pruneRun } from "../../src/train/run/prune.js";
import { runCli } from "../helpers/cli.js";
import { countSteps, temporaryFolder } from "./checkout.js";

const ZERO = fileURLToPath(new URL("../../fixtures/zero/stage2-fp32-2ranks", import.meta.url));
const SHARD = "global_step2/zero_pp_rank_1_mp_rank_00_optim_states.pt";
const folder = await temporaryFolder();
const run = join(folder, "run");
const checkpoints = join(run, "checkpoints");

beforeEach(async () => {
  await rm(run, { recursive: true, force: true });
  await mkdir(checkpoints, { recursive: true });
});

/** A checkpoint folder of DeepSpeed whose newest file is so many minutes old. */
async function checkpoint(name: string, minutesAgo: number): Promise<string> {
  const path = join(checkpoints, name);
  await cp(ZERO, path, { recursive: true });
  await age(path, minutesAgo);
  return path;
}

async function age(path: string, minutesAgo: number): Promise<void> {
  const time = new Date(Date.now() - minutesAgo * 60_000);
  for (const entry of await readdir(path, { recursive: true })) await utimes(join(path, entry), time, time);
  await utimes(path, time, time);
}

const prune = (...args: string[]) => runCli("vista-train", ["prune", run, ...args]);
const names = async () => (await readdir(checkpoints)).sort();

describe("prune", () => {
  test("the newest stay, by the time of their files and not by their names; --dry-run removes nothing", async () => {
    await checkpoint("epoch=00.ckpt", 1);
    await checkpoint("epoch=01.ckpt", 30);
    await checkpoint("epoch=02.ckpt", 20);
    await checkpoint("last.ckpt", 10);
    const planned = await prune("--keep", "2", "--dry-run");
    expect(planned).toMatchObject({ code: 0 });
    expect(planned.stdout).toMatch(/^would remove epoch=01\.ckpt .*\nwould remove epoch=02\.ckpt /);
    expect(await names()).toHaveLength(4);
    const { code, stdout } = await prune("--keep", "2", "--json", "-q");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      command: "prune",
      dryRun: false,
      verified: true,
      kept: [{ name: "last.ckpt" }, { name: "epoch=00.ckpt" }],
      removed: [{ name: "epoch=01.ckpt" }, { name: "epoch=02.ckpt" }],
    });
    expect(await names()).toEqual(["epoch=00.ckpt", "last.ckpt"]);
  });

  test("nothing is removed where the times of a copy contradict the steps", async () => {
    await countSteps(await checkpoint("epoch=09.ckpt", 30), 9, "global_step2");
    await countSteps(await checkpoint("last.ckpt", 20), 9, "global_step2");
    await checkpoint("epoch=00.ckpt", 10);
    for (const keep of ["1", "2"]) {
      const { code, stderr } = await prune("--keep", keep);
      expect(code).toBe(1);
      expect(stderr).toContain(
        "epoch=09.ckpt has 9 steps and would go, epoch=00.ckpt has 2 and would stay, since its files are newer",
      );
    }
    expect(await names()).toHaveLength(3);
    await age(join(checkpoints, "epoch=00.ckpt"), 40);
    expect((await prune("--keep", "1", "-q")).code).toBe(0);
    expect(await names()).toEqual(["last.ckpt"]);
  });

  test("what --resume takes stays, also where others are newer", async () => {
    await checkpoint("last.ckpt", 30);
    await checkpoint("epoch=00.ckpt", 20);
    await checkpoint("epoch=01.ckpt", 10);
    expect((await prune("--keep", "1", "-q")).code).toBe(0);
    expect(await names()).toEqual(["epoch=01.ckpt", "last.ckpt"]);
  });

  test.each([
    ["a damaged byte", (path: string) => flip(join(path, SHARD))],
    ["a missing shard", (path: string) => rm(join(path, SHARD))],
    ["no files", (path: string) => rm(join(path, dirname(SHARD)), { recursive: true })],
  ])("nothing is removed where one that stays has %s", async (_, damage) => {
    await checkpoint("epoch=00.ckpt", 30);
    await checkpoint("epoch=01.ckpt", 20);
    const newest = await checkpoint("last.ckpt", 10);
    await damage(newest);
    await age(newest, 10);
    const { code, stdout, stderr } = await prune("--keep", "2");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("nothing was removed, since a checkpoint that would stay is not sound");
    expect(await names()).toEqual(["epoch=00.ckpt", "epoch=01.ckpt", "last.ckpt"]);
  });

  test("nothing is removed where a single file that stays holds NaN", async () => {
    const save = async (name: string, value: number, minutesAgo: number) => {
      const path = join(checkpoints, name);
      const state = new StateDict([["w", tensorFrom(Float32Array.of(value), [1])]]);
      await saveCheckpoint(state, path, { format: "torch", fsync: false, force: true });
      const time = new Date(Date.now() - minutesAgo * 60_000);
      await utimes(path, time, time);
    };
    await save("epoch=00.ckpt", 1, 20);
    await save("last.ckpt", Number.NaN, 10);
    const refused = await prune("--keep", "1");
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("1 NaN and 0 infinite values in w");
    await save("last.ckpt", 2, 10);
    expect((await prune("--keep", "1", "-q")).code).toBe(0);
    expect(await names()).toEqual(["last.ckpt"]);
  });

  test("a link and what it points to are one checkpoint: the target of last.ckpt stays", async () => {
    await checkpoint("epoch=00.ckpt", 30);
    await checkpoint("epoch=01.ckpt", 20);
    await symlink("epoch=01.ckpt", join(checkpoints, "last.ckpt"));
    await symlink("epoch=00.ckpt", join(checkpoints, "best.ckpt"));
    const report = await pruneRun(run, 1);
    expect(report.bytes).toBe(report.removed.find(({ name }) => name === "epoch=00.ckpt")!.bytes);
    expect(await names()).toEqual(["epoch=01.ckpt", "last.ckpt"]);
  });

  test("nothing is removed that a checkpoint which stays has links into", async () => {
    const old = await checkpoint("epoch=00.ckpt", 30);
    const last = await checkpoint("last.ckpt", 10);
    await rm(join(last, "global_step2"), { recursive: true });
    await symlink("../epoch=00.ckpt/global_step2", join(last, "global_step2"));
    const folderLinked = await prune("--keep", "1");
    expect(folderLinked).toMatchObject({ code: 1, stdout: "" });
    expect(folderLinked.stderr).toContain("nothing was removed: it leads into epoch=00.ckpt, which would go");
    await rm(join(last, "global_step2"));
    await cp(join(old, "global_step2"), join(last, "global_step2"), { recursive: true });
    await rm(join(last, SHARD));
    await symlink(join(old, SHARD), join(last, SHARD));
    await age(old, 30);
    expect((await prune("--keep", "1")).stderr).toContain("which would go");
    expect(await names()).toEqual(["epoch=00.ckpt", "last.ckpt"]);
    // To another place, a link is as good as the file.
    await rename(old, join(run, "elsewhere"));
    await rm(join(last, SHARD));
    await symlink(join(run, "elsewhere", SHARD), join(last, SHARD));
    await age(last, 10);
    await checkpoint("epoch=00.ckpt", 30);
    expect((await prune("--keep", "1", "-q")).code).toBe(0);
    expect(await names()).toEqual(["last.ckpt"]);
  });

  test("a merged file beside the folders stands for none of them", async () => {
    await checkpoint("epoch=00.ckpt", 40);
    await checkpoint("last.ckpt", 30);
    const merged = async (name: string, minutesAgo: number) => {
      const path = join(checkpoints, name);
      const state = new StateDict([["w", tensorFrom(Float32Array.of(1), [1])]]);
      await saveCheckpoint(state, path, { format: "torch", fsync: false });
      const time = new Date(Date.now() - minutesAgo * 60_000);
      await utimes(path, time, time);
    };
    await merged("epoch=00_merged.ckpt", 20);
    await merged("last_merged.ckpt", 10);
    expect((await prune("--keep", "1", "-q")).code).toBe(0);
    expect(await names()).toEqual(["last.ckpt", "last_merged.ckpt"]);
  });

  test("a checkpoint that is written while it is verified: nothing is removed", async () => {
    await checkpoint("epoch=00.ckpt", 30);
    const last = await checkpoint("last.ckpt", 10);
    const onProgress = () => utimesSync(join(last, "latest"), new Date(), new Date());
    await expect(pruneRun(run, 1, { onProgress })).rejects.toMatchObject({
      code: "INCONSISTENT",
      hint: expect.stringContaining("still runs"),
    });
    expect(await names()).toEqual(["epoch=00.ckpt", "last.ckpt"]);
  });

  test("stopped in between it leaves whole checkpoints, and says what went", async () => {
    const first = await checkpoint("epoch=00.ckpt", 30);
    await checkpoint("epoch=01.ckpt", 20);
    await checkpoint("last.ckpt", 10);
    const { signal } = new AbortController();
    // As Ctrl-C would do it, at the moment when the first one has gone.
    Object.defineProperty(signal, "aborted", { get: () => !existsSync(first) });
    await expect(pruneRun(run, 1, { signal })).rejects.toMatchObject({
      code: "ABORTED",
      hint: "Removed before: epoch=00.ckpt.",
    });
    expect(await names()).toEqual(["epoch=01.ckpt", "last.ckpt"]);
  });

  test("what an interrupted run left of a checkpoint is removed, other hidden things stay", async () => {
    await checkpoint("last.ckpt", 10);
    const old = await checkpoint("epoch=00.ckpt", 30);
    await rename(old, join(checkpoints, ".epoch=00.ckpt.removing"));
    await writeFile(join(checkpoints, ".notes"), "");
    const { stdout } = await prune("--keep", "3");
    expect(stdout).toContain("nothing to remove: 1 checkpoint, not verified");
    expect(await names()).toEqual([".notes", "last.ckpt"]);
  });

  test("--keep 0, no --keep, a run without checkpoints", async () => {
    expect((await prune("--keep", "0")).code).toBe(2);
    expect((await prune()).code).toBe(2);
    const none = await prune("--keep", "1");
    expect(none.code).toBe(1);
    expect(none.stderr).toContain("there are no checkpoints in this run");
  });
});

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1]! ^= 1;
  await chmod(path, 0o644);
  await writeFile(path, bytes);
}
