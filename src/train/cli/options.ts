/** The options that describe a launch, shared by launching, `check` and `next`. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { VistaError } from "../../core/errors.js";
import { suggest } from "../launch/arguments.js";
import { checkText } from "../launch/names.js";
import { type LaunchOptions, type LaunchPlan, planLaunch } from "../launch/plan.js";
import {
  loadRecipes,
  type Recipe,
  SBATCH_NAME,
  type SlurmSettings,
  VARIABLE_NAME,
} from "../launch/recipes.js";

/** Values of the options as commander hands them over. */
export interface LaunchFlags {
  vista: string;
  recipes?: string;
  nodes?: number;
  gpus?: number;
  base?: string[];
  finetune?: string;
  logdir?: string;
  name?: string;
  resume?: string;
  reshard?: boolean;
  rdzvEndpoint?: string;
  nodeRank?: number;
  masterAddr?: string;
  masterPort?: number;
  python?: string;
  torchrun?: string;
  env?: string[];
  slurm?: boolean;
  partition?: string;
  time?: string;
  account?: string;
  sbatch?: string[];
  only?: string[];
  ignore?: string[];
}

export function addRecipeOptions(command: Command): Command {
  return command
    .option("--vista <dir>", "Vista checkout, where train.py is", ".")
    .option("--recipes <file>", "recipes of your own (default: vista-train.yaml here or in the checkout)");
}

export function addLaunchOptions(command: Command): Command {
  return addRecipeOptions(command)
    .option("--nodes <n>", "number of nodes", count)
    .option("--gpus <n>", "GPUs of each node", count)
    .option("--base <file>", "config file; again for more, merged from left to right", collect)
    .option("--finetune <path>", "weights to start from: .bin, .safetensors, checkpoint folder or run folder")
    .option("--logdir <dir>", "where run folders go (default: logs in the checkout)")
    .option("--name <name>", "run folder <logdir>/<name>, without a date")
    .option("--resume <path>", "go on with a run folder, or with one checkpoint in a new run folder")
    .option(
      "--reshard",
      "with --resume: first make a checkpoint for this number of GPUs, where it has another",
    )
    .option("--rdzv-endpoint <host[:port]>", "several nodes: where they meet; the same on all of them")
    .option("--node-rank <n>", "several nodes, the other way: this node's rank, from 0", index)
    .option("--master-addr <host>", "address of the node with rank 0")
    .option("--master-port <port>", "its port (default: 29500)", port)
    .option("--python <file>", "interpreter; torchrun is then PYTHON -m torch.distributed.run")
    .option("--torchrun <file>", "torchrun program")
    .option("--env <K=V>", "set a variable for the training; again for more", collect)
    .option("--slurm", "for a Slurm job")
    .option("--partition <name>", "Slurm partition")
    .option("--time <limit>", "Slurm time limit, e.g. 24:00:00")
    .option("--account <name>", "Slurm account")
    .option("--sbatch <K=V>", "any other option of sbatch, e.g. qos=high; again for more", collect)
    .option("--only <rules>", "look only at these rules, e.g. gpu,train/port-busy", rules)
    .option("--ignore <rules>", "leave these rules out", rules);
}

/** Words after `--` are for train.py; commander would look for its own options among them. */
export function splitArguments(argv: readonly string[]): { own: string[]; extra: string[] } {
  const at = argv.indexOf("--");
  return at === -1 ? { own: [...argv], extra: [] } : { own: argv.slice(0, at), extra: argv.slice(at + 1) };
}

export async function readRecipes(flags: { vista: string; recipes?: string }): Promise<Map<string, Recipe>> {
  const found = ["vista-train.yaml", join(flags.vista, "vista-train.yaml")].find((path) => existsSync(path));
  return loadRecipes(flags.recipes ?? found);
}

export function findRecipe(recipes: Map<string, Recipe>, name: string): Recipe {
  const recipe = recipes.get(name);
  if (recipe !== undefined) return recipe;
  const close = suggest(name, [
    ...recipes.keys(),
    "check",
    "next",
    "finish",
    "status",
    "prune",
    "recipes",
    "completion",
  ]);
  throw new VistaError("USAGE", `there is no recipe or command \`${name}\``, {
    hint: `${close === undefined ? "" : `Did you mean ${close}? `}Recipes are ${[...recipes.keys()].join(", ")}.`,
  });
}

const PATHS = ["vista", "recipes", "base", "finetune", "logdir", "resume", "python", "torchrun"] as const;

/** @throws VistaError `USAGE` where options contradict one another */
export function makePlan(recipe: Recipe, flags: LaunchFlags, extra: readonly string[]): LaunchPlan {
  for (const name of PATHS) {
    // `--finetune "$RUN"` with a variable that is not set would name this folder.
    if (flags[name] === "" || (name === "base" && flags.base?.includes(""))) {
      throw new VistaError("USAGE", `--${name} is empty`, {
        hint: "Leave it out, or look at the variable that it came from.",
      });
    }
  }
  const slurmOnly = (["partition", "time", "account", "sbatch"] as const).find(
    (name) => flags[name] !== undefined,
  );
  if (slurmOnly !== undefined && !flags.slurm) throw new VistaError("USAGE", `--${slurmOnly} needs --slurm`);
  if (flags.python !== undefined && flags.torchrun !== undefined) {
    throw new VistaError("USAGE", "--python and --torchrun exclude one another", {
      hint: "--python starts torchrun as PYTHON -m torch.distributed.run.",
    });
  }
  const slurm: SlurmSettings | undefined = flags.slurm
    ? {
        partition: flags.partition ?? recipe.slurm.partition,
        time: flags.time ?? recipe.slurm.time,
        account: flags.account ?? recipe.slurm.account,
        sbatch: { ...recipe.slurm.sbatch, ...pairs(flags.sbatch, "--sbatch", SBATCH_NAME, true) },
      }
    : undefined;
  if (flags.reshard && flags.resume === undefined) throw new VistaError("USAGE", "--reshard needs --resume");
  const options: LaunchOptions = {
    ...flags,
    vista: resolve(flags.vista),
    python: program(flags.python),
    torchrun: program(flags.torchrun),
    env: pairs(flags.env, "--env", VARIABLE_NAME, false),
    extra,
    slurm,
  };
  return planLaunch(recipe, options, process.cwd());
}

/** A program named by a path is relative to this folder, not to the checkout where it is started. */
function program(path: string | undefined): string | undefined {
  return path?.includes("/") ? resolve(path) : path;
}

function pairs(
  words: readonly string[] | undefined,
  option: string,
  name: RegExp,
  valueOptional: boolean,
): Record<string, string> {
  // Without a prototype, `__proto__` is a name like any other.
  const result = Object.create(null) as Record<string, string>;
  for (const word of words ?? []) {
    const at = word.indexOf("=");
    const key = (at === -1 ? word : word.slice(0, at)).replace(option === "--sbatch" ? /^--/ : /^$/, "");
    if (!name.test(key) || (at === -1 && !valueOptional)) {
      throw new VistaError("USAGE", `${option} ${word} is not NAME=VALUE`);
    }
    const value = at === -1 ? "" : word.slice(at + 1);
    checkText(value, `${option} ${key}`);
    result[key] = value;
  }
  return result;
}

function collect(word: string, before: string[] | undefined): string[] {
  return [...(before ?? []), word];
}

function rules(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...text.split(",").map((part) => part.trim())];
}

function count(text: string): number {
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError("It must be a whole number above 0.");
  return Number(text);
}

export function index(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It must be a whole number, 0 or more.");
  return Number(text);
}

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535 || Number(text) === 0) {
    throw new InvalidArgumentError("It must be a port, 1 to 65535.");
  }
  return Number(text);
}
