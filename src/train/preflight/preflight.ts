/** The preflight: everything that is looked at before a training is started. */
import { asUndefined, throwIfAborted, VistaError } from "../../core/errors.js";
import type { RunOptions } from "../../core/progress.js";
import { SEVERITIES } from "../../dataset/finding.js";
import { type Argument, knownFlags, parseArguments, TEXT_PARAMETERS } from "../launch/arguments.js";
import { applyDotted, type ConfigTree, readConfigs } from "../launch/config.js";
import { trainingFacts } from "../launch/facts.js";
import type { LaunchPlan } from "../launch/plan.js";
import type { System } from "../launch/system.js";
import { configsOf } from "../run/runs.js";
import { checkArguments } from "./checks/arguments.js";
import { checkConfig } from "./checks/config.js";
import type { CheckContext, CheckFunction } from "./checks/context.js";
import { checkData } from "./checks/data.js";
import { checkGpus } from "./checks/gpu.js";
import { checkCheckout, checkEnvironment, checkRendezvous, checkSbatch } from "./checks/launch.js";
import { checkPython } from "./checks/python.js";
import { checkResume } from "./checks/resume.js";
import { checkLogdir } from "./checks/run-folder.js";
import { checkWeights } from "./checks/weights.js";
import { matchesRule, RULES, type RuleName, type TrainFinding } from "./rules.js";

export interface PreflightOptions extends RunOptions {
  /** The environment that the training would be started in; its `PATH` is where programs are looked for. */
  env: Record<string, string | undefined>;
  /**
   * The rules to look at, by code or group (`gpu`, `train/port-busy`); all where empty. A checkout or config that is not there is
   * told in any case.
   */
  only?: readonly string[] | undefined;
  /** The rules to leave out. */
  ignore?: readonly string[] | undefined;
}

export interface PreflightReport {
  /** The findings, errors first. */
  findings: TrainFinding[];
  /** The parts of which only a sample was looked at, and which sample; a verdict has to say so. */
  sampled: string[];
}

/** The topics, each with the rules that it may find, so that a topic nobody asks for is not looked at. */
// biome-ignore format: a topic and its rules
const TOPICS: readonly [CheckFunction, readonly RuleName[]][] = [
  [checkCheckout, ["checkout"]],
  [checkRendezvous, ["no-rendezvous", "rendezvous-host", "port-busy", "host-name"]],
  [checkEnvironment, ["pet-variable"]],
  [checkSbatch, ["sbatch-missing"]],
  [checkArguments, ["unknown-flag", "flag-value", "unknown-key", "text-flag", "set-twice", "config-value"]],
  [checkConfig, ["config-missing", "config-folder", "config-value", "unknown-key", "strategy", "late-checkpoint"]],
  [checkResume, ["resume", "resume-ranks", "resume-and-name", "resume-recipe", "resume-config", "last-checkpoint", "last-link"]],
  [checkLogdir, ["run-exists", "logdir", "disk-space"]],
  [checkWeights, ["svd-missing", "svd-damaged", "finetune-needed", "finetune-missing", "finetune-format", "finetune-recipe",
    "finetune-damaged", "finetune-keys", "finetune-incomplete", "last-checkpoint", "stray-weights"]],
  [checkData, ["data-missing", "data-faulty", "unknown-subset"]],
  [checkGpus, ["gpu-count", "gpu-memory", "gpu-mig", "gpu-fault", "gpu-busy", "gpu-unknown"]],
  [checkPython, ["python-missing", "package-missing", "lightning-version", "deepspeed-version"]],
];

/** The rules that are looked at whatever `only` says: without a checkout and a config, the others have nothing to look at. */
const ALWAYS = ["train/checkout", "train/config-missing", "train/config-value"];

/** Looks at everything that is asked for; the environment is that of the system. */
export async function preflight(
  plan: LaunchPlan,
  system: System,
  options: Omit<PreflightOptions, "env"> = {},
): Promise<PreflightReport> {
  const wanted = rulesWanted({ ...options, only: options.only?.length ? [...options.only, ...ALWAYS] : [] });
  const config = await baseConfig(plan);
  const flags = await knownFlags(plan.vista);
  const extra = parseArguments(plan.extra, flags);
  const dotted = extra.filter(({ kind }) => kind === "dotted").map(({ word }) => word);
  const given = config && (await applyDotted(config, [...dotted, ...ofTrainer(extra)]).catch(asUndefined));
  const context: CheckContext = {
    plan,
    system,
    flags,
    extra,
    dotted,
    config,
    given,
    facts: given && trainingFacts(given),
    signal: options.signal,
    onProgress: options.onProgress,
    wanted,
    sampled: [],
  };
  const found: TrainFinding[] = [];
  for (const [check, rules] of TOPICS) {
    throwIfAborted(options.signal);
    if (!rules.some(wanted)) continue;
    for await (const one of check(context)) if (wanted(one.rule)) found.push(one);
    // Without a checkout every other finding would only say so again.
    if (check === checkCheckout && found.length > 0) break;
  }
  found.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
  return { findings: found, sampled: context.sampled };
}

/** Returns the flags for parameters of the Trainer as the settings that train.py makes of them; what it hands on is text. */
function ofTrainer(extra: readonly Argument[]): string[] {
  return extra
    .filter(
      ({ kind, name, values }) => kind === "flag" && TEXT_PARAMETERS.has(name.slice(2)) && values.length > 0,
    )
    .map(({ name, values }) => `lightning.trainer.${name.slice(2)}=${JSON.stringify(values[0])}`);
}

/** Returns a function that tells whether a rule is looked at. */
export function rulesWanted({ only = [], ignore = [] }: Pick<PreflightOptions, "only" | "ignore">) {
  return (code: string): boolean =>
    (only.length === 0 || only.some((selector) => matchesRule(code, selector))) &&
    !ignore.some((selector) => matchesRule(code, selector));
}

/** Returns the selectors that name no rule, for an error message. */
export function unknownSelectors(selectors: readonly string[]): string[] {
  const codes = Object.keys(RULES);
  return selectors.filter((selector) => !codes.some((code) => matchesRule(code, selector)));
}

/** Checks the selectors of rules. @throws VistaError `USAGE` where --only or --ignore names no rule, or both leave none */
export function checkSelectors(flags: Pick<PreflightOptions, "only" | "ignore">): void {
  const unknown = unknownSelectors([...(flags.only ?? []), ...(flags.ignore ?? [])]);
  if (unknown.length > 0) {
    throw new VistaError("USAGE", `there is no rule \`${unknown[0]}\``, {
      hint: "docs/rules-train.md lists them.",
    });
  }
  if (!Object.keys(RULES).some(rulesWanted(flags)))
    throw new VistaError("USAGE", "--only and --ignore leave no rule to look at", {
      hint: "Ignore fewer of those that --only names; --skip-checks looks at none.",
    });
}

/** Reads and merges the config files; undefined without any, or where one cannot be read, which is a finding elsewhere. */
async function baseConfig(plan: LaunchPlan): Promise<ConfigTree | undefined> {
  const files = await configsOf(plan).catch(asUndefined);
  return files?.length ? readConfigs(files).catch(asUndefined) : undefined;
}
