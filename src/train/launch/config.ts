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
  for (const path of paths) merged = mergeConfigs(merged, await readConfig(path));
  return merged;
}

async function readConfig(path: string): Promise<ConfigTree> {
  // OmegaConf reads with PyYAML, which knows merge keys (`<<`).
  const value = await readYaml(path, "read the config", { python: true });
  if (!isRecord(value)) throw new VistaError("FORMAT", "the config is not a mapping", { path });
  return value;
}

/** Makes a tree without a prototype, so that no key of a file is one of `Object.prototype`. */
function emptyTree(): ConfigTree {
  return Object.create(null) as ConfigTree;
}

export function mergeConfigs(left: ConfigTree, right: ConfigTree): ConfigTree {
  const merged = Object.assign(emptyTree(), left);
  for (const [key, value] of Object.entries(right)) {
    const old = merged[key];
    merged[key] = isRecord(old) && isRecord(value) ? mergeConfigs(old, value) : value;
  }
  return merged;
}

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

/** Applies `dotted.key=value` arguments; the value is YAML, as it is to OmegaConf. Elements of lists are left alone. */
export async function applyDotted(tree: ConfigTree, assignments: readonly string[]): Promise<ConfigTree> {
  let result = tree;
  for (const assignment of assignments) {
    const at = assignment.indexOf("=");
    const parts = splitKey(assignment.slice(0, at));
    let value: unknown = await readValue(assignment.slice(at + 1));
    for (const part of parts.reverse()) value = Object.assign(emptyTree(), { [part]: value });
    if (!assignment.slice(0, at).includes("[")) result = mergeConfigs(result, value as ConfigTree);
  }
  return result;
}

async function readValue(text: string): Promise<unknown> {
  try {
    return await parseYaml(text, "");
  } catch {
    return text;
  }
}

/** The facts of a config that the checks need, after all overrides. */
export interface TrainingFacts {
  subsets: string[];
  /** The value of `subsets` where it is a text and not a list; Vista takes a text letter by letter. */
  subsetsText: string | undefined;
  probs: number[] | undefined;
  /** What is wrong with settings of `data.params` that count something. */
  countProblems: string[];
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
  saveLast: boolean;
  /** Whether only the adapters have optimizer state (phase 2). */
  adaptersOnly: boolean;
  modelChannels: number | undefined;
}

export function trainingFacts(config: ConfigTree): TrainingFacts {
  const number = (key: string): number | undefined => {
    const value = getPath(config, key);
    return typeof value === "number" && Number.isFinite(value) ? value : undefined;
  };
  const subsets = getPath(config, "data.params.subsets");
  const probs = getPath(config, "data.params.probs");
  const params = getPath(config, "data.params");
  return {
    probs: Array.isArray(probs) ? probs.map(numberOf) : undefined,
    countProblems: isRecord(params) ? countProblems(params) : [],
    numFrames: number("data.params.num_frames"),
    subsets: Array.isArray(subsets) ? subsets.map(textOf) : [],
    subsetsText: typeof subsets === "string" && !subsets.includes("${") ? subsets : undefined,
    height: number("data.params.target_height"),
    width: number("data.params.target_width"),
    strategy: getPath(config, "lightning.trainer.strategy"),
    batchSize: number("data.params.batch_size") ?? 1,
    samplesPerEpoch: number("data.params.samples_per_epoch"),
    accumulate: number("lightning.trainer.accumulate_grad_batches") ?? 1,
    everyEpochs: number("lightning.modelcheckpoint.params.every_n_epochs"),
    everySteps: number("lightning.modelcheckpoint.params.every_n_train_steps"),
    saveTopK: number("lightning.modelcheckpoint.params.save_top_k"),
    saveLast: getPath(config, "lightning.modelcheckpoint.params.save_last") !== false,
    adaptersOnly: getPath(config, "model.params.train_peft_adapters") === true,
    modelChannels: number("model.params.network_config.params.model_channels"),
  };
}

/** Returns the optimizer steps of one epoch, whose samples Lightning deals out to all processes. */
export function stepsPerEpoch(processes: number, facts: TrainingFacts): number | undefined {
  if (facts.samplesPerEpoch === undefined) return undefined;
  return Math.ceil(Math.ceil(facts.samplesPerEpoch / (processes * facts.batchSize)) / facts.accumulate);
}
