/** The parts of this package that the launcher uses of checkpoints and data. */
import { VistaError } from "../errors.js";
import { asDict } from "../torch/objects.js";
import { readTorchFile } from "../torch/read.js";
import { writeTorchFile } from "../torch/write.js";
import { openZeroCheckpoint } from "../zero/open.js";
import type { CheckpointTools } from "./checkpoints.js";
import type { Tools } from "./preflight.js";
import { quickCheck } from "./quick-data.js";

export const checkpointTools: CheckpointTools = {
  async listKeys(path) {
    if (path.endsWith("safetensors")) throw new VistaError("UNSUPPORTED", "pending", { path });
    const { file, value } = await readTorchFile(path);
    await file.close();
    const keys = [...(asDict(value)?.keys() ?? [])];
    if (keys.length === 0) {
      throw new VistaError("FORMAT", "holds no weights by name", { path, hint: "Name a merged checkpoint." });
    }
    return keys.map(String);
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

  async toSafetensors() {
    throw new VistaError("UNSUPPORTED", "pending");
  },
};

export const tools: Tools = { checkpoints: checkpointTools, data: { quickCheck } };
