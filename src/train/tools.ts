/** The parts of this package that the launcher uses of checkpoints and data. */
import { VistaError } from "../errors.js";
import { openSafetensors } from "../safetensors/read.js";
import { writeSafetensors } from "../safetensors/write.js";
import { asDict } from "../torch/objects.js";
import { tensorsOf } from "../torch/open.js";
import { readTorchFile } from "../torch/read.js";
import { writeTorchFile } from "../torch/write.js";
import { applyVistaSteps } from "../vista/steps.js";
import { openZeroCheckpoint } from "../zero/open.js";
import type { CheckpointTools } from "./checkpoints.js";
import type { Tools } from "./preflight.js";
import { quickCheck } from "./quick-data.js";

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

  async checkFolder(path) {
    const { state } = await openZeroCheckpoint(path);
    await state.close();
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
      const { tensors } = applyVistaSteps(state.tensors);
      await writeSafetensors(state.with(tensors), output, { ...options, force: true, phase: "to-st" });
    } finally {
      await state.close();
    }
  },
};

export const tools: Tools = { checkpoints: checkpointTools, data: { quickCheck } };
