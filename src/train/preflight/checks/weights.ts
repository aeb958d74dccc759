/** The check of the weights that training starts from: train.py says nothing when it starts from others than it was told. */
import { dirname, join } from "node:path";
import { asUndefined } from "../../../core/errors.js";
import { statsOf } from "../../../core/io/regular.js";
import { BUILT_IN_RECIPES, SVD } from "../../launch/built-in-recipes.js";
import { isCheckpoint, type LaunchPlan } from "../../launch/plan.js";
import { lastChoice, lookAt } from "../../run/checkpoint-status.js";
import { listCheckpoints, resolveWeights, runFolderOf, type Weights } from "../../run/checkpoints.js";
import { findRankChange } from "../../run/prepare.js";
import { otherRecipeOf } from "../../run/runs.js";
import { finding, RULES, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";
import { readable, there } from "./look.js";

/** The prefix of names in checkpoints of Lightning before 2.1; train.py drops names without it from a `.bin`. */
const WRAPPER = "_forward_module.";
/** The prefix of names in Vista's UNet; {@link UNET_PROBES} are names that every VideoUNet has. */
const UNET = "model.diffusion_model.";
const UNET_PROBES = ["time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"];

/** Loads the tools for checkpoints, which most commands do without. */
function tools() {
  return import("../../checkpoint-tools.js");
}

export async function* checkWeights(context: CheckContext): AsyncGenerator<TrainFinding> {
  const { plan } = context;
  const { finetune } = plan;
  const { startsFrom } = plan.recipe;
  if (plan.resume !== undefined) {
    // The weights are those of the checkpoint. Still train.py loads SVD's first, but for a run that goes on in its own folder.
    if (isCheckpoint(plan.resume) || (plan.reshard && (await findRankChange(plan)) !== undefined))
      yield* checkSvd(context);
    return;
  }
  if (finetune === undefined && startsFrom === SVD) {
    yield* checkSvd(context);
    return;
  }
  if (finetune === undefined) {
    const what = `the recipe starts from the result of ${startsFrom}, and --finetune is not given`;
    yield finding("finetune-needed", what);
    return;
  }
  const { fix } = RULES["finetune-missing"];
  const weights = yield* readable("finetune-missing", () => resolveWeights(finetune), fix);
  if (weights === undefined) return;
  yield* checkOrigin(plan, weights);
  if (weights.fresh) yield* checkFile(weights.file);
  // Merging checks every record, so here only what can be seen at once is checked.
  else yield* readable("finetune-damaged", async () => (await tools()).readFolder(weights.checkpoint!));
}

/** Checks that the weights are of the phase before, and of the checkpoint that is meant. */
async function* checkOrigin(plan: LaunchPlan, { file, checkpoint }: Weights): AsyncGenerator<TrainFinding> {
  const run = checkpoint === undefined ? dirname(file) : runFolderOf(checkpoint);
  if (run === undefined) return;
  if (run === plan.finetune) {
    const { taken, doubt } = await lastChoice(await listCheckpoints(run), lookAt);
    if (doubt !== undefined) yield finding("last-checkpoint", `${run} stands for ${taken!.name}: ${doubt}`);
  }
  const before = BUILT_IN_RECIPES.find(({ name }) => name === plan.recipe.startsFrom);
  const made = before && (await otherRecipeOf(run, before, plan.vista).catch(asUndefined));
  if (made === undefined) return;
  const what = `${plan.recipe.name} starts from the result of ${before!.name}, and ${run} is of ${made.name}`;
  yield finding("finetune-recipe", what);
}

async function* checkFile(path: string): AsyncGenerator<TrainFinding> {
  // train.py compares in this way too, without the dot before the ending.
  const format = ["ckpt", "bin", "safetensors"].find((ending) => path.endsWith(ending));
  if (format === undefined) {
    yield finding("finetune-format", `${path} ends neither in .bin nor in .safetensors`);
    return;
  }
  const keys = yield* readable("finetune-damaged", async () => (await tools()).listKeys(path));
  if (keys === undefined) return;
  if (format === "bin") yield* checkBin(path, keys);
  if (format === "safetensors") yield* checkSafetensors(path, keys);
}

function* checkBin(path: string, keys: readonly string[]): Generator<TrainFinding> {
  const dropped = keys.filter((key) => !key.includes(WRAPPER.slice(0, -1)));
  if (dropped.length === 0)
    yield* checkComplete(path, new Set(keys.map((key) => key.replaceAll(WRAPPER, ""))));
  else {
    const share = `${dropped.length} of ${keys.length} weights, those without \`${WRAPPER}\`: ${examples(dropped)}`;
    yield finding("finetune-keys", `${path}: train.py would drop ${share}`);
  }
}

function* checkSafetensors(path: string, keys: readonly string[]): Generator<TrainFinding> {
  const wrapped = keys.filter((key) => key.startsWith(WRAPPER));
  if (wrapped.length > 0) {
    const share = `${wrapped.length} of ${keys.length} weights, those with \`${WRAPPER}\`: ${examples(wrapped)}`;
    yield finding("finetune-keys", `${path}: train.py would not recognise ${share}`, {
      fix: "Make the file with `vista-ckpt to-st`, or name the .bin or the checkpoint folder it came from.",
    });
  } else if (keys.some((key) => key.startsWith(UNET))) yield* checkComplete(path, new Set(keys));
  else {
    const what = `${path}: none of its ${keys.length} weights is one of Vista's UNet: ${examples(keys)}`;
    yield finding("finetune-keys", what, {
      fix: "Name a file that `vista-ckpt to-st` or `vista-ckpt merge` made from a Vista checkpoint.",
    });
  }
}

/** Looks for some weights of the UNet. train.py fills missing ones from their moving average; without it they stay random. */
function* checkComplete(path: string, keys: ReadonlySet<string>): Generator<TrainFinding> {
  const missing = UNET_PROBES.filter(
    (probe) => !keys.has(UNET + probe) && !keys.has(`model_ema.diffusion_model${probe.replaceAll(".", "")}`),
  );
  if (missing.length === 0) return;
  const names = examples(missing.map((probe) => UNET + probe));
  yield finding("finetune-incomplete", `${path}: weights of the UNet are not in it: ${names}`);
}

async function* checkSvd({ plan }: CheckContext): AsyncGenerator<TrainFinding> {
  const stray = join(plan.vista, "ckpts/pytorch_model.bin");
  if (plan.resume === undefined && (yield* readable("stray-weights", () => statsOf(stray))) !== undefined) {
    yield finding("stray-weights", "ckpts/pytorch_model.bin lies in the checkout");
  }
  const path = join(plan.vista, "ckpts/svd_xt.safetensors");
  const absent = "there is no ckpts/svd_xt.safetensors in the checkout";
  if ((yield* there("svd-missing", path, absent)) === undefined) return;
  const keys = yield* readable("svd-damaged", async () => (await tools()).listKeys(path));
  if (keys === undefined || keys.some((key) => key.startsWith(UNET))) return;
  const share = `no weights of a UNet among its ${keys.length}: ${examples(keys)}`;
  yield finding("svd-damaged", `ckpts/svd_xt.safetensors has ${share}`);
}

function examples(keys: readonly string[]): string {
  const shown = keys.slice(0, 3).join(", ");
  return keys.length > 3 ? `${shown} …` : shown;
}
