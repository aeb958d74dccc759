/** The parts of this package that the launcher uses of checkpoints and data. */

import { VistaError } from "../errors.js";
import { asDict } from "../torch/objects.js";
import { readTorchFile } from "../torch/read.js";
import type { CheckpointTools } from "./checkpoints.js";
import type { Tools } from "./preflight.js";
import { quickCheck } from "./quick-data.js";

export const checkpointTools: CheckpointTools = {
  async listKeys(path) {
    if (path.endsWith("safetensors")) throw new VistaError("UNSUPPORTED", "pending", { path });
    const file = await readTorchFile(path);
    try {
      return [...(asDict(file.value)?.keys() ?? [])].map(String);
    } finally {
      await file.file.close();
    }
  },
  async checkFolder() {},
  async merge() {},
  async toSafetensors() {},
};

export const tools: Tools = { checkpoints: checkpointTools, data: { quickCheck } };
