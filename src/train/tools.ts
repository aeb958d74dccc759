/** The parts of this package that the launcher uses of checkpoints and data. */
import { VistaError } from "../errors.js";
import { SourceFile } from "../io/source.js";
import { asDict } from "../torch/objects.js";
import { tensorsOf } from "../torch/open.js";
import { readTorchFile } from "../torch/read.js";
import { writeTorchFile } from "../torch/write.js";
import { openZeroCheckpoint } from "../zero/open.js";
import type { CheckpointTools } from "./checkpoints.js";
import type { Tools } from "./preflight.js";
import { quickCheck } from "./quick-data.js";

export const checkpointTools: CheckpointTools = {
  async listKeys(path) {
    if (path.endsWith("safetensors")) return safetensorsNames(path);
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

  async toSafetensors() {
    throw new VistaError("UNSUPPORTED", "pending");
  },
};

/** Tensor names of a safetensors file whose header agrees with its size. */
async function safetensorsNames(path: string): Promise<string[]> {
  const file = await SourceFile.open(path);
  try {
    const bad = (what: string) => new VistaError("FORMAT", what, { path });
    if (file.size < 8) throw bad(`${file.size} bytes are no safetensors file`);
    const head = Buffer.alloc(8);
    await file.read(head, 0);
    const length = Number(head.readBigUInt64LE(0));
    if (length > Math.min(100e6, file.size - 8))
      throw bad(`the header would take ${length} of ${file.size} bytes`);
    const text = Buffer.alloc(length);
    await file.read(text, 8);
    let header: Record<string, { data_offsets: [number, number] }>;
    try {
      header = JSON.parse(text.toString("utf8"));
    } catch {
      throw bad("the header is not JSON");
    }
    const names = Object.keys(header).filter((name) => name !== "__metadata__");
    const end = 8 + length + Math.max(0, ...names.map((name) => header[name]!.data_offsets[1]));
    if (end !== file.size) throw bad(`has ${file.size} bytes, its header says ${end}`);
    return names;
  } finally {
    await file.close();
  }
}

export const tools: Tools = { checkpoints: checkpointTools, data: { quickCheck } };
