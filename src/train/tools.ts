/** The parts of this package that the launcher uses of checkpoints and data. */

import { openSafetensors } from "../checkpoint/safetensors/read.js";
import { writeSafetensors } from "../checkpoint/safetensors/write.js";
import { asDict } from "../checkpoint/torch/objects.js";
import { tensorsOf } from "../checkpoint/torch/open.js";
import { readTorchFile } from "../checkpoint/torch/read.js";
import { writeTorchFile } from "../checkpoint/torch/write.js";
import { applyVista } from "../checkpoint/vista/steps.js";
import { openZeroCheckpoint } from "../checkpoint/zero/open.js";
import { VistaError } from "../core/errors.js";
import type { Tools } from "./preflight/preflight.js";
import { quickCheck } from "./preflight/quick-data.js";
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
      // train.py takes a .bin as the weights themselves, and of a .ckpt what lies under `state_dict`.
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
    return { ranks: info.ranks, steps: info.globalSteps };
  },

  async merge(folder, output, options) {
    const { state } = await openZeroCheckpoint(folder, options);
    try {
      await writeTorchFile(state, output, { ...options, force: true, phase: "merge" });
    } finally {
      await state.close();
    }
  },

  async toSafetensors(folder, output, options) {
    const { state } = await openZeroCheckpoint(folder, options);
    try {
      const converted = applyVista(state).state;
      await writeSafetensors(converted, output, { ...options, force: true, phase: "to-st" });
    } finally {
      await state.close();
    }
  },
};

export const tools: Tools = { checkpoints: checkpointTools, data: { quickCheck } };
