import { cp, mkdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, test } from "vitest";
import { listKeys } from "../../src/train/checkpoint-tools.js";
import { BUILT_IN_RECIPES } from "../../src/train/launch/built-in-recipes.js";
import { binMeans, drawChart } from "../../src/train/run/chart.js";
import { resolveWeights } from "../../src/train/run/checkpoints.js";
import { finishRun } from "../../src/train/run/finish.js";
import { parseLosses, readLog } from "../../src/train/run/log.js";
import { pruneRun } from "../../src/train/run/prune.js";
import { newRuns, recipeOfRun } from "../../src/train/run/runs.js";
import { runStatus } from "../../src/train/run/status.js";
import { countSteps, makeCheckout, temporaryFolder } from "./checkout.js";

const ZERO = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
const folder = await temporaryFolder();
const run = join(folder, "logs/2025-01-02T03-04-05_training-vista_phase1");

beforeEach(async () => {
  await rm(join(folder, "logs"), { recursive: true, force: true });
  await mkdir(join(run, "testtube/version_0"), { recursive: true });
  await mkdir(join(run, "checkpoints"));
});

/** As Lightning's CSVLogger writes it with Vista's metrics. */
const HEADER = "epoch,global_step,loss_epoch,loss_step,lr-AdamW/pg1,lr_abs,step";

async function checkpoint(name: string, minutesAgo: number): Promise<string> {
  const path = join(run, "checkpoints", name);
  await cp(ZERO, path, { recursive: true });
  const time = new Date(Date.now() - minutesAgo * 60_000);
  for (const file of [
    "latest",
    "checkpoint/mp_rank_00_model_states.pt",
    "checkpoint/zero_pp_rank_0_mp_rank_00_optim_states.pt",
    "checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt",
    "",
  ]) {
    await utimes(join(path, file), time, time);
  }
  return path;
}

test("a log without a column for a loss, as other loggers write", async () => {
  const log = join(run, "testtube/version_0/metrics.csv");
  await writeFile(log, "epoch,step,accuracy\n0,1,0.5\n");
  const other = await runStatus(run);
  expect(other.losses).toEqual([]);
  expect(other.logNote).toBe(
    "no loss among the columns of testtube/version_0/metrics.csv: epoch,step,accuracy",
  );
  // The first rows of Vista's have the learning rate alone.
  await writeFile(log, `${HEADER}\n0,,,,1e-05,,49\n`);
  expect((await runStatus(run)).logNote).toBeUndefined();
  await writeFile(log, "");
  expect((await runStatus(run)).logNote).toBeUndefined();
});

test("a checkpoint file of no bytes is not whole, and nothing to go on from", async () => {
  await writeFile(join(run, "checkpoints/last.ckpt"), "");
  await writeFile(join(run, "checkpoints/epoch=00.ckpt"), "");
  const empty = await runStatus(run);
  expect(empty.checkpoints.map(({ whole, problem }) => [whole, problem])).toEqual([
    [false, "the file is empty"],
    [false, "the file is empty"],
  ]);
  expect(empty.resume).toBeUndefined();
  await writeFile(join(run, "checkpoints/epoch=01.ckpt"), "x");
  const other = await runStatus(run);
  expect(other.resume).toBe(join(run, "checkpoints/epoch=01.ckpt"));
  expect(other.resumeNote).toContain("epoch=01.ckpt may be");
});

test("losses of a log: steps with a loss, NaN too, an unfinished last line not", () => {
  const log = `${HEADER}
0,,,,1e-05,,49
0,49.0,,0.5,,1e-05,49
0,99.0,,nan,,1e-05,99
0,,0.4,,,,99
1,149.0,,0.25,,1e-05,149
1,199.0,,0.1`;
  expect(parseLosses(log)).toEqual([
    { epoch: 0, step: 49, loss: 0.5 },
    { epoch: 0, step: 99, loss: Number.NaN },
    { epoch: 1, step: 149, loss: 0.25 },
  ]);
  expect(parseLosses("step,loss\n49,0.5\n99,0.0")).toEqual([{ epoch: undefined, step: 49, loss: 0.5 }]);
  expect(parseLosses("")).toEqual([]);
  expect(parseLosses("epoch,step\n0,1\n")).toEqual([]);
});

test("a run that went on from an older checkpoint is as far as its last start, not as the steps that were given up", async () => {
  const rows = (from: number, to: number, loss: number) => {
    let text = `${HEADER}\n`;
    for (let step = from; step <= to; step += 50) text += `${Math.floor(step / 1000)},,,${loss},,,${step}\n`;
    return text;
  };
  await writeFile(join(run, "testtube/version_0/metrics.csv"), rows(49, 4949, 0.9));
  await mkdir(join(run, "testtube/version_1"));
  // A start that logged nothing gives nothing up.
  await writeFile(join(run, "testtube/version_1/metrics.csv"), `${HEADER}\n`);
  expect((await runStatus(run)).step).toBe(4949);
  await mkdir(join(run, "testtube/version_2"));
  await writeFile(join(run, "testtube/version_2/metrics.csv"), rows(3049, 3149, 0.5));
  const status = await runStatus(run);
  expect([status.epoch, status.step]).toEqual([3, 3149]);
  expect(status.losses).toHaveLength(63);
  expect(status.losses.slice(-4).map(({ loss }) => loss)).toEqual([0.9, 0.5, 0.5, 0.5]);
});

test("a run that was resumed: the later value of a step trained twice, checkpoints, what can be resumed", async () => {
  await writeFile(join(run, "testtube/version_0/metrics.csv"), `${HEADER}\n0,,,0.9,,,49\n0,,,0.8,,,99\n`);
  await mkdir(join(run, "testtube/version_1"));
  await writeFile(join(run, "testtube/version_1/metrics.csv"), `${HEADER}\n0,,,0.7,,,99\n1,,,0.6,,,149\n`);
  await checkpoint("epoch=00.ckpt", 9);
  const last = await checkpoint("last.ckpt", 8);
  // Without configs train.py has no model to resume, and with damaged ones it stops.
  expect(await runStatus(run)).toMatchObject({
    resume: last,
    resumeNote: expect.stringContaining("no configs/*.yaml"),
  });
  await mkdir(join(run, "configs"), { recursive: true });
  await writeFile(join(run, "configs/2025-project.yaml"), "model: [\n");
  expect(await runStatus(run)).toMatchObject({
    resume: last,
    resumeNote: expect.stringContaining("not YAML"),
  });
  await writeFile(join(run, "configs/2025-project.yaml"), "model: {}\n");
  const status = await runStatus(run);
  expect(status.losses.map((point) => [point.step, point.loss])).toEqual([
    [49, 0.9],
    [99, 0.7],
    [149, 0.6],
  ]);
  expect([status.epoch, status.step]).toEqual([1, 149]);
  expect(status.checkpoints.map((one) => [one.name, one.whole])).toEqual([
    ["epoch=00.ckpt", true],
    ["last.ckpt", true],
  ]);
  expect(status.checkpoints[0]!.bytes).toBeGreaterThan(900_000);
  expect([status.resume, status.resumeNote]).toEqual([run, undefined]);
});

test("a last checkpoint that is not whole: the one before it, in a new run", async () => {
  const whole = await checkpoint("epoch=00.ckpt", 9);
  const last = await checkpoint("last.ckpt", 8);
  await rm(join(last, "checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt"));
  const status = await runStatus(run);
  expect(status.checkpoints.map((one) => one.whole)).toEqual([true, false]);
  expect(status.checkpoints[1]!.problem).toContain("last.ckpt");
  expect(status.resume).toBe(whole);
  expect(status.resumeNote).toContain("last.ckpt, which train.py would take, is not whole");
  await rm(whole, { recursive: true });
  expect((await runStatus(run)).resume).toBeUndefined();
});

test("a link to nothing and a folder without `latest` are no checkpoints that a training goes on with", async () => {
  const whole = await checkpoint("epoch=00.ckpt", 9);
  await symlink("nowhere.ckpt", join(run, "checkpoints/last.ckpt"));
  const linked = await runStatus(run);
  expect(linked.checkpoints.find((one) => one.name === "last.ckpt")).toMatchObject({
    whole: false,
    problem: "a link that leads nowhere",
  });
  expect(linked.resume).toBe(whole);
  // Nothing is removed by the time of a link that leads nowhere.
  await expect(pruneRun(run, 1)).rejects.toMatchObject({ code: "NOT_FOUND" });
  await rm(join(run, "checkpoints/last.ckpt"));
  await rm(join(await checkpoint("last.ckpt", 8), "latest"));
  const without = await runStatus(run);
  expect(without.checkpoints[1]).toMatchObject({ whole: false, ranks: 2 });
  expect(without.checkpoints[1]!.problem).toContain("no file `latest`");
  expect(without.resume).toBe(whole);
});

test("of several last checkpoints, train.py takes the one whose entry is newest: where another is further, it is told", async () => {
  await mkdir(join(run, "configs"));
  await writeFile(join(run, "configs/2025-project.yaml"), "model: {}\n");
  const older = await checkpoint("last.ckpt", 9);
  await checkpoint("last-v1.ckpt", 5);
  expect(await runStatus(run)).toMatchObject({ resume: run, resumeNote: undefined });
  await countSteps(older, 7);
  expect(await runStatus(run)).toMatchObject({
    resume: run,
    resumeNote: "it takes last-v1.ckpt by its time; last.ckpt is further, by 7 steps to 2 of last-v1.ckpt",
  });
  // Of those with one time it takes the last in natsort's order, whatever the times of their files.
  const same = new Date(Date.now() - 60_000);
  for (const name of ["last.ckpt", "last-v1.ckpt"]) await utimes(join(run, "checkpoints", name), same, same);
  expect(await runStatus(run)).toMatchObject({ resume: run, resumeNote: undefined });
  // os.path.getmtime of a link that leads nowhere is an error, and train.py asks for that of all.
  await symlink("nowhere", join(run, "checkpoints/last-v2.ckpt"));
  await utimes(join(run, "checkpoints/last-v1.ckpt"), new Date(), new Date(Date.now() + 60_000));
  const status = await runStatus(run);
  expect(status.resume).not.toBe(run);
  expect(status.resumeNote).toContain("last-v2.ckpt is a link that leads nowhere, at which train.py stops");
});

test("folders that are no runs", async () => {
  await expect(runStatus(join(folder, "none"))).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
  await rm(run, { recursive: true });
  await mkdir(run);
  await expect(runStatus(run)).rejects.toMatchObject({ code: "NOT_FOUND" });
  await writeFile(join(folder, "file"), "");
  await expect(runStatus(join(folder, "file"))).rejects.toMatchObject({
    code: "WRONG_KIND",
  });
});

test("shards are merged into the run folder, once, and again when the checkpoint is newer", async () => {
  const last = await checkpoint("last.ckpt", 5);
  const epoch = await checkpoint("epoch=00.ckpt", 9);
  const weights = await resolveWeights(run);
  const file = join(run, "pytorch_model.bin");
  expect(weights).toEqual({ file, checkpoint: last, fresh: false });
  expect(await finishRun(run, ["merge"])).toEqual([file]);
  const keys = await listKeys(file);
  expect(keys.length).toBeGreaterThan(100);
  expect(keys.every((key) => key.startsWith("_forward_module."))).toBe(true);

  expect(await resolveWeights(last)).toMatchObject({ file, fresh: true });
  const { mtimeMs } = await stat(file);
  expect(await finishRun(run, ["merge"])).toEqual([file]);
  expect((await stat(file)).mtimeMs).toBe(mtimeMs);
  expect(await resolveWeights(epoch)).toMatchObject({
    file: join(run, "pytorch_model-epoch=00.bin"),
    fresh: false,
  });
  // As `rsync -a` brings a later checkpoint that is still older than the merged file.
  const { atime, mtime } = await stat(join(last, "latest"));
  const { ctimeMs } = await stat(file);
  // The kernel's clock for files goes on every few milliseconds.
  do {
    await writeFile(join(last, "latest"), "checkpoint");
    await utimes(join(last, "latest"), atime, mtime);
  } while ((await stat(join(last, "latest"))).ctimeMs <= ctimeMs);
  expect(await resolveWeights(run)).toMatchObject({ fresh: false });
  await finishRun(run, ["merge"]);
  expect(await resolveWeights(run)).toMatchObject({ fresh: true });
  const later = new Date(Date.now() + 60_000);
  await utimes(join(last, "latest"), later, later);
  expect(await resolveWeights(run)).toMatchObject({ fresh: false });
  expect(await resolveWeights(file)).toEqual({ file, checkpoint: undefined, fresh: true });
});

test("to-st makes the file that to-st makes", async () => {
  await checkpoint("last.ckpt", 5);
  const output = join(run, "vista.safetensors");
  expect(await finishRun(run, ["merge", "to-st"], {})).toEqual([join(run, "pytorch_model.bin"), output]);
  const keys = await listKeys(output);
  expect(keys.length).toBeGreaterThan(100);
  // No prefix, no moving average: the names that sample.py loads.
  expect(keys.filter((key) => /^_forward_module|model_ema/.test(key))).toEqual([]);
  expect(keys).toContain("model.diffusion_model.time_embed.0.weight");
});

test("of several last checkpoints the newest, as train.py has it", async () => {
  await checkpoint("last.ckpt", 5);
  const newer = await checkpoint("last-v1.ckpt", 2);
  await checkpoint("epoch=09.ckpt", 1);
  expect(await resolveWeights(run)).toMatchObject({ checkpoint: newer });
});

test("a run whose last checkpoint is a single file has no shards", async () => {
  await writeFile(join(run, "checkpoints/last.ckpt"), "");
  expect(await resolveWeights(run)).toMatchObject({ checkpoint: undefined });
  await expect(finishRun(run, ["merge"], {})).rejects.toMatchObject({ code: "UNSUPPORTED" });
});

test("the recipe of a run: by its folder's name, by its saved config, or not at all", async () => {
  const vista = await makeCheckout(folder);
  const recipe = async (path: string) => (await recipeOfRun(path, BUILT_IN_RECIPES, vista))?.name;
  expect(await recipe(run)).toBe("phase1");
  // As from within the folder.
  expect(await recipe(`${run}/.`)).toBe("phase1");
  expect(await recipe(`${run}/checkpoints/..`)).toBe("phase1");
  // train.py puts a sign before the file's name also where there is no folder between.
  const ours = { ...BUILT_IN_RECIPES[2]!, name: "ours", base: ["configs/ours.yaml"] };
  const made = join(folder, "logs/2025-01-02T03-04-05_-ours");
  expect(await recipeOfRun(made, [...BUILT_IN_RECIPES, ours], vista)).toBe(ours);
  const named = join(folder, "logs/mine");
  await mkdir(join(named, "configs"), { recursive: true });
  expect(await recipe(named)).toBeUndefined();
  const config = (name: string) => cp(join(vista, "configs", name), join(named, "configs/2025-project.yaml"));
  await config("training/vista_phase2_stage2.yaml");
  expect(await recipe(named)).toBe("phase2-stage2");
  await config("training/vista_phase2_stage1.yaml");
  expect(await recipe(named)).toBe("phase2-stage1");
  await config("example/nusc_train.yaml");
  expect(await recipe(named)).toBe("example");
});

test("the run folder of a training that just ended", async () => {
  expect(await newRuns(join(folder, "none"), [])).toEqual([]);
  expect(await newRuns(join(folder, "logs"), ["slurm"])).toEqual([run]);
  expect(await newRuns(join(folder, "logs"), [basename(run)])).toEqual([]);
  const other = join(folder, "logs/2025-01-02T03-04-09_training-vista_phase1");
  await mkdir(join(other, "checkpoints"), { recursive: true });
  expect((await newRuns(join(folder, "logs"), [])).sort()).toEqual([run, other]);
});

test("what is in a run and cannot be looked at is not called absent", async () => {
  const last = await checkpoint("last.ckpt", 1);
  // A link in a circle stands for all that is there and cannot be opened; permissions do not stop root.
  const closed = async (name: string) => {
    const path = join(run, name);
    await rm(path, { recursive: true, force: true });
    await symlink(path, path);
    return { code: "IO", where: { path } };
  };
  // As absent, the merged weights would be written again, and the run would have no config and no losses.
  await expect(resolveWeights(last)).resolves.toMatchObject({ fresh: false });
  const weights = await closed("pytorch_model.bin");
  await expect(resolveWeights(last)).rejects.toMatchObject(weights);
  const configs = await closed("configs");
  await expect(recipeOfRun(run, [], folder)).rejects.toMatchObject(configs);
  const log = await closed("testtube");
  await expect(readLog(run)).rejects.toMatchObject(log);
  // Another run of which that is true is not the one that was just trained.
  await mkdir(join(folder, "logs/other"));
  await symlink("checkpoints", join(folder, "logs/other/checkpoints"));
  expect(await newRuns(join(folder, "logs"), [])).toEqual([run]);
});

test("the chart", () => {
  expect(drawChart([], 10, 3)).toBeUndefined();
  expect(drawChart([Number.NaN], 10, 3)).toBeUndefined();
  expect(drawChart([1, 1], 10, 2)?.rows).toEqual(["", "▁▁"]);
  expect(drawChart([0, 1, 2, 3], 4, 1)).toEqual({ rows: ["▁▃▆█"], low: 0, high: 3 });
  const falling = drawChart([8, 4, 0, Number.POSITIVE_INFINITY], 10, 2);
  expect(falling?.rows).toEqual(["█▁", "██▁"]);
  expect(binMeans([1, 3, 5, 7], 2)).toEqual([2, 6]);
});
