/**
 * Vista's documented trainings as data: the commands of its docs/TRAINING.md, one row each. Nothing else in this package
 * knows a recipe by name.
 */

/** The settings of the sbatch script beside the numbers of nodes and GPUs. */
export interface SlurmSettings {
  partition?: string | undefined;
  /** The time limit as sbatch takes it: `24:00:00`, `2-00:00`, minutes … */
  time?: string | undefined;
  account?: string | undefined;
  /**
   * Further options of sbatch, such as `high` for `qos`. An empty value stands for an option without a value; `-` takes the
   * option out of the script.
   */
  sbatch: Record<string, string>;
}

/** A training by name: a documented one, or one that users add in `vista-train.yaml`. */
export interface Recipe {
  name: string;
  /** The title, one line for lists. */
  title: string;
  /** The program that is started; `python` runs train.py without torchrun, as the documentation does to debug on a single GPU. */
  launcher: "torchrun" | "python";
  nodes: number;
  /** The number of GPUs of each node. */
  gpus: number;
  /** The config files, from left to right, relative to the Vista checkout. */
  base: string[];
  /**
   * The weights to start from: `svd`, the pretrained `ckpts/svd_xt.safetensors`, or the recipe whose merged checkpoint is taken.
   */
  startsFrom: string;
  /** The number of optimizer steps that the documentation trains for; undefined where it names none. */
  iterations?: number | undefined;
  /** The recipe that follows, for `vista-train next`. */
  next?: string | undefined;
  /** Further arguments of train.py: `--flag`, `dotted.key=value`. */
  args: string[];
  env: Record<string, string>;
  slurm: SlurmSettings;
}

/** The {@link Recipe.startsFrom} of a recipe that starts from Stable Video Diffusion. */
export const SVD = "svd";

const PLAIN = { args: [], env: {}, slurm: { sbatch: {} } };
const TORCHRUN = { ...PLAIN, launcher: "torchrun" } as const;

/** The documented recipes. Their source is docs/TRAINING.md of OpenDriveLab/Vista. */
// biome-ignore format: what a recipe is, then what it trains
export const BUILT_IN_RECIPES: readonly Recipe[] = [
  { ...TORCHRUN, name: "example", title: "nuScenes example, 576x1024", nodes: 2, gpus: 8,
    base: ["configs/example/nusc_train.yaml"], startsFrom: SVD },
  { ...PLAIN, launcher: "python", name: "debug", title: "the nuScenes example on a single GPU, for debugging", nodes: 1, gpus: 1,
    base: ["configs/example/nusc_train.yaml"], startsFrom: SVD },
  { ...TORCHRUN, name: "phase1", title: "phase 1: high-fidelity future prediction, OpenDV-YouTube, 576x1024", nodes: 16, gpus: 8,
    base: ["configs/training/vista_phase1.yaml"], startsFrom: SVD, iterations: 20_000, next: "phase2-stage1" },
  { ...TORCHRUN, name: "phase2-stage1", title: "phase 2, stage 1: action control, OpenDV-YouTube and nuScenes, 320x576", nodes: 1, gpus: 8,
    base: ["configs/training/vista_phase2_stage1.yaml"], startsFrom: "phase1", iterations: 120_000, next: "phase2-stage2" },
  { ...TORCHRUN, name: "phase2-stage2", title: "phase 2, stage 2: action control, OpenDV-YouTube and nuScenes, 576x1024", nodes: 1, gpus: 8,
    base: ["configs/training/vista_phase2_stage2.yaml"], startsFrom: "phase2-stage1", iterations: 10_000 },
];
