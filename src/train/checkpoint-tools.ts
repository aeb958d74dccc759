/** The tools for checkpoints that the launcher uses, loaded where one is needed: most commands need none of the readers. */
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { reshardCheckpoint } from "../checkpoint/reshard.js";
import { openSafetensors } from "../checkpoint/safetensors/read.js";
import { saveCheckpoint } from "../checkpoint/save.js";
import { tensorsOf } from "../checkpoint/torch/named-tensors.js";
import { asDict } from "../checkpoint/torch/objects.js";
import { readTorchFile } from "../checkpoint/torch/read.js";
import { verifyCheckpoint } from "../checkpoint/verify.js";
import { applyVista } from "../checkpoint/vista/steps.js";
import { openZeroCheckpoint } from "../checkpoint/zero/open.js";
import { isVistaError, shorten, VistaError } from "../core/errors.js";
import { inPhase, type RunOptions } from "../core/progress.js";

/** Options of what makes files from the checkpoint of a run. */
export interface MakeOptions extends RunOptions {
  /** The function to call with what is odd about the checkpoint that something is made from, each time a sentence. */
  onWarning?: ((text: string) => void) | undefined;
}

/** What a checkpoint folder says of itself. */
export interface FolderFacts {
  /** The number of GPUs that saved it, a shard each; undefined where it is not whole, a single file, or without ZeRO. */
  ranks: number | undefined;
  /** The number of optimizer steps before it was saved, as DeepSpeed counts them; undefined where it does not say. */
  steps: number | undefined;
}

/**
 * Reads the tensor names of a `.bin`, `.ckpt` or `.safetensors` file, after its headers and sizes were found in order; no payload is
 * read.
 */
export async function listKeys(path: string): Promise<string[]> {
  if (path.endsWith("safetensors")) {
    const { state } = await openSafetensors(path);
    await state.close();
    return [...state.tensors.keys()];
  }
  const file = await readTorchFile(path);
  try {
    const top = asDict(file.value);
    // train.py takes a .bin as the weights themselves, and takes from a .ckpt what lies under `state_dict`.
    const weights = path.endsWith("ckpt") ? asDict(top?.get("state_dict")) : top;
    if (weights === undefined || weights.size === 0) {
      const hint = "Name a merged checkpoint.";
      throw new VistaError("FORMAT", "holds no weights by name", { path, hint });
    }
    await tensorsOf(file, weights);
    return [...weights.keys()].map(String);
  } finally {
    await file.file.close();
  }
}

/** Reads what a DeepSpeed checkpoint folder says of itself; throws unless every file of it is there and in order. */
export async function readFolder(
  path: string,
  options: Pick<RunOptions, "signal"> = {},
): Promise<FolderFacts> {
  const { state, info } = await openZeroCheckpoint(path, options);
  await state.close();
  return { ranks: info.stage === 0 ? undefined : info.ranks, steps: info.globalSteps };
}

/**
 * Reads every byte of a checkpoint, a folder or a file.
 *
 * @returns what keeps a training from going on with it: damage, a part that is missing, NaN or infinity; undefined where it is sound
 */
export async function verify(path: string, options: RunOptions): Promise<string | undefined> {
  try {
    const { problems, nonFinite } = await verifyCheckpoint(path, options);
    const [first] = nonFinite;
    if (problems.length > 0) return problems[0]!.message;
    if (first) return `${first.nan} NaN and ${first.inf} infinite values in ${shorten(first.name, 200)}`;
    // The files may be sound and still too few: where a folder is of a kind that cannot be opened here, nobody has counted them.
    if ((await stat(path)).isDirectory()) await readFolder(path, options);
    return undefined;
  } catch (error) {
    if (!isVistaError(error) || ["ABORTED", "USAGE"].includes(error.code)) throw error;
    return error.message;
  }
}

/**
 * Makes one file from a DeepSpeed checkpoint folder, replacing an older one: its weights as a torch file (`merge`), or a
 * safetensors file for inference (`to-st`).
 */
export async function makeFile(
  step: "merge" | "to-st",
  folder: string,
  output: string,
  options: MakeOptions,
): Promise<void> {
  const run = inPhase(options, step);
  const { state, info } = await openZeroCheckpoint(folder, run);
  try {
    for (const warning of info.warnings) options.onWarning?.(warning);
    if (step === "merge") await saveCheckpoint(state, output, { ...run, format: "torch", force: true });
    else
      await saveCheckpoint(applyVista(state).state, output, { ...run, format: "safetensors", force: true });
  } finally {
    await state.close();
  }
}

/** Makes a checkpoint folder for another number of GPUs, replacing an older one. */
export async function makeResharded(
  folder: string,
  output: string,
  ranks: number,
  options: MakeOptions,
): Promise<void> {
  await mkdir(dirname(output), { recursive: true });
  const { warnings } = await reshardCheckpoint(folder, output, { ...options, ranks, force: true });
  for (const warning of warnings) options.onWarning?.(warning);
}
