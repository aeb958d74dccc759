/** A Vista checkout for tests: a train.py that stands in, configs of the documented recipes, weights, data. */
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { afterAll } from "vitest";
import { StateDict, saveCheckpoint, tensorFrom } from "../../src/checkpoint/index.js";
import { readTorchFile } from "../../src/checkpoint/torch/read.js";
import type { Captured, System } from "../../src/train/launch/system.js";
import { copyFolder } from "../helpers/copy.js";

const STAND_IN = fileURLToPath(new URL("../peers/train/checkout", import.meta.url));

/** Makes a temporary folder that is removed when the file's tests are done. */
export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "vista-train-test-"));
  afterAll(() => rm(path, { recursive: true, force: true }));
  return path;
}

interface ConfigValues {
  subsets: string[];
  height: number;
  width: number;
  adapters: boolean;
  samples: number;
  accumulate: number;
}

function config(values: ConfigValues): string {
  return `model:
  base_learning_rate: 1.e-5
  target: vwm.models.diffusion.DiffusionEngine
  params:
    num_frames: &num_frames 25
    slow_spatial_layers: ${!values.adapters}
    train_peft_adapters: ${values.adapters}
    network_config:
      params:
        model_channels: 64
data:
  target: vwm.data.dataset.Sampler
  params:
    batch_size: 1
    num_workers: 16
    subsets: [${values.subsets.join(", ")}]
    probs: [${values.subsets.map(() => 1).join(", ")}]
    samples_per_epoch: ${values.samples}
    target_height: ${values.height}
    target_width: ${values.width}
    num_frames: *num_frames
lightning:
  modelcheckpoint:
    params:
      every_n_epochs: 1
  trainer:
    devices: 0,1
    accumulate_grad_batches: ${values.accumulate}
    max_epochs: 100
    strategy: deepspeed_stage_2
`;
}

const FULL = { height: 576, width: 1024 };
const CONFIGS: Record<string, ConfigValues> = {
  "configs/example/nusc_train.yaml": {
    ...FULL,
    subsets: ["NuScenes"],
    adapters: false,
    samples: 16_000,
    accumulate: 1,
  },
  "configs/training/vista_phase1.yaml": {
    ...FULL,
    subsets: ["YouTube"],
    adapters: false,
    samples: 256_000,
    accumulate: 2,
  },
  "configs/training/vista_phase2_stage1.yaml": {
    height: 320,
    width: 576,
    subsets: ["YouTube", "NuScenes"],
    adapters: true,
    samples: 256_000,
    accumulate: 1,
  },
  "configs/training/vista_phase2_stage2.yaml": {
    ...FULL,
    subsets: ["YouTube", "NuScenes"],
    adapters: true,
    samples: 256_000,
    accumulate: 1,
  },
};

/** Names that every Vista checkpoint has. */
export const UNET_KEYS = [
  "model.diffusion_model.time_embed.0.weight",
  "model.diffusion_model.input_blocks.0.0.weight",
  "model.diffusion_model.out.2.weight",
];

/** Makes a checkout in which nothing is wrong, at `<folder>/Vista`: by calls that block, since a hundred tests make one each. */
export async function makeCheckout(folder: string): Promise<string> {
  const vista = join(folder, "Vista");
  copyFolder(STAND_IN, vista);
  for (const [path, values] of Object.entries(CONFIGS)) {
    mkdirSync(join(vista, path, ".."), { recursive: true });
    writeFileSync(join(vista, path), config(values));
  }
  mkdirSync(join(vista, "ckpts"));
  await saveWeights(join(vista, "ckpts/svd_xt.safetensors"), UNET_KEYS);
  mkdirSync(join(vista, "annos"));
  const clip = "Some_Driver/abcdefghijk";
  mkdirSync(join(vista, "data/YouTube", clip), { recursive: true });
  mkdirSync(join(vista, "data/nuscenes/sweeps/CAM_FRONT"), { recursive: true });
  const frames: string[] = [];
  for (let i = 0; i < 25; i++) {
    writeFileSync(join(vista, "data/YouTube", clip, `${String(i + 7).padStart(9, "0")}.jpg`), "");
    const frame = `sweeps/CAM_FRONT/n015__CAM_FRONT__${1531884000000000 + i * 83333}.jpg`;
    writeFileSync(join(vista, "data/nuscenes", frame), "");
    frames.push(frame);
  }
  writeFileSync(
    join(vista, "annos/YouTube.json"),
    JSON.stringify([{ folder_name: clip, first_frame: "000000007.jpg" }]),
  );
  const sample = { frames, traj: Array(10).fill(0.5), cmd: 3, speed: [], angle: [], z: 1, goal: [800, 450] };
  writeFileSync(join(vista, "annos/nuScenes.json"), JSON.stringify([sample]));
  return vista;
}

/** A safetensors file of one-element tensors with these names. */
export async function saveWeights(path: string, names: readonly string[]): Promise<void> {
  const tensors = names.map((name) => [name, tensorFrom(new Float32Array(1), [1])] as const);
  await saveCheckpoint(new StateDict(tensors), path, { force: true, fsync: false });
}

/** Versions that Vista pins. */
export const PINNED = {
  torch: "2.0.1",
  "pytorch-lightning": "2.0.1",
  deepspeed: "0.10.1",
  omegaconf: "2.3.0",
  safetensors: "0.4.0",
  pydantic: "1.10.12",
};

/** A machine that answers as told: by the name of the program, else as if there were no such program. */
export function fakeSystem(
  answers: Record<string, Partial<Captured>>,
  env: Record<string, string> = {},
  free: number | undefined = 1e13,
): System {
  const all: Record<string, Partial<Captured>> = {
    python: { stdout: JSON.stringify(PINNED) },
    ...answers,
  };
  return {
    env,
    hostname: "node1",
    resolves: async (name) => name !== env.UNRESOLVED,
    freeBytes: async () => free,
    async capture(file) {
      const answer = all[file];
      return answer === undefined
        ? { outcome: "missing", code: 127, stdout: "", stderr: "" }
        : { outcome: "exited", code: 0, stdout: "", stderr: "", ...answer };
    },
  };
}

/** Sets `global_steps` in the model states: a small number is one byte of the pickle. */
export async function countSteps(checkpoint: string, steps: number, tag = "checkpoint"): Promise<void> {
  const path = join(checkpoint, tag, "mp_rank_00_model_states.pt");
  const { atime, mtime } = await stat(path);
  const torchFile = await readTorchFile(path);
  const pickle = (await torchFile.regions()).find(({ name }) => name.endsWith("/data.pkl"))!;
  await torchFile.file.close();
  const bytes = await readFile(path);
  const record = bytes.subarray(pickle.offset, pickle.offset + pickle.length);
  // BINUNICODE, BINPUT and its number, BININT1
  const key = record.indexOf("global_steps");
  const at = record.indexOf("K", key + "global_steps".length);
  record[at + 1] = steps;
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(pickle.crc32!);
  const made = Buffer.alloc(4);
  made.writeUInt32LE(crc32(record));
  for (let place = bytes.indexOf(sum); place >= 0; place = bytes.indexOf(sum, place + 1))
    made.copy(bytes, place);
  await writeFile(path, bytes);
  await utimes(path, atime, mtime);
}
