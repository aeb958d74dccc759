/**
 * The tools for checkpoints and data that the launcher uses. They are loaded when first needed, since most commands need none.
 */
import type { Tools } from "./preflight/preflight.js";
import type { CheckpointTools } from "./run/checkpoints.js";

const load = async () => (await import("./checkpoint-tools.js")).checkpointTools;

export const checkpointTools: CheckpointTools = {
  listKeys: async (...args) => (await load()).listKeys(...args),
  readFolder: async (...args) => (await load()).readFolder(...args),
  verify: async (...args) => (await load()).verify(...args),
  merge: async (...args) => (await load()).merge(...args),
  reshard: async (...args) => (await load()).reshard(...args),
  toSafetensors: async (...args) => (await load()).toSafetensors(...args),
};

export const tools: Tools = {
  checkpoints: checkpointTools,
  data: {
    quickCheck: async (...args) => (await import("./preflight/quick-data.js")).quickCheck(...args),
  },
};
