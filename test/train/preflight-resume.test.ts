/** The preflight of a run that is gone on with: what train.py would take is looked at, whatever stands there. */
import { rmSync } from "node:fs";
import { mkdir, readFile, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, test } from "vitest";
import type { LaunchOptions } from "../../src/train/launch/plan.js";
import { runStatus } from "../../src/train/run/status.js";
import { copyFolder } from "../helpers/copy.js";
import { countSteps, makeCheckout, temporaryFolder } from "./checkout.js";
import { preflightOf } from "./found.js";

const ZERO = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
const folder = await temporaryFolder();
const run = join(folder, "run");
const last = join(run, "checkpoints/last.ckpt");
const vista = await makeCheckout(folder);

beforeEach(async () => {
  rmSync(run, { recursive: true, force: true });
  copyFolder(ZERO, last);
  await mkdir(join(run, "configs"));
  const config = await readFile(join(vista, "configs/example/nusc_train.yaml"));
  await writeFile(join(run, "configs/2025-project.yaml"), config);
});

/** The fixture is of two ranks. */
const found = (more: Partial<LaunchOptions> = {}) =>
  preflightOf(folder, "example", { nodes: 1, gpus: 2, resume: run, ...more });

test("a run in which nothing is wrong", async () => {
  expect((await found()).codes).toEqual([]);
  expect((await found({ resume: last, name: "new" })).codes).toEqual([]);
});

test.each<[string, () => Promise<unknown>, string]>([
  ["is an empty file", () => writeFile(last, ""), "last.ckpt: the file is empty"],
  ["is a link to nothing", () => symlink("nowhere.ckpt", last), "last.ckpt: a link that leads nowhere"],
  ["is a link in a circle", () => symlink(last, last), "last.ckpt: a link that leads nowhere"],
  ["is an empty folder", () => mkdir(last), "no ZeRO checkpoint here or below"],
])("the last checkpoint %s", async (_, make, text) => {
  await rm(last, { recursive: true });
  await make();
  const result = await found();
  expect(result.codes).toEqual(["error resume"]);
  expect(result.text).toContain(text);
});

// Tried with the real train.py and Lightning 2.0.1: both end with exit code 0.
test("a run that has the steps at which Lightning stops", async () => {
  const steps = (max: number) => found({ extra: [`lightning.trainer.max_steps=${max}`] });
  const result = await steps(2);
  expect(result.codes).toEqual(["error resume"]);
  expect(result.text).toContain(
    "last.ckpt has 2 steps and lightning.trainer.max_steps is 2: Lightning would",
  );
  expect((await steps(3)).codes).toEqual([]);
  expect((await steps(-1)).codes).toEqual([]);
});

// Tried with the real train.py and Lightning 2.0.1: the state of the checkpoint names the last one of the old run by its path.
test("a new run that keeps one checkpoint would remove one of the run that it goes on from", async () => {
  const extra = ["lightning.modelcheckpoint.params.save_top_k=1"];
  for (const more of [
    { resume: last, name: "new" },
    { gpus: 1, reshard: true },
  ]) {
    const result = await found({ ...more, extra });
    expect(result.codes).toEqual(["error resume"]);
    expect(result.text).toContain("save_top_k is 1: with its first checkpoint, the new run would remove one");
  }
  // In its own folder that is what was asked for.
  expect((await found({ extra })).codes).toEqual([]);
  expect((await found({ extra, reshard: true })).codes).toEqual([]);
});

test("a checkpoint without `latest` is resharded, not resumed", async () => {
  await rm(join(last, "latest"));
  for (const resume of [run, last]) {
    const result = await found({ resume });
    expect(result.codes).toEqual(["error resume"]);
    expect(result.text).toContain("no file `latest` in it, without which DeepSpeed loads nothing");
  }
  expect((await found({ gpus: 1, reshard: true })).codes).toEqual([]);
});

test.each(["checkpoints", "configs"])("%s of the run that cannot be listed", async (name) => {
  await rm(join(run, name), { recursive: true });
  await symlink(join(run, name), join(run, name));
  const result = await found();
  expect(new Set(result.codes)).toEqual(
    new Set(["error resume", ...(name === "configs" ? ["error config-missing"] : [])]),
  );
  expect(result.text).toMatch(/cannot list the (checkpoints|folder): too many symbolic links/);
});

test("a run that cannot be looked at is not called absent", async () => {
  const loop = join(folder, "loop");
  await symlink(loop, loop);
  expect((await found({ resume: loop })).text).toContain("too many symbolic links");
  expect((await found({ resume: `${loop}.ckpt` })).text).toContain(`there is no ${loop}.ckpt`);
});

test("a file is called no run folder", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  expect((await found({ resume: file })).text).toContain(`${file} is not a run folder`);
});

test("one checkpoint in a new run: train.py loads SVD first; a run that goes on does not", async () => {
  const svd = join(vista, "ckpts/svd_xt.safetensors");
  await rename(svd, `${svd}.away`);
  expect((await found()).codes).toEqual([]);
  expect((await found({ resume: last, name: "new" })).codes).toEqual(["error svd-missing"]);
  expect((await found({ gpus: 2, reshard: true })).codes).toEqual([]);
  expect((await found({ gpus: 1, reshard: true })).codes).toEqual(["error svd-missing"]);
  await rename(`${svd}.away`, svd);
});

test("of several last checkpoints another one than train.py takes is further", async () => {
  copyFolder(ZERO, join(run, "checkpoints/last-v1.ckpt"));
  await countSteps(last, 9);
  const later = new Date(Date.now() + 60_000);
  await utimes(join(run, "checkpoints/last-v1.ckpt"), later, later);
  const result = await found();
  expect(result.codes).toEqual(["warning last-checkpoint"]);
  expect(result.text).toContain("last-v1.ckpt: last.ckpt is further, by 9 steps to 2");
  const weights = await preflightOf(folder, "example", { nodes: 1, gpus: 2, finetune: run });
  expect(weights.codes).toEqual(["warning last-checkpoint"]);
  await symlink("nowhere", join(run, "checkpoints/last-v0.ckpt"));
  expect((await found()).codes).toContain("error resume");
});

test("a merged file among the last checkpoints is newest, and DeepSpeed goes on from folders", async () => {
  const merged = join(run, "checkpoints/last_merged.ckpt");
  await writeFile(merged, "some weights");
  const later = new Date(Date.now() + 60_000);
  await utimes(merged, later, later);
  for (const more of [{}, { resume: merged, name: "new" }]) {
    const result = await found(more);
    expect(result.codes).toEqual(["error resume"]);
    expect(result.text).toContain("last_merged.ckpt is a single file, and DeepSpeed goes on from folders");
  }
  const status = await runStatus(run);
  expect(status.resume).toBe(last);
  expect(status.resumeNote).toContain("last_merged.ckpt, which train.py would take, is a single file");
});

// Tried with Lightning 2.0.1: the checkpoint that the link leads to had the next epoch's content afterwards.
test("a last.ckpt that is a link to another checkpoint of the run, which would be saved over", async () => {
  const other = join(run, "checkpoints/epoch=01.ckpt");
  await rename(last, other);
  await symlink("epoch=01.ckpt", last);
  const result = await found();
  expect(result.codes).toEqual(["warning last-link"]);
  expect(result.text).toContain("last.ckpt is a link to epoch=01.ckpt");
  // In a new run it is only read; and the state of another run's has that one's folder, so that Lightning saves last-v1.ckpt here.
  expect((await found({ resume: other, name: "new" })).codes).toEqual([]);
  await rm(last);
  await rename(other, join(folder, "elsewhere.ckpt"));
  await symlink(join(folder, "elsewhere.ckpt"), last);
  expect((await found()).codes).toEqual([]);
  await rm(join(folder, "elsewhere.ckpt"), { recursive: true });
});

test("a folder whose name is a pattern to train.py", async () => {
  const odd = join(vista, "logs/run[1]");
  copyFolder(run, odd);
  const result = await found({ resume: odd });
  expect(result.codes).toEqual(["error resume"]);
  expect(result.text).toContain("logs/run[1]: train.py looks for last*.ckpt with a pattern");
  // And so says the status, with the way that there is.
  expect(await runStatus(odd, { vista })).toMatchObject({
    resume: join(odd, "checkpoints/last.ckpt"),
    resumeNote: expect.stringContaining("logs/run[1]: train.py looks for"),
  });
  expect((await found({ resume: join(odd, "checkpoints/last.ckpt"), name: "new" })).codes).toEqual([]);
});

test("a job that could not go on when it is queued again, since its folder's name is a pattern to train.py", async () => {
  const slurm = { sbatch: {} };
  const logdir = join(folder, "runs [1]");
  const job = (more: Partial<LaunchOptions>) =>
    preflightOf(folder, "example", { slurm, ...more }, undefined, { ignore: ["sbatch-missing"] });
  const result = await job({ logdir });
  expect(result.codes).toEqual(["warning resume"]);
  expect(result.text).toContain("runs [1]: train.py looks for last*.ckpt with a pattern");
  expect((await job({})).codes).toEqual([]);
  expect((await preflightOf(folder, "debug", { logdir })).codes).toEqual([]);
});

test("--resume for the next phase would train the same one again", async () => {
  const config = await readFile(join(vista, "configs/training/vista_phase2_stage1.yaml"));
  await writeFile(join(run, "configs/2025-project.yaml"), config);
  const resume = (recipe: string, more = {}) =>
    preflightOf(folder, recipe, { nodes: 1, gpus: 2, resume: run, ...more });
  expect((await resume("phase2-stage1")).codes).toEqual(["note late-checkpoint"]);
  const result = await resume("phase2-stage2");
  expect(result.codes).toContain("error resume-recipe");
  expect(result.text).toContain(`${run} is of recipe phase2-stage1, not of phase2-stage2`);
  // The run may have had another config by the same settings.
  const extra = ["data.params.target_height=320", "data.params.target_width=576"];
  expect((await resume("phase2-stage2", { extra })).codes).not.toContain("error resume-recipe");
  // A config that is named is read on top.
  const base = ["configs/training/vista_phase2_stage2.yaml"];
  expect((await resume("phase2-stage2", { base })).codes).not.toContain("error resume-recipe");
});

test("weights of another phase than the recipe starts from", async () => {
  const config = await readFile(join(vista, "configs/training/vista_phase1.yaml"));
  await writeFile(join(run, "configs/2025-project.yaml"), config);
  const from = (recipe: string) => preflightOf(folder, recipe, { nodes: 1, gpus: 8, finetune: run });
  expect((await from("phase2-stage1")).codes).toEqual([]);
  const result = await from("phase2-stage2");
  expect(result.codes).toEqual(["warning finetune-recipe", "note late-checkpoint"]);
  expect(result.text).toContain(`starts from the result of phase2-stage1, and ${run} is of phase1`);
});

test("one checkpoint goes on with the config of the recipe: what its run had otherwise is told", async () => {
  const path = join(run, "configs/2025-project.yaml");
  const config = String(await readFile(path));
  await writeFile(
    path,
    config
      .replace("target_height: 576", "target_height: 320")
      .replace("num_workers: 16\n", "num_workers: 4\n"),
  );
  const result = await found({ resume: last, name: "new" });
  expect(result.codes).toEqual(["warning resume-config"]);
  expect(result.text).toContain(
    "data.params.num_workers is 16, and was 4, data.params.target_height is 576, and was 320",
  );
  const extra = ["data.params.target_height=320", "data.params.num_workers=4"];
  expect((await found({ resume: last, name: "new", extra })).codes).toEqual([]);
});

test("one checkpoint does not go on in a folder that has a run", async () => {
  await mkdir(join(vista, "logs/taken/checkpoints"), { recursive: true });
  expect((await found({ resume: last, name: "taken" })).codes).toEqual(["error run-exists"]);
  expect((await found({ resume: last, name: "taken", reshard: true })).codes).toEqual([]);
});
