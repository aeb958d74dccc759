/** The tools for checkpoints that the launcher uses, made of the other parts of this package. */
import { stat } from "node:fs/promises";
import { reshardCheckpoint } from "../checkpoint/reshard.js";
import { openSafetensors } from "../checkpoint/safetensors/read.js";
import { saveCheckpoint } from "../checkpoint/save.js";
import { asDict } from "../checkpoint/torch/objects.js";
import { tensorsOf } from "../checkpoint/torch/open.js";
import { readTorchFile } from "../checkpoint/torch/read.js";
import { verifyCheckpoint } from "../checkpoint/verify.js";
import { applyVista } from "../checkpoint/vista/steps.js";
import { openZeroCheckpoint } from "../checkpoint/zero/open.js";
import { isVistaError, shorten, VistaError } from "../core/errors.js";
import { inPhase } from "../core/progress.js";
import type { CheckpointTools } from "./run/checkpoints.js";

export const checkpointTools: CheckpointTools = {
  async listKeys(path) {
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
        throw new VistaError("FORMAT", "holds no weights by name", {
          path,
          hint: "Name a merged checkpoint.",
        });
      }
      await tensorsOf(file, weights);
      return [...weights.keys()].map(String);
    } finally {
      await file.file.close();
    }
  },

  async readFolder(path, options = {}) {
    const { state, info } = await openZeroCheckpoint(path, options);
    await state.close();
    return { ranks: info.stage === 0 ? undefined : info.ranks, steps: info.globalSteps };
  },

  async verify(path, options) {
    try {
      const { problems, nonFinite } = await verifyCheckpoint(path, options);
      const [first] = nonFinite;
      if (problems.length > 0) return problems[0]!.message;
      if (first) return `${first.nan} NaN and ${first.inf} infinite values in ${shorten(first.name, 200)}`;
      // The files may be sound and still too few: where a folder is of a kind that cannot be opened here, nobody has counted
      // them.
      if ((await stat(path)).isDirectory()) await checkpointTools.readFolder(path, options);
      return undefined;
    } catch (error) {
      if (!isVistaError(error) || ["ABORTED", "USAGE"].includes(error.code)) throw error;
      return error.message;
    }
  },

  async merge(folder, output, options) {
    const { state } = await openZeroCheckpoint(folder, options);
    try {
      await saveCheckpoint(state, output, { ...inPhase(options, "merge"), format: "torch", force: true });
    } finally {
      await state.close();
    }
  },

  async reshard(folder, output, ranks, options) {
    await reshardCheckpoint(folder, output, { ...options, ranks, force: true });
  },

  async toSafetensors(folder, output, options) {
    const { state } = await openZeroCheckpoint(folder, options);
    try {
      const converted = applyVista(state).state;
      const save = inPhase(options, "to-st");
      await saveCheckpoint(converted, output, { ...save, format: "safetensors", force: true });
    } finally {
      await state.close();
    }
  },
};
