/** The preflight of configs that train.py would stop at, or would take for something else. */
import { rmSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { copyFolder } from "../helpers/copy.js";
import { makeCheckout, temporaryFolder } from "./checkout.js";
import { type Preflight, preflightOf } from "./found.js";

const folder = await temporaryFolder();
const found: Preflight = (...args) => preflightOf(folder, ...args);
let vista: string;

beforeEach(async () => {
  rmSync(join(folder, "Vista"), { recursive: true, force: true });
  vista = await makeCheckout(folder);
});

/** The section `lightning.strategy` with DeepSpeed's own class. */
const deepSpeed = (params: string) =>
  `  strategy: {target: pytorch_lightning.strategies.DeepSpeedStrategy, params: ${params}}\n`;

/** What is found where a text of the config of `debug` is replaced. */
async function changed(from: string | RegExp, to: string) {
  const path = join(vista, "configs/example/nusc_train.yaml");
  const text = await readFile(path, "utf8");
  expect(text.replace(from, to)).not.toBe(text);
  await writeFile(path, text.replace(from, to));
  return found("debug");
}

test.each<[from: string | RegExp, to: string, codes: string[], text: string]>([
  // PyYAML takes these for octal: 382 is no multiple of 64, and 576 is one.
  ["target_height: 576", "target_height: 0576", ["error data-faulty"], "target_height 382"],
  ["target_height: 576", "target_height: 01100", [], ""],
  ["samples_per_epoch: 16000", "samples_per_epoch: 16e3", ["error data-faulty"], "is 16000.0, not a whole"],
  ["num_frames: *num_frames", "num_frames: 25.0", ["error data-faulty"], "num_frames is 25.0, not a whole"],
  ["batch_size: 1", "batch_size: 1_0", ["error data-faulty"], "batch_size is 10"],
  ["probs: [1]", "probs: [no]", ["error data-faulty"], "probs is [false]"],
  ["probs: [1]", "probs: 1", ["error data-faulty"], "probs is 1, not a list"],
  ["probs: [1]", "probs: [-1]", ["error data-faulty"], "probs is [-1]"],
  ["    batch_size: 1\n", "", ["error data-faulty"], "batch_size is not set"],
  ["    samples_per_epoch: 16000\n", "", ["error data-faulty"], "samples_per_epoch is not set"],
  ["subsets: [NuScenes]", "subsets: null", ["error data-faulty"], "subsets is not set"],
  ["subsets: [NuScenes]", "subsets: {NuScenes: 1}", ["error unknown-subset"], "<mapping>, not a list"],
  ["subsets: [NuScenes]\n    probs: [1]", "subsets: []", ["error unknown-subset"], "empty"],
  ["target_height", "target_heigth", ["error unknown-key"], "Did you mean data.params.target_height?"],
  ["modelcheckpoint:\n    params:", "modelcheckpoint:\n", ["warning unknown-key"], "does not read"],
  ["modelcheckpoint", "modelcheckpont", ["error unknown-key"], "lightning.modelcheckpoint?"],
  ["every_n_epochs", "every_n_epoch", ["error unknown-key"], "params.every_n_epochs?"],
  ["max_epochs", "max_epoch", ["error unknown-key"], "Did you mean lightning.trainer.max_epochs?"],
  // What follows was tried with Lightning 2.0.1: it saves `last` when an epoch ends, whatever these two say.
  ["every_n_epochs: 1", "every_n_epochs: 0", [], ""],
  ["every_n_epochs: 1", "every_n_train_steps: 0", [], ""],
  [
    "every_n_epochs: 1",
    "every_n_epochs: 0\n      save_last: off",
    ["error config-value", "warning config-value"],
    "no checkpoint would be saved",
  ],
  ["every_n_epochs: 1", 'every_n_epochs: "1"', ["error config-value"], 'every_n_epochs is "1", not a whole'],
  ["every_n_epochs: 1", 'save_top_k: "-1"', ["error config-value"], 'save_top_k is "-1", not a whole'],
  ["every_n_epochs: 1", "every_n_epochs: 1.0", [], ""],
  [
    "accumulate_grad_batches: 1",
    'accumulate_grad_batches: "2"',
    ["error config-value"],
    'is "2", not a whole',
  ],
  ["accumulate_grad_batches: 1", "accumulate_grad_batches: 2.0", [], ""],
  ["max_epochs: 100", 'max_epochs: "100"', ["error config-value"], 'max_epochs is "100", not a whole'],
  [
    "max_epochs: 100",
    "max_steps: -2",
    ["error config-value"],
    "max_steps is -2, not a whole number from -1 on",
  ],
  ["max_epochs: 100", "max_steps: -1", [], ""],
  [
    "every_n_epochs: 1",
    "train_time_interval: 00:30:00",
    ["error config-value"],
    "is 00:30:00: Lightning wants a timedelta",
  ],
  ["max_epochs: 100", "enable_checkpointing: off", ["error config-value"], "enable_checkpointing is false"],
  ["max_epochs: 100", "logger: false", ["error config-value"], "logger is false"],
  ["max_epochs: 100", "precision: 7", ["error config-value"], "precision is 7: not one"],
  ["max_epochs: 100", "precision: bf16-mixed", [], ""],
  ["max_epochs: 100", "precision: 16", [], ""],
  ["max_epochs: 100", "limit_train_batches: 2.5", ["error config-value"], "limit_train_batches is 2.5"],
  ["max_epochs: 100", "limit_train_batches: 0", ["error config-value"], "limit_train_batches is 0"],
  ["max_epochs: 100", "limit_train_batches: 1.0", [], ""],
  // Without a validation step, which Vista has commented out, nothing is saved then.
  ["max_epochs: 100", "check_val_every_n_epoch: 5", ["error config-value"], "there would be no checkpoint"],
  [
    "max_epochs: 100",
    "check_val_every_n_epoch: null",
    ["error config-value"],
    "there would be no checkpoint",
  ],
  ["max_epochs: 100", "check_val_every_n_epoch: 1", [], ""],
  [
    "every_n_epochs: 1",
    "save_on_train_epoch_end: no",
    ["error config-value"],
    "there would be no checkpoint",
  ],
  ["every_n_epochs: 1", "save_on_train_epoch_end: no\n      every_n_train_steps: 500", [], ""],
  ["every_n_epochs: 1", "save_weights_only: true", ["warning config-value"], "save_weights_only is on"],
  ["max_epochs: 100", "fast_dev_run: 3", ["warning config-value"], "fast_dev_run is 3"],
  [
    "base_learning_rate: 1.e-5",
    "base_learning_rate: '1.e-5'",
    ["error config-value"],
    "not a number above 0",
  ],
  ["base_learning_rate: 1.e-5", "base_learning_rate: 0", ["error config-value"], "base_learning_rate is 0"],
  ["base_learning_rate: 1.e-5", "base_learning_rate: 1", [], ""],
  // Vista's loader passes a prefetch_factor in any case, which torch refuses without workers.
  ["num_workers: 16", "num_workers: 0", ["error data-faulty"], "num_workers is 0, not a whole number"],
  ["    num_workers: 16\n", "", ["error data-faulty"], "num_workers is not set"],
  [
    "num_workers: 16",
    "num_workers: 16\n    prefetch_factor: 0",
    ["error data-faulty"],
    "prefetch_factor is 0",
  ],
  ["num_workers: 16", "num_workers: 16\n    prefetch_factor: null", [], ""],
  [
    "every_n_epochs: 1",
    "every_n_epochs: often",
    ["error config-value"],
    "often, not a whole number from 0 on",
  ],
  ["every_n_epochs: 1", "save_top_k: 3", ["error config-value"], "save_top_k is 3 and no `monitor`"],
  [
    "every_n_epochs: 1",
    "every_n_epochs: 1\n      save_last: off",
    ["warning config-value"],
    "save_last is off",
  ],
  ["every_n_epochs: 1", "dirpath: /big/ckpts", ["warning config-value"], "dirpath is /big/ckpts"],
  ["accumulate_grad_batches: 1", "accumulate_grad_batches: 0", ["error config-value"], "is 0, not a whole"],
  ["  base_learning_rate: 1.e-5\n", "", ["error config-value"], "model.base_learning_rate is not set"],
  ["  target: vwm.data.dataset.Sampler\n", "", ["error config-value"], "data.target is not set"],
  // What follows was tried with the real train.py and Lightning 2.0.1.
  ["max_epochs: 100", "max_epochs: 0", ["error config-value"], "max_epochs is 0: Lightning ends before"],
  ["max_epochs: 100", "max_steps: 0", ["error config-value"], "max_steps is 0: Lightning ends before"],
  ["max_epochs: 100", "max_time: 10:00:00:00", ["error config-value"], "max_time is 2160000: not the text"],
  ["max_epochs: 100", 'max_time: "12:00:00"', ["error config-value"], "max_time is 12:00:00: not the text"],
  ["max_epochs: 100", 'max_time: "10:00:00:00"', [], ""],
  ["max_epochs: 100", "max_time: {hours: 12}", [], ""],
  ["max_epochs: 100", "gradient_clip_algorithm: value", ["error config-value"], "by their norm only"],
  ["max_epochs: 100", "gradient_clip_algorithm: norm", [], ""],
  ["max_epochs: 100", "barebones: true", ["error config-value"], "barebones is true"],
  ["max_epochs: 100", "callbacks: null", ["warning config-value"], "in the place of train.py's own"],
  ["  trainer:", "  callbacks: null\n  trainer:", ["error config-value"], "lightning.callbacks is null"],
  ["  trainer:", "  callbacks: {}\n  trainer:", [], ""],
  ["strategy: deepspeed_stage_2", "strategy: deepspeed", [], ""],
  ["strategy: deepspeed_stage_2", "strategy: deepspeed_stage_1", ["error strategy"], "is deepspeed_stage_1"],
  ["strategy: deepspeed_stage_2", "strategy: null", ["error strategy"], "the strategy is null"],
  ["    strategy: deepspeed_stage_2\n", "", ["error strategy"], "the strategy is not set"],
  ["    strategy: deepspeed_stage_2\n", deepSpeed("{}"), [], ""],
  ["    strategy: deepspeed_stage_2\n", deepSpeed("{offload_optimizer: true, stage: 2}"), [], ""],
  ["    strategy: deepspeed_stage_2\n", deepSpeed("{stage: 3}"), ["error strategy"], "is deepspeed_stage_3"],
  [
    "    strategy: deepspeed_stage_2\n",
    deepSpeed("{config: a.json}"),
    ["error strategy"],
    "DeepSpeedStrategy",
  ],
  [
    "strategy: deepspeed_stage_2\n",
    `strategy: deepspeed_stage_2\n${deepSpeed("{stage: 3}")}`,
    ["warning config-value"],
    "lightning.strategy has no effect beside lightning.trainer.strategy",
  ],
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: OmegaConf writes so
  [
    "every_n_epochs: 1",
    "every_n_epochs: ${lightning.trainer.accumulate_grad_batches}",
    ["error config-value"],
    "every_n_epochs is ${lightning.trainer.accumulate_grad_batches}, which train.py cannot follow",
  ],
  ["every_n_epochs: 1", "every_n_epochs: ${data.params.batch_size}", [], ""],
  // The value of another key, and what OmegaConf alone knows.
  [
    "target_height: 576",
    "target_height: ${data.params.num_workers}",
    ["error data-faulty"],
    "target_height 16",
  ],
  ["target_height: 576", "target_height: ${oc.env:HEIGHT}", ["note config-value"], "not looked at"],
  ["max_epochs: 100", "check_val_every_n_epoch: ${oc.env:N}", ["note config-value"], "not looked at"],
  ["max_epochs: 100", "limit_train_batches: ${oc.env:N}", ["note config-value"], "not looked at"],
  ["subsets: [NuScenes]", 'subsets: ["${oc.env:SUBSET}"]', ["note config-value"], "not looked at"],
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: OmegaConf writes so
  ["batch_size: 1", "batch_size:\t1", ["error config-missing"], "a tab between words"],
])("a config with %j in which it is %j", async (from, to, codes, text) => {
  const result = await changed(from, to);
  expect(result.codes).toEqual(codes);
  expect(result.text).toContain(text);
});

test.each<[string[], string[], string]>([
  [["data.params.num_workers=08x"], ["error data-faulty"], 'num_workers is "08x"'],
  [["model.params.scale_factor=08x"], [], ""],
  [["data.params.subsets=[NuScenes"], ["error config-value"], "data.params.subsets=[NuScenes: not YAML"],
  [["data.params.subsets[0]=NuScenes"], ["error config-value"], "a list in the config and a mapping here"],
  [["data.params.subsets={a: 1}"], ["error config-value"], "a list in the config and a mapping here"],
  [["data.params=[1]"], ["error config-value"], "a mapping in the config and a list here"],
  [["data.params.target_height=0501"], ["error data-faulty"], "target_height 321"],
  [["data.params.target_height=01100", "data.params.subsets=[NuScenes]"], [], ""],
  [["lightning.modelcheckpoint.params.every_n_train_steps=9"], ["error config-value"], "takes one of them"],
  [["model.params.train_peft_adapters=yes"], [], ""],
  // Flags win over both.
  [["--precision", "8"], ["error config-value"], "precision is 8: not one"],
  [["--precision", "16", "lightning.trainer.precision=8"], [], ""],
  [["--max_time", "10:00:00:00"], [], ""],
  [["--strategy", "ddp"], ["error strategy"], "the strategy is ddp"],
  [["--strategy", "deepspeed", "lightning.trainer.strategy=ddp"], [], ""],
  [["--train", "no"], ["warning flag-value"], "--train no: train.py ends before the first step"],
  [["-t", "false"], ["warning flag-value"], "-t false: train.py ends"],
  [["--no_test", "0"], ["warning flag-value"], "Vista has no test"],
  [["--train", "yes", "--no_test"], [], ""],
  [
    ["lightning.trainer.devices=4"],
    ["warning set-twice"],
    "no effect: the number comes from vista-train | Use --gpus",
  ],
])("values among the arguments for train.py: %j", async (extra, codes, text) => {
  const result = await found("debug", { extra });
  expect(result.codes).toEqual(codes);
  expect(result.text).toContain(text);
});

test("configs that can be read and not be merged", async () => {
  const path = join(vista, "configs/more.yaml");
  await writeFile(path, "data: {params: {subsets: {a: 1}}}\n");
  const base = ["configs/example/nusc_train.yaml", "configs/more.yaml"];
  const result = await found("debug", { base });
  expect(result.codes).toEqual(["error config-missing"]);
  expect(result.text).toContain("data.params.subsets is a list in the config and a mapping here");
  // `???` gives no value, and an empty file none at all.
  await writeFile(path, "data:\n  params:\n    subsets: ???\n");
  expect((await found("debug", { base })).codes).toEqual([]);
  await writeFile(path, "# nothing yet\n");
  expect((await found("debug", { base })).codes).toEqual([]);
  await writeFile(path, Buffer.from([0x61, 0x3a, 0x20, 0xff, 0x0a]));
  expect((await found("debug", { base })).text).toContain("not text in UTF-8");
});

test("a run that is resumed goes on with the configs it saved, and --base comes on top", async () => {
  const run = join(folder, "run");
  rmSync(run, { recursive: true, force: true });
  copyFolder(
    new URL("../../fixtures/zero/vista-phase1", import.meta.url).pathname,
    join(run, "checkpoints/last.ckpt"),
  );
  await mkdir(join(run, "configs"));
  const saved = await readFile(join(vista, "configs/example/nusc_train.yaml"), "utf8");
  await writeFile(join(run, "configs/2025-project.yaml"), saved);
  const options = { resume: run, gpus: 2, nodes: 1 };
  expect((await found("example", options)).codes).toEqual([]);
  const more = join(vista, "configs/more.yaml");
  await writeFile(more, "data: {params: {target_height: 500}}\n");
  // The saved configs still say which subsets there are.
  const both = await found("example", { ...options, base: ["configs/more.yaml"] });
  expect(both.codes).toEqual(["error data-faulty"]);
  await writeFile(join(run, "configs/2025-project.yaml"), "model: [\n");
  const damaged = await found("example", options);
  expect(damaged.codes).toEqual(["error config-missing"]);
  expect(damaged.text).toContain("2025-project.yaml: not YAML");
});
