/** Vista's training configs, which are read, merged and overridden here as train.py does it with OmegaConf. */

import { VistaError } from "../../core/errors.js";
import { isRecord } from "../../core/maps.js";
import { numberOf, textOf } from "../../core/text.js";
import { parseYaml, readYaml } from "../../core/yaml.js";
import { countProblems } from "../../dataset/vista-config.js";

export type ConfigTree = { [key: string]: unknown };

/**
 * Reads the config files and merges them from left to right: mappings are merged key by key, everything else is replaced.
 *
 * @throws VistaError `NOT_FOUND` or `FORMAT` with the file
 */
export async function readConfigs(paths: readonly string[]): Promise<ConfigTree> {
  let merged: ConfigTree = emptyTree();
  for (const path of paths) merged = mergeConfigs(merged, await readConfig(path), path);
  return merged;
}

async function readConfig(path: string): Promise<ConfigTree> {
  // To OmegaConf a file without anything is a config without keys.
  const value = (await readYaml(path, "read the config", { python: true })) ?? emptyTree();
  if (!isRecord(value)) throw new VistaError("FORMAT", "the config is not a mapping", { path });
  return value;
}

/** Makes a tree without a prototype, so that no key of a file is one of `Object.prototype`. */
function emptyTree(): ConfigTree {
  return Object.create(null) as ConfigTree;
}

/**
 * Merges two configs as OmegaConf does: `???` stands for no value.
 *
 * @param path  the file or argument that `right` comes from, for messages
 * @throws VistaError `FORMAT` where one has a list and the other a mapping, which OmegaConf does not merge
 */
export function mergeConfigs(left: ConfigTree, right: ConfigTree, path: string, above = ""): ConfigTree {
  const merged = Object.assign(emptyTree(), left);
  for (const [key, value] of Object.entries(right)) {
    const old = merged[key];
    if (value === MISSING && old !== undefined) continue;
    if ((Array.isArray(old) && isRecord(value)) || (isRecord(old) && Array.isArray(value))) {
      const what = isRecord(old)
        ? "a mapping in the config and a list"
        : "a list in the config and a mapping";
      throw new VistaError("FORMAT", `${above}${key} is ${what} here, which OmegaConf does not merge`, {
        path,
        hint: "Give a list as a whole, key=[A,B]; an element alone cannot be set.",
      });
    }
    merged[key] =
      isRecord(old) && isRecord(value) ? mergeConfigs(old, value, path, `${above}${key}.`) : value;
  }
  return merged;
}

/** OmegaConf's word for a value that is yet to be given. */
const MISSING = "???";

/** Splits a dotted key: `a.b[0].c` becomes `["a", "b", "0", "c"]`. */
export function splitKey(key: string): string[] {
  return key.replace(/\[([^\]]*)\]/g, ".$1").split(".");
}

/** Returns the value at a dotted key; undefined where there is none. */
export function getPath(tree: unknown, key: string): unknown {
  let value: unknown = tree;
  for (const part of splitKey(key)) {
    if (Array.isArray(value)) value = value[Number(part)];
    else if (isRecord(value) && Object.hasOwn(value, part)) value = value[part];
    else return undefined;
  }
  return value;
}

/**
 * Applies `dotted.key=value` arguments; the value is YAML, as it is to OmegaConf.
 *
 * @throws VistaError `FORMAT` for a value that is not YAML, or that cannot be merged
 */
export async function applyDotted(tree: ConfigTree, assignments: readonly string[]): Promise<ConfigTree> {
  let given = emptyTree();
  for (const assignment of assignments) {
    const at = assignment.indexOf("=");
    let value = await parseYaml(assignment.slice(at + 1), assignment, { python: true });
    for (const part of splitKey(assignment.slice(0, at)).reverse()) {
      value = Object.assign(emptyTree(), { [part]: value });
    }
    given = mergeConfigs(given, value as ConfigTree, assignment);
  }
  return mergeConfigs(tree, given, assignments.join(" "));
}

/** The facts of a config that the checks need, after all overrides. */
export interface TrainingFacts {
  subsets: string[];
  /** What `subsets` is where it is no list with something in it; Vista takes a text letter by letter. */
  noSubsets: string | undefined;
  probs: number[] | undefined;
  /** What is wrong with the settings of `data.params`. */
  countProblems: string[];
  /** What is wrong with other settings. */
  problems: string[];
  /** The settings that only OmegaConf can work out (`${oc.env:HEIGHT}`), each as a clause; what they decide is not known. */
  unclear: string[];
  numFrames: number | undefined;
  height: number | undefined;
  width: number | undefined;
  strategy: unknown;
  batchSize: number;
  samplesPerEpoch: number | undefined;
  accumulate: number;
  everyEpochs: number | undefined;
  everySteps: number | undefined;
  /** The number of checkpoints that are kept beside `last`; -1, which train.py sets itself, keeps all. */
  saveTopK: number | undefined;
  /** Whether a `monitor` says which checkpoints are the best. */
  monitored: boolean;
  saveLast: boolean;
  /** The folder for checkpoints in place of `checkpoints` of the run. */
  checkpointFolder: unknown;
  /** Whether only the adapters have optimizer state (phase 2). */
  adaptersOnly: boolean;
  modelChannels: number | undefined;
}

/** The class of the data in Vista's configs, and those of its parameters that it cannot do without. */
export const SAMPLER = "vwm.data.dataset.Sampler";
const SAMPLER_NEEDS = ["subsets", "batch_size", "samples_per_epoch"];

/** The settings of Lightning that count something, each with the least that it may be. */
const LIGHTNING_COUNTS = {
  "lightning.trainer.accumulate_grad_batches": 1,
  "lightning.modelcheckpoint.params.every_n_epochs": 0,
  "lightning.modelcheckpoint.params.every_n_train_steps": 0,
  "lightning.modelcheckpoint.params.save_top_k": -1,
} as const;

export function trainingFacts(config: ConfigTree): TrainingFacts {
  const unclear: string[] = [];
  const problems: string[] = [];
  const given = (key: string): unknown => getPath(config, key) ?? undefined;
  const value = (key: string): unknown => {
    const found = resolved(config, getPath(config, key));
    const parts = Array.isArray(found) ? found : [found];
    if (!parts.some((part) => typeof part === "string" && part.includes("${"))) return found;
    unclear.push(`${key} is ${textOf(found)}`);
    return undefined;
  };
  // A whole float comes as text.
  const number = (key: string): number | undefined => {
    const found = value(key);
    const count = typeof found === "string" ? Number(found || Number.NaN) : found;
    return typeof count === "number" && Number.isFinite(count) ? count : undefined;
  };
  const count = (key: keyof typeof LIGHTNING_COUNTS): number | undefined => {
    const found = number(key);
    const isCount = Number.isSafeInteger(found) && found! >= LIGHTNING_COUNTS[key];
    if (given(key) !== undefined && !isCount && !unclear.some((text) => text.startsWith(`${key} is `)))
      problems.push(`${key} is ${textOf(given(key))}, not a whole number from ${LIGHTNING_COUNTS[key]} on`);
    return isCount ? found : undefined;
  };
  const subsets = value("data.params.subsets");
  const probs = value("data.params.probs");
  const params = getPath(config, "data.params");
  const saveLast = getPath(config, "lightning.modelcheckpoint.params.save_last");
  for (const key of ["model.target", "data.target", "model.base_learning_rate"]) {
    if (given(key) === undefined) problems.push(`${key} is not set`);
  }
  const needed = given("data.target") === SAMPLER ? SAMPLER_NEEDS.map((key) => `data.params.${key}`) : [];
  return {
    // They are compared with the subsets, where those are known.
    probs: Array.isArray(probs) && Array.isArray(subsets) ? probs.map(numberOf) : undefined,
    countProblems: [
      ...needed
        .filter((key) => given(key) === undefined)
        .map((key) => `${key} is not set, and the data set is not made without it`),
      ...(isRecord(params) ? countProblems(params) : []),
    ],
    numFrames: number("data.params.num_frames"),
    subsets: Array.isArray(subsets) ? subsets.map(textOf) : [],
    noSubsets: noList(subsets),
    height: number("data.params.target_height"),
    width: number("data.params.target_width"),
    strategy: value("lightning.trainer.strategy"),
    batchSize: number("data.params.batch_size") ?? 1,
    samplesPerEpoch: number("data.params.samples_per_epoch"),
    accumulate: count("lightning.trainer.accumulate_grad_batches") ?? 1,
    everyEpochs: count("lightning.modelcheckpoint.params.every_n_epochs"),
    everySteps: count("lightning.modelcheckpoint.params.every_n_train_steps"),
    saveTopK: count("lightning.modelcheckpoint.params.save_top_k"),
    monitored: given("lightning.modelcheckpoint.params.monitor") !== undefined,
    saveLast: saveLast === undefined || (saveLast !== null && saveLast !== false),
    checkpointFolder: given("lightning.modelcheckpoint.params.dirpath"),
    adaptersOnly: getPath(config, "model.params.train_peft_adapters") === true,
    modelChannels: number("model.params.network_config.params.model_channels"),
    unclear,
    problems,
  };
}

function noList(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : undefined;
  return `${typeof value === "string" ? "the text " : ""}${textOf(value)}, not a list`;
}

/** Follows `${another.key}`, which stands for the value of that key; other interpolations are left as they are. */
function resolved(config: ConfigTree, value: unknown): unknown {
  let found = value;
  for (let links = 0; typeof found === "string" && links < 10; links++) {
    const [, key] = /^\$\{([\w[\]][\w.[\]]*)\}$/.exec(found) ?? [];
    if (key === undefined) break;
    found = getPath(config, key);
  }
  return found;
}

/** Tells whether a strategy is one of DeepSpeed, which goes on from folders of shards and from no single file. */
export function needsFolders({ strategy }: Pick<TrainingFacts, "strategy">): boolean {
  return typeof strategy === "string" && strategy.startsWith("deepspeed");
}

/** Returns the optimizer steps between two checkpoints; undefined where that is not known. */
export function stepsBetween(processes: number, facts: TrainingFacts): number | undefined {
  if (facts.everySteps) return facts.everySteps;
  if (facts.samplesPerEpoch === undefined) return undefined;
  // Lightning deals out the samples of an epoch to all processes.
  const batches = Math.ceil(facts.samplesPerEpoch / (processes * facts.batchSize));
  return Math.ceil(batches / facts.accumulate) * Math.max(1, facts.everyEpochs ?? 1);
}
