/** The weights that training starts from. train.py says nothing when it starts from others than it was told. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { isVistaError } from "../../../core/errors.js";
import { SVD } from "../../launch/built-in-recipes.js";
import { finding, type RuleName, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";

/** Prefix of names in checkpoints of Lightning before 2.1; train.py drops names without it from a `.bin`. */
const WRAPPER = "_forward_module.";
/** Where Vista keeps its UNet, and the part of it that every VideoUNet has. */
const UNET = "model.diffusion_model.";
const UNET_PROBES = ["time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"];

export async function checkWeights(context: CheckContext): Promise<TrainFinding[]> {
  const { plan, weights, checkpoints } = context;
  // A resumed run has all its weights in its own checkpoint.
  if (plan.resume !== undefined) return [];
  if (weights === undefined) {
    return plan.recipe.startsFrom === SVD ? checkSvd(context) : [neededFinding(plan.recipe.startsFrom)];
  }
  if (weights instanceof Error) return [finding("finetuneMissing", weights.message)];
  if (weights.kind === "shards") {
    // Merging checks every record; here only what can be seen at once.
    if (weights.fresh) return checkFile(context, weights.output);
    return checkpoints.readFolder(weights.checkpoint).then(
      () => [],
      (error: unknown) => [asFinding("finetuneDamaged", error)],
    );
  }
  return checkFile(context, weights.path);
}

function neededFinding(from: string): TrainFinding {
  return finding(
    "finetuneNeeded",
    `the recipe starts from the result of ${from}, and --finetune is not given`,
  );
}

async function checkFile(context: CheckContext, path: string): Promise<TrainFinding[]> {
  // As train.py compares: no dot before the ending.
  const format = ["ckpt", "bin", "safetensors"].find((ending) => path.endsWith(ending));
  if (format === undefined)
    return [finding("finetuneFormat", `${path} ends neither in .bin nor in .safetensors`)];
  let keys: string[];
  try {
    keys = await context.checkpoints.listKeys(path);
  } catch (error) {
    return [asFinding("finetuneDamaged", error)];
  }
  if (format === "ckpt") return [];
  return format === "bin" ? checkBin(path, keys) : checkSafetensors(path, keys);
}

function checkBin(path: string, keys: readonly string[]): TrainFinding[] {
  const dropped = keys.filter((key) => !key.includes(WRAPPER.slice(0, -1)));
  if (dropped.length > 0) {
    return [
      finding(
        "finetuneKeys",
        `${path}: train.py would drop ${dropped.length} of ${keys.length} weights, those without \`${WRAPPER}\`: ${examples(dropped)}`,
      ),
    ];
  }
  return checkComplete(path, new Set(keys.map((key) => key.replaceAll(WRAPPER, ""))));
}

function checkSafetensors(path: string, keys: readonly string[]): TrainFinding[] {
  const wrapped = keys.filter((key) => key.startsWith(WRAPPER));
  if (wrapped.length > 0) {
    return [
      finding(
        "finetuneKeys",
        `${path}: train.py would not recognise ${wrapped.length} of ${keys.length} weights, those with \`${WRAPPER}\`: ${examples(wrapped)}`,
        {
          fix: "Make the file with `vista-ckpt to-st`, or name the .bin or the checkpoint folder it came from.",
        },
      ),
    ];
  }
  if (keys.some((key) => key.startsWith(UNET))) return checkComplete(path, new Set(keys));
  return [
    finding(
      "finetuneKeys",
      `${path}: none of its ${keys.length} weights is one of Vista's UNet: ${examples(keys)}`,
      {
        fix: "Name a file that `vista-ckpt to-st` or `vista-ckpt merge` made from a Vista checkpoint.",
      },
    ),
  ];
}

/** Weights that are missing are filled from their moving average, as train.py does; without one they stay random. */
function checkComplete(path: string, keys: ReadonlySet<string>): TrainFinding[] {
  const missing = UNET_PROBES.filter(
    (probe) => !keys.has(UNET + probe) && !keys.has(`model_ema.diffusion_model${probe.replaceAll(".", "")}`),
  );
  if (missing.length === 0) return [];
  return [
    finding(
      "finetuneIncomplete",
      `${path}: weights of the UNet are not in it: ${examples(missing.map((m) => UNET + m))}`,
    ),
  ];
}

async function checkSvd({ plan, checkpoints }: CheckContext): Promise<TrainFinding[]> {
  const found: TrainFinding[] = [];
  if ((await stat(join(plan.vista, "ckpts/pytorch_model.bin")).catch(() => undefined)) !== undefined) {
    found.push(finding("strayWeights", "ckpts/pytorch_model.bin lies in the checkout"));
  }
  const path = join(plan.vista, "ckpts/svd_xt.safetensors");
  if ((await stat(path).catch(() => undefined)) === undefined) {
    found.push(finding("svdMissing", "there is no ckpts/svd_xt.safetensors in the checkout"));
    return found;
  }
  try {
    const keys = await checkpoints.listKeys(path);
    if (!keys.some((key) => key.startsWith(UNET))) {
      found.push(
        finding(
          "svdDamaged",
          `ckpts/svd_xt.safetensors has no weights of a UNet among its ${keys.length}: ${examples(keys)}`,
        ),
      );
    }
  } catch (error) {
    found.push(asFinding("svdDamaged", error));
  }
  return found;
}

function asFinding(rule: RuleName, error: unknown): TrainFinding {
  if (!isVistaError(error)) throw error;
  return finding(rule, error.message, error.hint === undefined ? {} : { fix: error.hint });
}

function examples(keys: readonly string[]): string {
  const shown = keys.slice(0, 3).join(", ");
  return keys.length > 3 ? `${shown} …` : shown;
}
