import { rmSync } from "node:fs";
import { cp, mkdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, test } from "vitest";
import { makeFile } from "../../src/train/checkpoint-tools.js";
import { preflight } from "../../src/train/index.js";
import { BUILT_IN_RECIPES, type Recipe } from "../../src/train/launch/built-in-recipes.js";
import { trainingFacts } from "../../src/train/launch/facts.js";
import type { LaunchOptions } from "../../src/train/launch/plan.js";
import { planLaunch } from "../../src/train/launch/plan.js";
import { checkpointCount } from "../../src/train/preflight/checks/run-folder.js";
import { unknownSelectors } from "../../src/train/preflight/preflight.js";
import { RULES } from "../../src/train/preflight/rules.js";
import { fakeSystem, makeCheckout, saveWeights, temporaryFolder, UNET_KEYS } from "./checkout.js";
import { EIGHT, ENDPOINT, FREE_PORT, node, type Preflight, preflightOf } from "./found.js";

const ZERO = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
const folder = await temporaryFolder();
let vista: string;

beforeEach(async () => {
  rmSync(join(folder, "Vista"), { recursive: true, force: true });
  vista = await makeCheckout(folder);
});

const found: Preflight = (...args) => preflightOf(folder, ...args);

let merging: Promise<unknown> | undefined;

/** A merged Vista phase 1, made from a real checkpoint: once, and copied for each test. */
async function mergedWeights(): Promise<string> {
  const [original, path] = [join(folder, "merged.bin"), join(folder, "pytorch_model.bin")];
  merging ??= makeFile("merge", ZERO, original, {});
  await merging;
  await cp(original, path, { force: true });
  return path;
}

test.each<[string, Partial<LaunchOptions>]>([
  ["example", { nodes: 1, nodeRank: 0, masterAddr: "127.0.0.1", masterPort: FREE_PORT }],
  ["debug", {}],
  ["phase1", { nodes: 1, rdzvEndpoint: ENDPOINT }],
  ["phase1", { slurm: { sbatch: {} } }],
])("%s: nothing is found where nothing is wrong", async (recipe, options) => {
  const system = node({ sbatch: { stdout: "slurm 22.05.8" } });
  expect((await found(recipe, options, system)).codes).toEqual([]);
});

test("phase 2 from a merged file, a checkpoint folder, a tag folder and a run folder", async () => {
  const run = join(folder, "run");
  await cp(ZERO, join(run, "checkpoints/last.ckpt"), { recursive: true });
  const places = [
    await mergedWeights(),
    ZERO,
    join(ZERO, "checkpoint"),
    run,
    join(run, "checkpoints/last.ckpt"),
  ];
  for (const finetune of places) {
    expect((await found("phase2-stage1", { finetune })).codes).toEqual([]);
  }
  // The documented 10 K steps end before the first epoch of 32 K does.
  expect((await found("phase2-stage2", { finetune: run })).codes).toEqual(["note late-checkpoint"]);
});

test("the checkout", async () => {
  expect((await found("debug", { vista: folder })).codes).toEqual(["error checkout"]);
});

test("several nodes without a rendezvous, a host nobody knows, a busy port", async () => {
  expect((await found("phase1")).codes).toEqual(["error no-rendezvous"]);
  expect((await found("phase1", { rdzvEndpoint: "no-such-host.invalid:29400" })).codes).toEqual([
    "error rendezvous-host",
  ]);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as { port: number };
  try {
    const busy = await found("phase1", { nodes: 1, rdzvEndpoint: `127.0.0.1:${port}` });
    expect(busy.codes).toEqual(["error port-busy"]);
    expect(busy.text).toContain(`port ${port} `);
    expect(
      (await found("example", { nodes: 1, nodeRank: 0, masterAddr: "127.0.0.1", masterPort: port })).codes,
    ).toEqual(["error port-busy"]);
    // Only the first node opens the port.
    expect(
      (await found("example", { nodeRank: 1, masterAddr: "127.0.0.1", masterPort: port })).codes,
    ).toEqual(["warning rendezvous-host"]);
  } finally {
    server.close();
  }
});

test.each<[string, Partial<LaunchOptions>]>([
  ["phase1", { rdzvEndpoint: ENDPOINT }],
  ["phase1", { rdzvEndpoint: "127.0.0.1", slurm: { sbatch: {} } }],
  ["example", { nodeRank: 1, masterAddr: "::1", masterPort: FREE_PORT }],
])("%s: several nodes that are to meet at an address which each is to itself", async (recipe, options) => {
  const { codes, text } = await found(recipe, options, node({ sbatch: { stdout: "slurm 22.05.8" } }));
  expect(codes).toEqual(["warning rendezvous-host"]);
  expect(text).toMatch(/is each of the (16|2) nodes to itself/);
});

test("a machine that does not know its own name", async () => {
  const system = node({}, { UNRESOLVED: "node1" });
  const finetune = await mergedWeights();
  const result = await found("phase2-stage1", { finetune }, system);
  expect(result.codes).toEqual(["warning host-name"]);
  expect(result.text).toContain("cannot resolve its own name, node1");
  const numbers = { finetune, nodeRank: 0, masterAddr: "127.0.0.1", masterPort: FREE_PORT };
  expect((await found("phase2-stage1", numbers, system)).codes).toEqual([]);
  expect((await found("debug", {}, system)).codes).toEqual([]);
});

test("PET_* variables", async () => {
  const system = node({}, { PET_MAX_RESTARTS: "3", PATH: "/usr/bin" });
  const result = await found("phase1", { nodes: 1, rdzvEndpoint: ENDPOINT }, system);
  expect(result.codes).toEqual(["warning pet-variable"]);
  expect(result.text).toContain("unset PET_MAX_RESTARTS");
  expect((await found("debug", {}, system)).codes).toEqual([]);
});

test.each<[string[], string[], string]>([
  [["--acumulate_grad_batches", "4"], ["error unknown-flag"], "Did you mean --accumulate_grad_batches?"],
  [["--max_epochs", "5"], ["error text-flag"], "lightning.trainer.max_epochs=5"],
  [["--gradient_clip_val=0.5"], ["error text-flag"], "lightning.trainer.gradient_clip_val=0.5"],
  [["--precision", "16", "--seed", "7", "--scale_lr"], [], ""],
  [["--max-epochs", "5"], ["error unknown-flag"], "Did you mean --max_epochs?"],
  [["--lightning.trainer.max_epochs=5"], ["error unknown-flag"], "lightning.trainer.max_epochs=VALUE"],
  [["8"], ["error unknown-flag"], "no use for `8`"],
  [["--log", "x"], ["error unknown-flag"], "could be --logdir or"],
  [["--num_nodes", "4"], ["error set-twice"], "Use --nodes"],
  [["-l", "/x"], ["error set-twice"], "Use --logdir"],
  [["data.params.num_workers=4", "lightning.trainer.max_steps=9"], [], ""],
  [["data.params.num_worker=4"], ["error unknown-key"], "Did you mean data.params.num_workers?"],
  [["data.parms.num_workers=4"], ["error unknown-key"], "Did you mean data.params.num_workers?"],
  [["lightning.trainer.max_epoch=4"], ["error unknown-key"], "Did you mean lightning.trainer.max_epochs?"],
  // Parameters of the classes, whether the config has them or not.
  [["model.params.ckpt_path=x", "model.params.optimizer_config.target=torch.optim.Adam"], [], ""],
  [["model.params.something_new=x"], ["warning unknown-key"], "no key model.params.something_new"],
  [["model.params.optimiser_config=x"], ["error unknown-key"], "Did you mean model.params.optimizer_config?"],
  [["model.params.network_config.parms=x"], ["error unknown-key"], "model.params.network_config.params?"],
  [["--", "--seed", "3"], ["error unknown-flag"], "no use for `--`"],
  [
    [
      "lightning.modelcheckpoint.params.every_n_epochs=null",
      "lightning.modelcheckpoint.params.every_n_train_steps=5000",
    ],
    [],
    "",
  ],
  [["lightning.modelcheckpoint.params.every_n_epoch=5"], ["error unknown-key"], "params.every_n_epochs?"],
  [["optimizer.lr=1"], ["error unknown-key"], "no section optimizer"],
  // A key that train.py reads, in a config without it.
  [["lightning.logger.params.name=x"], [], ""],
  [["lightning.strategy.params.x=1"], ["warning config-value"], "lightning.strategy has no effect beside"],
])("arguments for train.py: %j", async (extra, codes, text) => {
  const result = await found("debug", { extra });
  expect(result.codes).toEqual(codes);
  expect(result.text).toContain(text);
});

// Each is what argparse of Python 3.11 says with train.py's own parser: "expected one argument", "invalid int", "Boolean value expected".
test.each([
  [["--seed"], "--seed has no value"],
  [["-s", "-s", "5"], "-s has no value"],
  [["--seed=", "data.params.num_workers=4"], "whole number, and not"],
  [["--seed", "x"], "--seed takes a whole number, and not x"],
  [["--enable_tf32", "data.params.num_workers=4"], "yes or no, and not data.params.num_workers=4"],
  [["--scale_lr", "maybe"], "--scale_lr takes yes or no, and not maybe"],
  [["--no_test="], "takes yes or no"],
  [["-tb"], "takes yes or no, and not b"],
  [["--project"], "--project has no value"],
])("flags whose value argparse refuses: %j", async (extra, text) => {
  const result = await found("debug", { extra });
  expect(result.codes).toEqual(["error flag-value"]);
  expect(result.text).toContain(text);
});

test("flags whose value argparse takes", async () => {
  const extra = [
    "--seed",
    "-1",
    "-s5",
    "-s=5",
    "--seed= 6",
    "--enable_tf32=no",
    "--scale_lr",
    "--legacy_naming",
    "False",
    "-t1",
  ];
  expect((await found("debug", { extra })).codes).toEqual([]);
});

test("flags that make another run folder are refused where the run has a name, and another checkpoint beside --resume", async () => {
  for (const extra of [
    ["--postfix", "_b"],
    ["-f", "_b"],
    ["--no_date", "False"],
    // train.py moves the run into debug_runs when it ends.
    ["--debug"],
    ["-d", "true"],
  ]) {
    expect((await found("debug", { extra })).codes).toEqual([]);
    const result = await found("debug", { extra, name: "mine" });
    expect(result.codes).toEqual(["error set-twice"]);
    expect(result.text).toContain("it would be another folder");
  }
  // The launcher says so itself: twice is the same folder.
  for (const extra of [["--no_date"], ["--no_date", "True"], ["--debug=no"]])
    expect((await found("debug", { extra, name: "mine" })).codes).toEqual([]);
  const extra = ["--resume_from_checkpoint", "/elsewhere/ckpt"];
  expect((await found("debug", { extra })).codes).toEqual([]);
  expect((await found("debug", { extra, resume: "/r/last.ckpt" })).codes).toContain("error set-twice");
});

test("configs: missing, a folder, not YAML, outside `configs`", async () => {
  expect((await found("debug", { base: ["configs/none.yaml"] })).codes).toEqual(["error config-missing"]);
  expect((await found("debug", { base: ["configs/training"] })).codes).toEqual(["error config-missing"]);
  await writeFile(join(vista, "configs/bad.yaml"), "model: [\n");
  expect((await found("debug", { base: ["configs/bad.yaml"] })).codes).toEqual(["error config-missing"]);
  await cp(join(vista, "configs/example/nusc_train.yaml"), join(vista, "mine.yaml"));
  expect((await found("debug", { base: ["mine.yaml"] })).codes).toEqual(["error config-folder"]);
  // Only the first one has to lie there, and only where the run's name is made from it.
  expect((await found("debug", { base: ["configs/example/nusc_train.yaml", "mine.yaml"] })).codes).toEqual(
    [],
  );
  expect((await found("debug", { base: ["mine.yaml"], name: "mine" })).codes).toEqual([]);
});

test("strategies other than DeepSpeed stage 2", async () => {
  const config = join(vista, "configs/example/nusc_train.yaml");
  await writeFile(config, (await readFile(config, "utf8")).replace("deepspeed_stage_2", "deepspeed_stage_3"));
  const result = await found("debug");
  expect(result.codes).toEqual(["error strategy"]);
  expect(result.text).toContain("deepspeed_stage_3");
  expect(
    (await found("debug", { extra: ["lightning.trainer.strategy=deepspeed_stage_2_offload"] })).codes,
  ).toEqual([]);
  expect((await found("debug", { extra: ["--strategy", "deepspeed_stage_2"] })).codes).toEqual([]);
});

test("saving by steps answers the late checkpoint", async () => {
  const finetune = await mergedWeights();
  const steps = (count: number) => ({
    finetune,
    extra: [
      "lightning.modelcheckpoint.params.every_n_epochs=null",
      `lightning.modelcheckpoint.params.every_n_train_steps=${count}`,
    ],
  });
  expect((await found("phase2-stage2", steps(5000))).codes).toEqual([]);
  // The documented end comes before these 20,000 steps.
  expect((await found("phase2-stage2", steps(20_000))).codes).toEqual(["note late-checkpoint"]);
  // Where Lightning stops by itself, it saves; and `last` comes with every epoch, here of 64 steps.
  const settings = (...extra: string[]) => found("phase2-stage2", { finetune, extra });
  expect((await settings("lightning.trainer.max_steps=10000")).codes).toEqual([]);
  expect((await settings("lightning.trainer.limit_train_batches=0.002")).codes).toEqual([]);
  const rare = "lightning.modelcheckpoint.params.every_n_epochs=1000";
  const short = "lightning.trainer.limit_train_batches=64";
  expect((await settings(rare, short)).codes).toEqual([]);
  const never = "lightning.modelcheckpoint.params.save_last=false";
  expect((await settings(rare, short, never)).codes).toEqual([
    "warning config-value",
    "note late-checkpoint",
  ]);
});

test("resuming", async () => {
  const run = join(folder, "resumed");
  await cp(ZERO, join(run, "checkpoints/last.ckpt"), { recursive: true });
  await mkdir(join(run, "configs"));
  await cp(join(vista, "configs/example/nusc_train.yaml"), join(run, "configs/2024-project.yaml"));
  // The fixture is of two ranks, and the recipe is for one.
  const ranks = await found("debug", { resume: run });
  expect(ranks.codes).toEqual(["error resume-ranks"]);
  expect(ranks.text).toContain("was saved by 2 GPUs, and 1 would go on with it");
  expect((await found("debug", { resume: run, reshard: true })).codes).toEqual([]);
  expect(
    (await found("debug", { resume: run, name: "x" }, undefined, { ignore: ["resume-ranks"] })).codes,
  ).toEqual(["error resume-and-name"]);
  expect(
    (await found("debug", { resume: join(run, "checkpoints/last.ckpt"), name: "x", reshard: true })).codes,
  ).toEqual([]);
  expect((await found("debug", { resume: join(folder, "none") })).codes).toEqual(["error resume"]);
  // Cut off, as where the time was up while it was written.
  const shard = join(run, "checkpoints/last.ckpt/checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt");
  await truncate(shard, 5000);
  for (const resume of [run, join(run, "checkpoints/last.ckpt")]) {
    const cut = await found("debug", { resume });
    expect(cut.codes).toEqual(["error resume"]);
    expect(cut.text).toContain("the checkpoint is not whole");
  }
  await rm(join(run, "configs"), { recursive: true });
  await rm(join(run, "checkpoints/last.ckpt"), { recursive: true });
  expect((await found("debug", { resume: run })).codes).toEqual(["error resume", "error resume"]);
});

test("log folders", async () => {
  await mkdir(join(vista, "logs/taken/configs"), { recursive: true });
  expect((await found("debug", { name: "taken" })).codes).toEqual(["error run-exists"]);
  expect((await found("debug", { name: "free" })).codes).toEqual([]);
  await writeFile(join(folder, "file"), "");
  expect((await found("debug", { logdir: "file/logs" })).codes).toEqual(["error logdir"]);
});

test("a file system that nothing can be written to", async () => {
  const result = await found("debug", { logdir: "/proc/vista-logs" });
  expect(result.codes).toEqual(["error logdir"]);
});

test("disk space is forecast for all checkpoints of the documented steps, less those that are there", () => {
  const facts = trainingFacts({
    data: { params: { samples_per_epoch: 256_000, batch_size: 1 } },
    lightning: {
      trainer: { accumulate_grad_batches: 2 },
      modelcheckpoint: { params: { every_n_epochs: 1 } },
    },
  });
  const [recipe] = BUILT_IN_RECIPES.filter(({ name }) => name === "phase1");
  const plan = planLaunch(recipe!, { vista });
  // 256,000 samples on 128 GPUs, two a step: 1,000 steps an epoch, 20,000 in all; and `last`.
  expect(checkpointCount(facts, plan)).toBe(21);
  expect(checkpointCount({ ...facts, everyEpochs: 5 }, plan)).toBe(5);
  expect(checkpointCount({ ...facts, everySteps: 5000, saveLast: false }, plan)).toBe(4);
  expect(checkpointCount({ ...facts, saveTopK: 3 }, plan)).toBe(4);
  // Epochs of 500 of the 2,000 batches, of a quarter of them, and a training that ends before.
  expect(checkpointCount({ ...facts, limitBatches: { batches: 500 } }, plan)).toBe(81);
  expect(checkpointCount({ ...facts, limitBatches: { share: 0.25 } }, plan)).toBe(81);
  expect(checkpointCount({ ...facts, maxEpochs: 2 }, plan)).toBe(3);
  expect(checkpointCount({ ...facts, maxSteps: 4000 }, plan)).toBe(5);
  expect(checkpointCount({ ...facts, maxEpochs: 100 }, plan)).toBe(21);
});

test("disk space for the checkpoints of the real model", async () => {
  const config = join(vista, "configs/example/nusc_train.yaml");
  const text = await readFile(config, "utf8");
  await writeFile(config, text.replace("model_channels: 64", "model_channels: 320"));
  const free = async (bytes: number | undefined, extra: string[] = []) => {
    const system = fakeSystem({ "nvidia-smi": { stdout: EIGHT } }, {}, bytes);
    return found("debug", { extra }, system);
  };
  const full = await free(60e9);
  expect(full.codes).toEqual(["error disk-space"]);
  expect(full.text).toContain("60 GB free");
  expect(full.text).toContain("about 34 GB, the 2 to come with `last` 68 GB");
  expect((await free(70e9)).codes).toEqual([]);
  expect((await free(undefined)).codes).toEqual([]);
  // Only the adapters have optimizer state.
  expect((await free(33e9, ["model.params.train_peft_adapters=true"])).codes).toEqual([]);
});

test("svd_xt.safetensors: missing, cut off, something else; and a pytorch_model.bin beside it", async () => {
  const svd = join(vista, "ckpts/svd_xt.safetensors");
  await writeFile(join(vista, "ckpts/pytorch_model.bin"), "");
  expect((await found("debug")).codes).toEqual(["warning stray-weights"]);
  await rm(join(vista, "ckpts/pytorch_model.bin"));
  await truncate(svd, (await readFile(svd)).length - 1);
  expect((await found("debug")).codes).toEqual(["error svd-damaged"]);
  await writeFile(svd, "<html>Access denied</html>");
  expect((await found("debug")).codes).toEqual(["error svd-damaged"]);
  await saveWeights(svd, ["text_model.embeddings"]);
  expect((await found("debug")).codes).toEqual(["error svd-damaged"]);
  await rm(svd);
  expect((await found("debug")).codes).toEqual(["error svd-missing"]);
  await symlink("nowhere", svd);
  expect((await found("debug")).codes).toEqual(["error svd-missing"]);
});

test.each([
  ["train.py", "checkout", {}],
  ["configs/example/nusc_train.yaml", "config-missing", {}],
  ["data/nuscenes", "data-missing", {}],
  ["ckpts/svd_xt.safetensors", "svd-missing", {}],
  ["ckpts/pytorch_model.bin", "stray-weights", {}],
  ["logs/mine", "run-exists", { name: "mine", logdir: "logs" }],
] as const)("%s that cannot be looked at is not called absent", async (path, rule, options) => {
  // A link in a circle stands for all that is there and cannot be opened; permissions do not stop root.
  const closed = join(path.startsWith("logs") ? folder : vista, path);
  await rm(closed, { recursive: true, force: true });
  await mkdir(dirname(closed), { recursive: true });
  await symlink(closed, closed);
  const { codes, text } = await found("debug", options);
  expect(codes).toEqual([expect.stringMatching(new RegExp(` ${rule}$`))]);
  expect(text).toMatch(/: cannot (look at it|list the folder): too many symbolic links/);
  await rm(closed);
});

test("--finetune: not given, missing, of an unknown kind, damaged", async () => {
  expect((await found("phase2-stage1")).codes).toEqual(["error finetune-needed"]);
  expect((await found("phase2-stage1", { finetune: "none.bin" })).codes).toEqual(["error finetune-missing"]);
  expect((await found("phase2-stage1", { finetune: "Vista/annos" })).codes).toEqual([
    "error finetune-missing",
  ]);
  await writeFile(join(folder, "weights.pt"), "");
  expect((await found("phase2-stage1", { finetune: "weights.pt" })).codes).toEqual(["error finetune-format"]);
  const weights = await mergedWeights();
  await truncate(weights, 200_000);
  expect((await found("phase2-stage1", { finetune: weights })).codes).toEqual(["error finetune-damaged"]);
  const cut = join(folder, "cut.ckpt");
  await cp(ZERO, cut, { recursive: true });
  await rm(join(cut, "checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt"));
  expect((await found("phase2-stage1", { finetune: cut })).codes).toEqual(["error finetune-damaged"]);
});

test("--finetune: names that train.py drops or does not know", async () => {
  const st = join(folder, "vista.safetensors");
  await saveWeights(st, UNET_KEYS);
  expect((await found("phase2-stage1", { finetune: st })).codes).toEqual([]);
  await saveWeights(
    st,
    UNET_KEYS.map((key) => `_forward_module.${key}`),
  );
  const wrapped = await found("phase2-stage1", { finetune: st });
  expect(wrapped.codes).toEqual(["error finetune-keys"]);
  expect(wrapped.text).toContain("3 of 3");
  await saveWeights(st, ["unet.conv_in.weight"]);
  expect((await found("phase2-stage1", { finetune: st })).codes).toEqual(["error finetune-keys"]);
  await saveWeights(st, ["model.diffusion_model.only.adapter_down.weight"]);
  expect((await found("phase2-stage1", { finetune: st })).codes).toEqual(["warning finetune-incomplete"]);
  // The moving average stands in for weights that are not there, in train.py as here.
  const ema = UNET_KEYS.map(
    (key) =>
      `model_ema.${key.replace("model.", "").replace("diffusion_model.", "diffusion_model#").replaceAll(".", "").replace("#", "")}`,
  );
  await saveWeights(st, ["model.diffusion_model.a", ...ema]);
  expect((await found("phase2-stage1", { finetune: st })).codes).toEqual([]);
});

test("rules can be chosen and left out, by code or by group", async () => {
  const system = node({ "nvidia-smi": { outcome: "missing" } });
  await rm(join(vista, "ckpts/svd_xt.safetensors"));
  expect((await found("debug", {}, system, { only: ["train/svd-missing"] })).codes).toEqual([
    "error svd-missing",
  ]);
  expect((await found("debug", {}, system, { only: ["gpu"] })).codes).toEqual(["note gpu-unknown"]);
  expect((await found("debug", {}, system, { ignore: ["svd", "gpu-unknown"] })).codes).toEqual([]);
  expect(unknownSelectors(["gpu", "train/port-busy", "gp", "svd-missing-x"])).toEqual([
    "gp",
    "svd-missing-x",
  ]);
});

test("a program that asks for rules that there are not, or for none, is told so", async () => {
  const plan = planLaunch(BUILT_IN_RECIPES[0]!, { vista });
  for (const [rules, message] of [
    [{ only: ["gpu", "gp"] }, "there is no rule `gp`"],
    [{ ignore: ["svd-missing-x"] }, "there is no rule `svd-missing-x`"],
    [{ only: ["gpu"], ignore: ["gpu"] }, "--only and --ignore leave no rule to look at"],
  ] as const)
    await expect(preflight(plan, { env: {}, ...rules })).rejects.toMatchObject({ code: "USAGE", message });
});

test("a plan without a recipe, as of a name that there is not, is wrong usage", () => {
  const none = new Map<string, Recipe>().get("phase1")!;
  expect(() => planLaunch(none, { vista })).toThrow("there is no recipe");
});

test("every rule is in the documentation, and the documentation has no other", async () => {
  const page = await readFile(new URL("../../docs/rules-train.md", import.meta.url), "utf8");
  const documented = [...page.matchAll(/^\| `(train\/[a-z-]+)` +\| (error|warning|note)/gm)].map((m) => [
    m[1],
    m[2],
  ]);
  expect(documented).toEqual(
    Object.entries(RULES).map(([name, { severity }]) => [`train/${name}`, severity]),
  );
});
