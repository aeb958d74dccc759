/** The plan of a launch: the recipe with everything that the command line changes, before anything is checked or started. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { VistaError } from "../../core/errors.js";
import { wayWithin } from "../../core/io/within.js";
import type { Recipe, SlurmSettings } from "./built-in-recipes.js";
import { checkCount, checkPairs, checkRunName, checkText } from "./names.js";

/** The settings of a launch that replace those of its recipe, as the options of vista-train name them. */
export interface LaunchOptions {
  /** The Vista checkout, in which train.py runs. */
  vista: string;
  nodes?: number | undefined;
  gpus?: number | undefined;
  base?: readonly string[] | undefined;
  finetune?: string | undefined;
  logdir?: string | undefined;
  name?: string | undefined;
  resume?: string | undefined;
  /** Whether to make a checkpoint for this number of GPUs first where another number saved `resume`. The default is false. */
  reshard?: boolean | undefined;
  rdzvEndpoint?: string | undefined;
  nodeRank?: number | undefined;
  masterAddr?: string | undefined;
  masterPort?: number | undefined;
  /** The Python interpreter; torchrun is then `PYTHON -m torch.distributed.run`. */
  python?: string | undefined;
  torchrun?: string | undefined;
  env?: Record<string, string> | undefined;
  /** The arguments that train.py gets as they are. */
  extra?: readonly string[] | undefined;
  /** The settings of a Slurm job; undefined to run on this machine. */
  slurm?: SlurmSettings | undefined;
}

/** The way in which the nodes find one another. */
export type Rendezvous =
  | { kind: "none" }
  /** A single node uses c10d on a free port of this machine. */
  | { kind: "local" }
  | { kind: "c10d"; host: string; port: number; id: string }
  | { kind: "static"; nodeRank: number; host: string; port: number }
  /** There are several nodes, and nothing says how they meet: torchrun would wait in silence. */
  | { kind: "missing" }
  /** The Slurm script takes the first node of the job and a port from the job's number. */
  | { kind: "slurm" };

/** A launch with all its settings decided; nothing of it has been checked. */
export interface LaunchPlan {
  recipe: Recipe;
  /** The absolute path of the Vista checkout. */
  vista: string;
  nodes: number;
  gpus: number;
  /** The config files as train.py gets them, relative to the checkout where they lie in it; empty for those of a resumed run. */
  base: string[];
  /** The absolute path of what `--finetune` named; undefined to start from `ckpts/svd_xt.safetensors`. */
  finetune: string | undefined;
  /** The absolute path of the folder of the runs. */
  logdir: string;
  name: string | undefined;
  /** The absolute path of a run folder or of one checkpoint. */
  resume: string | undefined;
  /** Whether a checkpoint of another number of GPUs is made into one for this number first. */
  reshard: boolean;
  rendezvous: Rendezvous;
  python: string | undefined;
  torchrun: string | undefined;
  /** The environment that the recipe and `--env` ask for. */
  env: Record<string, string>;
  extra: string[];
  slurm: SlurmSettings | undefined;
}

/** The value that takes an option of sbatch out of the script, as in `--sbatch exclusive=-`. */
export const LEFT_OUT = "-";

/** The default ports of torchrun itself (torch/distributed/run.py and c10d_rendezvous_backend.py). */
const STATIC_PORT = 29_500;
const C10D_PORT = 29_400;

/**
 * Puts recipe and options together. It looks at nothing on the disk except whether `base` names a file.
 *
 * @param cwd  the folder that paths in options are relative to; paths in recipes are relative to the Vista checkout
 * @throws VistaError `USAGE` where options contradict one another, and without a recipe
 */
export function planLaunch(recipe: Recipe, options: LaunchOptions, cwd = "."): LaunchPlan {
  if (recipe === undefined)
    throw new VistaError("USAGE", "there is no recipe", {
      hint: "loadRecipes() gives the recipes by their names; one of them is phase1.",
    });
  checkWords(options);
  const vista = resolve(cwd, options.vista);
  const inCwd = (path: string) => resolve(cwd, path);
  const nodes = options.nodes ?? recipe.nodes;
  const gpus = options.gpus ?? recipe.gpus;
  if (recipe.launcher === "python" && (nodes > 1 || gpus > 1)) {
    throw new VistaError("USAGE", `recipe ${recipe.name} runs train.py without torchrun, on one GPU`, {
      hint: "Take another recipe for more GPUs.",
    });
  }
  if (recipe.launcher === "python" && options.torchrun !== undefined) {
    throw new VistaError("USAGE", `recipe ${recipe.name} runs without torchrun`, {
      hint: "Name the interpreter with --python.",
    });
  }
  if (options.resume !== undefined && options.finetune !== undefined) {
    throw new VistaError("USAGE", "--resume and --finetune exclude one another", {
      hint: "A run that goes on has its weights in its own checkpoint; a new run starts from those of --finetune.",
    });
  }
  if (options.logdir !== undefined && resumedRun(options) !== undefined) {
    throw new VistaError("USAGE", "--resume RUN goes on in the folder of that run, and excludes --logdir", {
      hint: "Leave --logdir out, or name one checkpoint, RUN/checkpoints/last.ckpt, to go on in a new run.",
    });
  }
  checkSizes(nodes, gpus, options.slurm?.sbatch ?? {});
  checkArray(options.slurm?.sbatch.array, options);
  const base =
    options.base === undefined || options.base.length === 0
      ? resumedRun(options) === undefined
        ? recipe.base
        : []
      : options.base.map((path) => (existsSync(inCwd(path)) ? inCwd(path) : path));
  return {
    recipe,
    vista,
    nodes,
    gpus,
    base: base.map((path) => fromVista(vista, resolve(vista, path))),
    finetune: options.finetune === undefined ? undefined : inCwd(options.finetune),
    logdir: options.logdir === undefined ? join(vista, "logs") : inCwd(options.logdir),
    name: options.name,
    resume: options.resume === undefined ? undefined : inCwd(options.resume),
    reshard: options.reshard ?? false,
    rendezvous: planRendezvous(recipe, options, nodes),
    python: options.python,
    torchrun: options.torchrun,
    env: { ...recipe.env, ...options.env },
    extra: [...recipe.args, ...(options.extra ?? [])],
    slurm: options.slurm,
  };
}

/** Checks that options of sbatch ask for the nodes and GPUs that torchrun will wait for. */
function checkSizes(nodes: number, gpus: number, sbatch: Readonly<Record<string, string>>): void {
  const wanted = {
    nodes,
    "gpus-per-node": gpus,
    "gpus-per-task": gpus,
    gres: gpus,
    "ntasks-per-node": 1,
    ntasks: nodes,
    gpus: nodes * gpus,
  };
  for (const [name, count] of Object.entries(wanted)) {
    const asked = sbatch[name];
    if (asked === undefined || asked === LEFT_OUT) continue;
    // Of the resources in gres only the GPUs count, by their number at the end: gpu:a100:8,nvme:1.
    const gpu = asked.split(",").find((resource) => /^(gres[/:])?gpu(:|$)/.test(resource));
    if (name === "gres" && gpu === undefined) continue;
    const text = name === "gres" ? gpu!.replace(/^(gres[/:])?gpu:?/, "") || "1" : asked;
    // The type of the GPUs may stand before their number: a100:8.
    const own = /^(?:[^:]*:)?(\d+)(?:-\1)?$/.exec(text)?.[1];
    if (Number(own) === count) continue;
    throw new VistaError(
      "USAGE",
      `--sbatch ${name}=${asked} asks for another number than the ${nodes} nodes with one torchrun and ${gpus} GPUs each that would wait for one another`,
      { hint: "Set the numbers with --nodes and --gpus." },
    );
  }
}

/** Checks that the jobs of an array do not train in one folder at the same time. */
function checkArray(array: string | undefined, { name, resume }: LaunchOptions): void {
  const isOne = array === undefined || array === LEFT_OUT || /^\d+$/.test(array) || array.endsWith("%1");
  if (isOne || (name === undefined && resumedRun({ resume }) === undefined)) return;
  throw new VistaError(
    "USAGE",
    `--sbatch array=${array} starts several jobs, and all would train in one run folder`,
    {
      hint: "Leave --name out, so that each has a folder of its own, or write array=0-3%1: one at a time, each goes on from the last checkpoint.",
    },
  );
}

/** Checks everything that becomes a word of the command or a line of the script. */
function checkWords(options: LaunchOptions): void {
  checkCount(options.nodes, "--nodes", 1);
  checkCount(options.gpus, "--gpus", 1);
  checkCount(options.nodeRank, "--node-rank", 0);
  checkCount(options.masterPort, "--master-port", 1, 65_535);
  if (options.name !== undefined) checkRunName(options.name);
  const where = ["vista", "finetune", "logdir", "resume", "rdzvEndpoint", "masterAddr"] as const;
  for (const name of [...where, "python", "torchrun"] as const) {
    checkText(options[name] ?? "", `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  }
  for (const path of options.base ?? []) checkText(path, "--base");
  checkPairs(options.env, "--env");
  for (const word of options.extra ?? []) checkText(word, "an argument for train.py");
  const { sbatch = {}, ...others } = options.slurm ?? {};
  checkPairs(sbatch, "--sbatch");
  for (const [name, value] of Object.entries(others)) checkText(value ?? "", `--${name}`);
}

function planRendezvous(recipe: Recipe, options: LaunchOptions, nodes: number): Rendezvous {
  const fixed = options.nodeRank !== undefined || options.masterAddr !== undefined;
  if (options.rdzvEndpoint !== undefined && fixed) {
    throw new VistaError("USAGE", "--rdzv-endpoint excludes --node-rank and --master-addr", {
      hint: "Use one of the two ways: the same --rdzv-endpoint on all nodes, or a rank and the first node's address.",
    });
  }
  if (options.masterPort !== undefined && options.masterAddr === undefined) {
    throw new VistaError("USAGE", "--master-port needs --master-addr and --node-rank", {
      hint: "Give all three, or the port in --rdzv-endpoint HOST:PORT.",
    });
  }
  if (/^[^:]*:\d+$/.test(options.masterAddr ?? "")) {
    throw new VistaError("USAGE", `--master-addr ${options.masterAddr} has a port in it`, {
      hint: "Give the host alone, and the port by --master-port.",
    });
  }
  if (recipe.launcher === "python") {
    if (options.rdzvEndpoint !== undefined || fixed) {
      throw new VistaError("USAGE", `recipe ${recipe.name} runs without torchrun and meets nobody`, {
        hint: "Leave --rdzv-endpoint, --node-rank and --master-addr out.",
      });
    }
    return { kind: "none" };
  }
  if (options.rdzvEndpoint !== undefined) {
    const [host, port] = parseEndpoint(options.rdzvEndpoint);
    return { kind: "c10d", host, port, id: options.name ?? `vista-${recipe.name}` };
  }
  if (fixed) {
    if (options.slurm !== undefined) {
      throw new VistaError(
        "USAGE",
        "--slurm gives the nodes their ranks; --node-rank and --master-addr exclude it",
        { hint: "Leave them out: the job finds its first node by itself." },
      );
    }
    if (options.nodeRank === undefined || options.masterAddr === undefined) {
      throw new VistaError("USAGE", "--node-rank and --master-addr go together", {
        hint: "Give both: ranks 0 to N-1, one each node, and the address of the node with rank 0.",
      });
    }
    if (options.nodeRank >= nodes) {
      throw new VistaError(
        "USAGE",
        `--node-rank ${options.nodeRank} is not below the number of nodes, ${nodes}`,
        { hint: "Ranks count from 0; the number of nodes is --nodes." },
      );
    }
    return {
      kind: "static",
      nodeRank: options.nodeRank,
      host: options.masterAddr,
      port: options.masterPort ?? STATIC_PORT,
    };
  }
  if (options.slurm !== undefined) return { kind: "slurm" };
  return nodes > 1 ? { kind: "missing" } : { kind: "local" };
}

function parseEndpoint(text: string): [host: string, port: number] {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s/]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? C10D_PORT : Number(match[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new VistaError("USAGE", `--rdzv-endpoint ${text} is not HOST or HOST:PORT`, {
      hint: "Write node01:29500, for example, an IPv6 address in brackets; ports are 1 to 65535.",
    });
  }
  return [match[1] ?? match[2]!, port];
}

/** Returns a path as train.py gets it: relative where it lies in the checkout, otherwise absolute. */
export function fromVista(vista: string, path: string): string {
  return wayWithin(vista, path) || path;
}

/** Returns the run folder that is gone on with; undefined for a new run, also one that begins with a checkpoint. */
export function resumedRun({ resume }: Pick<LaunchOptions, "resume">): string | undefined {
  return resume === undefined || isCheckpoint(resume) ? undefined : resume;
}

/** Returns the run folder of a launch; undefined where train.py or the job makes up its name. */
export function runOf(plan: LaunchPlan): string | undefined {
  return resumedRun(plan) ?? (plan.name === undefined ? undefined : join(plan.logdir, plan.name));
}

/** Tells whether `--resume` names one checkpoint and not a run. A DeepSpeed folder and a single file both end in `.ckpt`. */
export function isCheckpoint(path: string): boolean {
  return /\.ckpt\/*$/.test(path);
}
