/** The steps that follow a training that ended well: its shards are merged, and made into a file for inference. */
import { join } from "node:path";
import { VistaError } from "../../core/errors.js";
import type { RunOptions } from "../../core/progress.js";
import { merge, toSafetensors } from "../tools.js";
import { resolveWeights, type Weights } from "./checkpoints.js";

/** A step: `merge` makes pytorch_model.bin from ZeRO shards, `to-st` makes the file for inference. */
export type Step = "merge" | "to-st";
const STEPS: readonly Step[] = ["merge", "to-st"];

/** Parses steps with commas between them. @throws VistaError `USAGE` for a step that does not exist */
export function parseSteps(text: string): Step[] {
  return text.split(",").map((word) => {
    const step = STEPS.find((known) => known === word.trim());
    if (step !== undefined) return step;
    throw new VistaError("USAGE", `there is no step \`${word}\``, { hint: `Steps are ${STEPS.join(", ")}.` });
  });
}

/**
 * Merges the shards that weights come from, unless that was done and they have not changed since.
 *
 * @returns whether it was done now
 */
export async function mergeIfNeeded(weights: Weights, options: RunOptions): Promise<boolean> {
  if (weights.kind === "file" || weights.fresh) return false;
  await merge(weights.checkpoint, weights.output, options);
  return true;
}

/**
 * Merges the last checkpoint of a run (`merge`), makes the file for inference from it (`to-st`), or both.
 *
 * @returns the file that each step made, or found made already, in order
 * @throws VistaError `UNSUPPORTED` where the last checkpoint is a single file, and what merging throws
 */
export async function finishRun(
  run: string,
  steps: readonly Step[],
  options: RunOptions = {},
): Promise<string[]> {
  const weights = await resolveWeights(run);
  if (weights.kind === "file") {
    throw new VistaError(
      "UNSUPPORTED",
      "the last checkpoint is a single file: there are no shards to merge",
      { path: weights.path, hint: "Give it to `vista-ckpt to-st`." },
    );
  }
  const made: string[] = [];
  for (const step of steps) {
    if (step === "merge") {
      await mergeIfNeeded(weights, options);
      made.push(weights.output);
    } else {
      const output = join(run, "vista.safetensors");
      await toSafetensors(weights.checkpoint, output, options);
      made.push(output);
    }
  }
  return made;
}
