/**
 * Vista's documented trainings as data: the commands of its docs/TRAINING.md, one row each. Users add rows of their own
 * in `vista-train.yaml`; nothing else in this package knows a recipe by name.
 */
import { VistaError } from "../../core/errors.js";
import { readYaml } from "../../core/yaml.js";
import { hasControlCharacters } from "./names.js";

/** What goes into the sbatch script beside the number of nodes and GPUs. */
export interface SlurmSettings {
  partition?: string | undefined;
  /** As sbatch takes it: `24:00:00`, `2-00:00`, minutes … */
  time?: string | undefined;
  account?: string | undefined;
  /** Further sbatch options, `qos` → `high`; an empty value is an option without one, `-` takes it out of the script. */
  sbatch: Record<string, string>;
}

export interface Recipe {
  name: string;
  /** One line for lists. */
  title: string;
  /** `python`: train.py itself, without torchrun (the documentation's debugging on a single GPU). */
  launcher: "torchrun" | "python";
  nodes: number;
  /** GPUs of each node. */
  gpus: number;
  /** Config files, from left to right, relative to the Vista checkout. */
  base: string[];
  /** `svd`: the pretrained `ckpts/svd_xt.safetensors`; else the recipe whose merged checkpoint it starts from. */
  startsFrom: string;
  /** Optimizer steps that the documentation trains for; undefined where it names no number. */
  iterations?: number | undefined;
  /** The recipe that follows, for `vista-train next`. */
  next?: string | undefined;
  /** Further arguments of train.py: `--flag`, `dotted.key=value`. */
  args: string[];
  env: Record<string, string>;
  slurm: SlurmSettings;
}

/** {@link Recipe.startsFrom} of a recipe that starts from Stable Video Diffusion. */
export const SVD = "svd";

const NO_EXTRAS = { args: [], env: {}, slurm: { sbatch: {} } };

/** Source: docs/TRAINING.md of OpenDriveLab/Vista. */
export const BUILT_IN_RECIPES: readonly Recipe[] = [
  {
    name: "example",
    title: "nuScenes example, 576x1024",
    launcher: "torchrun",
    nodes: 2,
    gpus: 8,
    base: ["configs/example/nusc_train.yaml"],
    startsFrom: SVD,
    ...NO_EXTRAS,
  },
  {
    name: "debug",
    title: "the nuScenes example on a single GPU, for debugging",
    launcher: "python",
    nodes: 1,
    gpus: 1,
    base: ["configs/example/nusc_train.yaml"],
    startsFrom: SVD,
    ...NO_EXTRAS,
  },
  {
    name: "phase1",
    title: "phase 1: high-fidelity future prediction, OpenDV-YouTube, 576x1024",
    launcher: "torchrun",
    nodes: 16,
    gpus: 8,
    base: ["configs/training/vista_phase1.yaml"],
    startsFrom: SVD,
    iterations: 20_000,
    next: "phase2-stage1",
    ...NO_EXTRAS,
  },
  {
    name: "phase2-stage1",
    title: "phase 2, stage 1: action control, OpenDV-YouTube and nuScenes, 320x576",
    launcher: "torchrun",
    nodes: 1,
    gpus: 8,
    base: ["configs/training/vista_phase2_stage1.yaml"],
    startsFrom: "phase1",
    iterations: 120_000,
    next: "phase2-stage2",
    ...NO_EXTRAS,
  },
  {
    name: "phase2-stage2",
    title: "phase 2, stage 2: action control, OpenDV-YouTube and nuScenes, 576x1024",
    launcher: "torchrun",
    nodes: 1,
    gpus: 8,
    base: ["configs/training/vista_phase2_stage2.yaml"],
    startsFrom: "phase2-stage1",
    iterations: 10_000,
    ...NO_EXTRAS,
  },
];

/** Names that the command line takes for something else. */
const RESERVED = new Set([
  "run",
  "check",
  "next",
  "finish",
  "status",
  "prune",
  "recipes",
  "completion",
  "help",
  SVD,
]);

const KEYS = new Set([
  "extends",
  "title",
  "launcher",
  "nodes",
  "gpus",
  "base",
  "startsFrom",
  "iterations",
  "next",
  "args",
  "env",
  "slurm",
]);
/** Names that `--env` and `--sbatch` take, too. */
export const VARIABLE_NAME = /^[A-Za-z_]\w*$/;
export const SBATCH_NAME = /^[a-z][a-z-]*$/;
const SLURM_KEYS = new Set(["partition", "time", "account", "sbatch"]);

/**
 * Reads `vista-train.yaml` and returns the built-in recipes with its own added (a known name replaces the built-in one).
 * See docs/training.md for the format.
 *
 * @throws VistaError `NOT_FOUND`, `FORMAT` with the recipe and the key that is wrong
 */
export async function loadRecipes(path?: string): Promise<Map<string, Recipe>> {
  const recipes = new Map(BUILT_IN_RECIPES.map((recipe) => [recipe.name, recipe]));
  if (path === undefined) return recipes;
  const root = (await readYaml(path, "read the recipes")) ?? {};
  if (!isRecord(root)) throw new VistaError("FORMAT", "must be a mapping with the key `recipes`", { path });
  onlyKnown(root, new Set(["recipes"]), path, "the file");
  const rows = root.recipes ?? {};
  if (!isRecord(rows)) throw new VistaError("FORMAT", "`recipes` must map names to recipes", { path });
  for (const [name, row] of Object.entries(rows)) {
    if (RESERVED.has(name) || !/^[\w.-]+$/.test(name) || name.startsWith("-")) {
      throw new VistaError("FORMAT", `\`${name}\` cannot be the name of a recipe`, { path });
    }
    recipes.set(name, parseRecipe(name, row, recipes, path));
  }
  for (const recipe of recipes.values()) {
    for (const other of [recipe.next, recipe.startsFrom === SVD ? undefined : recipe.startsFrom]) {
      if (other !== undefined && !recipes.has(other)) {
        throw new VistaError("FORMAT", `recipe ${recipe.name} names \`${other}\`, which is no recipe`, {
          path,
        });
      }
    }
  }
  return recipes;
}

function parseRecipe(name: string, row: unknown, known: Map<string, Recipe>, path: string): Recipe {
  const where = `recipe ${name}`;
  if (!isRecord(row)) throw new VistaError("FORMAT", `${where} must be a mapping`, { path });
  onlyKnown(row, KEYS, path, where);
  let parent: Recipe | undefined;
  if (row.extends !== undefined) {
    parent = known.get(String(row.extends));
    if (parent === undefined) {
      throw new VistaError("FORMAT", `${where} extends \`${row.extends}\`, which is no recipe above it`, {
        path,
      });
    }
  }
  const fail = (key: string, must: string): never => {
    throw new VistaError("FORMAT", `${where}: \`${key}\` must be ${must}`, { path });
  };
  const text = (key: string, from: Record<string, unknown> = row): string | undefined => {
    const value = from[key];
    if (value === undefined) return undefined;
    if (typeof value === "number") return String(value);
    if (typeof value !== "string" || value === "") return fail(key, "a text");
    return hasControlCharacters(value) ? fail(key, "without line breaks and control characters") : value;
  };
  const count = (key: string): number | undefined => {
    const value = row[key];
    if (value === undefined) return undefined;
    return Number.isSafeInteger(value) && (value as number) > 0
      ? (value as number)
      : fail(key, "a whole number above 0");
  };
  const list = (key: string): string[] | undefined => {
    const value = row[key];
    if (value === undefined) return undefined;
    const items = Array.isArray(value) ? value : [value];
    if (items.some((item) => typeof item !== "string" && typeof item !== "number"))
      fail(key, "a list of texts");
    if (items.some((item) => hasControlCharacters(String(item)))) {
      fail(key, "without line breaks and control characters");
    }
    return items.map(String);
  };
  const map = (
    key: string,
    from: Record<string, unknown>,
    name: RegExp,
  ): Record<string, string> | undefined => {
    const value = from[key];
    if (value === undefined) return undefined;
    if (!isRecord(value)) return fail(key, "a mapping");
    const texts = Object.entries(value).map(([k, v]): [string, string] => {
      if (!name.test(k)) return fail(`${key}: ${k}`, "a name without blanks and signs");
      if (typeof v === "object" && v !== null) return fail(`${key}: ${k}`, "a text");
      const written = v === null ? "" : String(v);
      if (hasControlCharacters(written)) fail(`${key}: ${k}`, "without line breaks and control characters");
      return [k, written];
    });
    return Object.fromEntries(texts);
  };
  const launcher = text("launcher") ?? parent?.launcher ?? "torchrun";
  if (launcher !== "torchrun" && launcher !== "python") return fail("launcher", "`torchrun` or `python`");
  const base = list("base") ?? parent?.base;
  if (base === undefined || base.length === 0) return fail("base", "given: one config file or several");
  const slurm = row.slurm ?? {};
  if (!isRecord(slurm)) return fail("slurm", "a mapping");
  onlyKnown(slurm, SLURM_KEYS, path, `${where}: slurm`);
  const recipe: Recipe = {
    name,
    title: text("title") ?? parent?.title ?? name,
    launcher,
    nodes: count("nodes") ?? parent?.nodes ?? 1,
    gpus: count("gpus") ?? parent?.gpus ?? 8,
    base,
    startsFrom: text("startsFrom") ?? parent?.startsFrom ?? SVD,
    iterations: count("iterations") ?? parent?.iterations,
    next: text("next") ?? parent?.next,
    args: list("args") ?? parent?.args ?? [],
    env: { ...parent?.env, ...map("env", row, VARIABLE_NAME) },
    slurm: {
      partition: text("partition", slurm) ?? parent?.slurm.partition,
      time: text("time", slurm) ?? parent?.slurm.time,
      account: text("account", slurm) ?? parent?.slurm.account,
      sbatch: { ...parent?.slurm.sbatch, ...map("sbatch", slurm, SBATCH_NAME) },
    },
  };
  if (recipe.launcher === "python" && (recipe.nodes > 1 || recipe.gpus > 1)) {
    return fail("launcher", "`torchrun` for more than one node or GPU");
  }
  return recipe;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function onlyKnown(
  value: Record<string, unknown>,
  keys: ReadonlySet<string>,
  path: string,
  where: string,
): void {
  for (const key of Object.keys(value)) {
    if (!keys.has(key)) {
      throw new VistaError(
        "FORMAT",
        `${where} has the key \`${key}\`, which is none of ${[...keys].join(", ")}`,
        {
          path,
        },
      );
    }
  }
}
