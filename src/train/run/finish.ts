/** The steps that follow a training that ended well: its shards are merged, and made into a file for inference. */
import { join } from "node:path";
import { VistaError } from "../../core/errors.js";
import type { MakeOptions } from "../checkpoint-tools.js";
import { resolveWeights } from "./checkpoints.js";
import { checkRunFolder } from "./runs.js";

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
 * Merges the last checkpoint of a run (`merge`), makes the file for inference from it (`to-st`), or both.
 *
 * @returns the file that each step made, or found made already, in order
 * @throws VistaError `NOT_FOUND` or `WRONG_KIND` where `run` is no folder, `UNSUPPORTED` where the last checkpoint is a single file, and what merging throws
 */
export async function finishRun(
  run: string,
  steps: readonly Step[],
  options: MakeOptions = {},
): Promise<string[]> {
  await checkRunFolder(run);
  const { file, checkpoint, fresh } = await resolveWeights(run);
  if (checkpoint === undefined) {
    throw new VistaError(
      "UNSUPPORTED",
      "the last checkpoint is a single file: there are no shards to merge",
      { path: file, hint: "Give it to `vista-ckpt to-st`." },
    );
  }
  const { makeFile } = await import("../checkpoint-tools.js");
  const files = { merge: file, "to-st": join(run, "vista.safetensors") };
  for (const step of steps) {
    if (step === "to-st" || !fresh) await makeFile(step, checkpoint, files[step], options);
  }
  return steps.map((step) => files[step]);
}
