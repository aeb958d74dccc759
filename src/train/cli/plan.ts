/** The way from the options of the command line to the plan of a launch. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { VistaError } from "../../core/errors.js";
import { suggest } from "../../core/suggest.js";
import type { Recipe, SlurmSettings } from "../launch/built-in-recipes.js";
import { COMMANDS } from "../launch/names.js";
import { type LaunchOptions, type LaunchPlan, planLaunch } from "../launch/plan.js";
import { loadRecipes } from "../launch/recipes.js";

/** The values of the options as commander hands them over. */
export interface LaunchFlags
  extends Omit<LaunchOptions, "env" | "extra" | "slurm">,
    Omit<SlurmSettings, "sbatch"> {
  recipes?: string;
  env?: string[];
  slurm?: boolean;
  sbatch?: string[];
  only?: string[];
  ignore?: string[];
  quiet?: boolean;
}

export interface StartFlags extends LaunchFlags {
  dryRun?: boolean;
  skipChecks?: boolean;
  then?: string;
  rendezvousTimeout?: number;
  maxRequeues?: number;
}

export async function readRecipes(flags: { vista: string; recipes?: string }): Promise<Map<string, Recipe>> {
  const found = ["vista-train.yaml", join(flags.vista, "vista-train.yaml")].find((path) => existsSync(path));
  return loadRecipes(flags.recipes ?? found);
}

export function findRecipe(recipes: Map<string, Recipe>, name: string): Recipe {
  const recipe = recipes.get(name);
  if (recipe !== undefined) return recipe;
  const close = suggest(name, [...recipes.keys(), ...COMMANDS]);
  throw new VistaError("USAGE", `there is no recipe or command \`${name}\``, {
    hint: `${close === undefined ? "" : `Did you mean ${close}? `}Recipes are ${[...recipes.keys()].join(", ")}.`,
  });
}

/** Makes the plan of a launch from a recipe and the options. @throws VistaError `USAGE` where options contradict one another */
export function makePlan(recipe: Recipe, flags: LaunchFlags, extra: readonly string[]): LaunchPlan {
  const slurmOnly = (["partition", "time", "account", "sbatch"] as const).find(
    (name) => flags[name] !== undefined,
  );
  if (slurmOnly !== undefined && !flags.slurm) {
    throw new VistaError("USAGE", `--${slurmOnly} needs --slurm`, {
      hint: `Add --slurm to submit a job, or leave --${slurmOnly} out to train here.`,
    });
  }
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
        sbatch: { ...recipe.slurm.sbatch, ...pairs(flags.sbatch?.map((word) => word.replace(/^--/, ""))) },
      }
    : undefined;
  if (flags.reshard && flags.resume === undefined) {
    throw new VistaError("USAGE", "--reshard needs --resume", {
      hint: "Name the run or the checkpoint to go on from with --resume.",
    });
  }
  const noValue = flags.env?.find((word) => !word.includes("="));
  if (noValue !== undefined) {
    throw new VistaError("USAGE", `--env ${noValue} is not NAME=VALUE`, {
      hint: "Write --env NCCL_DEBUG=INFO, for example.",
    });
  }
  const options: LaunchOptions = {
    ...flags,
    vista: resolve(flags.vista),
    python: program(flags.python),
    torchrun: program(flags.torchrun),
    env: pairs(flags.env),
    extra,
    slurm,
  };
  return planLaunch(recipe, options, process.cwd());
}

/** Refuses options of a start that would have no effect beside the others. @throws VistaError `USAGE` */
export function refuseWithoutEffect(flags: StartFlags, { recipe }: LaunchPlan): void {
  const { slurm, skipChecks, only, ignore } = flags;
  const problem =
    flags.maxRequeues !== undefined && !slurm
      ? "--max-requeues needs --slurm"
      : flags.rendezvousTimeout !== undefined && slurm
        ? "--rendezvous-timeout is for a torchrun that is started here, and excludes --slurm"
        : flags.rendezvousTimeout !== undefined && recipe.launcher === "python"
          ? `recipe ${recipe.name} runs without torchrun, and has no use for --rendezvous-timeout`
          : skipChecks && (only ?? ignore) !== undefined
            ? `--skip-checks looks at no rule, and excludes --${only === undefined ? "ignore" : "only"}`
            : undefined;
  if (problem !== undefined)
    throw new VistaError("USAGE", problem, { hint: "Leave one of the two out, or add what is needed." });
}

/** Resolves a program that is named by a path against this folder, not against the checkout where it is started. */
function program(path: string | undefined): string | undefined {
  return path?.includes("/") ? resolve(path) : path;
}

function pairs(words: readonly string[] = []): Record<string, string> {
  // Without a prototype, `__proto__` is a name like any other.
  const result = Object.create(null) as Record<string, string>;
  for (const word of words) {
    const [, key, value = ""] = /^([^=]*)=?(.*)$/s.exec(word)!;
    result[key!] = value;
  }
  return result;
}
