/**
 * Opens the optimizer of a ZeRO checkpoint of any number of ranks, or of a universal one, in a form that can be compared
 * parameter by parameter: its fp32 weights and each state as tensors, its steps and the hyperparameters of its groups as values.
 */

import { remember } from "../core/maps.js";
import type { RunOptions } from "../core/progress.js";
import { checkTolerance, type DiffOptions } from "./diff.js";
import type { OpenOptions } from "./open.js";
import { StateDict, type Tensor } from "./tensor/tensor.js";
import type { TorchFile } from "./torch/file.js";
import { asDict, asItems, keyText, PyTuple, type PyValue } from "./torch/objects.js";
import { numberIn } from "./zero/number-in.js";
import { readCheckpointFiles } from "./zero/open.js";
import { planOptimizer } from "./zero/optimizer.js";
import type { OptimizerParameter } from "./zero/optimizer-states.js";
import { lossScaleOf } from "./zero/optimizer-summary.js";
import { type CheckpointContent, closeAll } from "./zero/states.js";
import { openCommonState, readUniversal, type UniversalParameter } from "./zero/universal.js";
import { valueText } from "./zero/value-text.js";

/** A hyperparameter or a step: a number, a text for what is neither a number nor a list, or a list of them. */
export type OptimizerValue = number | string | readonly OptimizerValue[];

export interface ValueDifference {
  /** The name of the value: `step`, `lr`, `betas` …, `loss scale`. */
  readonly key: string;
  /** The value in the first checkpoint; `undefined` where only the second has one. */
  readonly a: OptimizerValue | undefined;
  readonly b: OptimizerValue | undefined;
  /** The parameters whose values differ in this way; empty for a value that the optimizer has once. */
  readonly parameters: readonly string[];
}

export interface ValuesReport {
  /** The values that differ by more than the tolerance, in the order in which they were met. */
  readonly values: readonly ValueDifference[];
  /** The names of the values that were compared. */
  readonly comparedValues: readonly string[];
  /** The names of values that are not compared, because they are nested too deep or too large, or hold tensors that only torch can rebuild. */
  readonly skippedValues: readonly string[];
}

/** The optimizer of a checkpoint: its tensors as a plan that reads nothing yet, its values as they are. */
export interface OptimizerState {
  /** The tensors, named `<parameter>/fp32`, `<parameter>/exp_avg` …, like the files of a universal checkpoint. */
  readonly state: StateDict;
  /**
   * The values by parameter, and under the empty name those that the optimizer has once; `undefined` stands for a value of a kind
   * that is not compared.
   */
  readonly values: ReadonlyMap<string, ReadonlyMap<string, OptimizerValue | undefined>>;
}

type Values = ReadonlyMap<string, OptimizerValue | undefined>;

/** The name under which the values of the whole optimizer are kept; no parameter has it. */
const WHOLE = "";

/**
 * Opens the optimizer; no tensor is read. Close its `state` when done.
 * @param path  a folder as {@link openCheckpoint} takes it, of ZeRO stage 1, 2 or 3, or a universal checkpoint
 * @throws VistaError `NOT_FOUND`, `UNSUPPORTED`, `INCONSISTENT`, and what reading the files throws
 */
export async function openOptimizerState(
  path: string,
  options: RunOptions & Pick<OpenOptions, "verify"> = {},
): Promise<OptimizerState> {
  const content = await readCheckpointFiles(path, { ...options, bf16Optimizer: true });
  const torchFiles = [...content.torchFiles];
  try {
    const plan = content.files.universal ? planUniversal(content, torchFiles, options) : planShards(content);
    const { parameters, lossScaler } = await plan;
    const tensors: [string, Tensor][] = [];
    const values = new Map<string, Values>();
    for (const [{ name, fp32, states }, ofParameter] of parameters) {
      for (const [state, tensor] of [["fp32", fp32] as const, ...states])
        tensors.push([`${name}/${state}`, tensor]);
      values.set(name, ofParameter);
    }
    const scale = lossScaleOf(lossScaler);
    values.set(WHOLE, new Map(scale === undefined ? [] : [["loss scale", scale.value]]));
    const files = torchFiles.map(({ file }) => file);
    return { state: new StateDict(tensors, files), values };
  } catch (error) {
    await closeAll(torchFiles);
    throw error;
  }
}

interface Plan {
  /** The parameters, each with its values. */
  readonly parameters: readonly (readonly [Pick<OptimizerParameter, "name" | "fp32" | "states">, Values])[];
  readonly lossScaler: PyValue | undefined;
}

async function planShards(content: CheckpointContent): Promise<Plan> {
  const { groups, shards, lossScaler } = await planOptimizer(content);
  const file = shards[0]!.torchFile;
  const all: [OptimizerParameter, Values][] = [];
  for (const { parameters, values: states, hyperparameters } of groups) {
    // None, as plain SGD of torch before 2.3 has it, is no state; a universal checkpoint of the same optimizer has no file for it.
    const kept = [...states].filter(([, value]) => value !== null);
    const ofGroup = await readValues([...(hyperparameters ?? []), ...kept], file);
    for (const parameter of parameters) all.push([parameter, ofGroup]);
  }
  return { parameters: all, lossScaler };
}

async function planUniversal(
  content: CheckpointContent,
  torchFiles: TorchFile[],
  options: RunOptions & { verify?: boolean },
): Promise<Plan> {
  const { groups, torchFiles: more } = await readUniversal(content, "optimizer", options);
  torchFiles.push(...more);
  const common = await openCommonState(content.files.tagFolder, options);
  torchFiles.push(common);
  const top = asDict(common.value);
  // This lists, for each flat tensor (a param group, or in stage 3 a sub-group), its group and its number in the states.
  const flats = (asItems(top?.get("param_groups")) ?? [])
    .map(asDict)
    .flatMap((group) => (asItems(group?.get("params")) ?? []).map((index) => ({ group, index })));
  // Stage 3 keeps what is one value for a flat tensor here (its step and the like); the flat states here are only those of rank 0.
  const inStage3 = asDict(asDict(top?.get("optimizer_state_dict"))?.get("state"));
  const all: [UniversalParameter, Values][] = [];
  for (const [g, parameters] of groups.entries()) {
    const { group, index } = flats[g] ?? {};
    const flatStates = new Set(parameters.flatMap(({ states }) => [...states.keys()]));
    const states = [...(asDict(index === undefined ? undefined : inStage3?.get(index)) ?? [])];
    const once = states.filter(([state, value]) => value !== null && !flatStates.has(keyText(state)));
    const shared = await readValues([...(group ?? []), ...once], common);
    for (const parameter of parameters) {
      const values = new Map(shared);
      for (const [key, { value, file }] of parameter.values) values.set(key, await readValue(value, file));
      all.push([parameter, values]);
    }
  }
  return { parameters: all, lossScaler: top?.get("loss_scaler") };
}

/** The keys of a group that are not compared: `params` numbers its sub-groups, which depend on the ranks. */
const LAYOUT_KEYS = new Set<PyValue>(["params"]);

async function readValues(entries: Iterable<readonly [PyValue, PyValue]>, file: TorchFile): Promise<Values> {
  const values = new Map<string, OptimizerValue | undefined>();
  for (const [key, value] of entries)
    if (!LAYOUT_KEYS.has(key)) values.set(keyText(key), await readValue(value, file));
  return values;
}

/** The depth of lists within one another whose numbers are compared by the tolerance. Real hyperparameters have up to 2. */
const MAX_DEPTH = 8;

async function readValue(value: PyValue, file: TorchFile, depth = 0): Promise<OptimizerValue | undefined> {
  const number = await numberIn(value, file);
  if (number !== undefined) return number;
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string" || typeof value === "bigint") return String(value);
  const isList = Array.isArray(value) || value instanceof PyTuple;
  const items = isList && depth < MAX_DEPTH ? asItems(value) : undefined;
  const text = items === undefined || depth === 0 ? await valueText(value, file) : "";
  if (items === undefined || text === undefined) return text;
  const list: OptimizerValue[] = [];
  for (const item of items) {
    const one = await readValue(item, file, depth + 1);
    if (one === undefined) return undefined;
    list.push(one);
  }
  return list;
}

/** Compares the values of the parameters that both have. @param options  the tolerance for numbers, as `diffStates` takes it */
export function diffValues(
  { values: a }: OptimizerState,
  { values: b }: OptimizerState,
  tolerance: Pick<DiffOptions, "atol" | "rtol"> = {},
): ValuesReport {
  checkTolerance(tolerance);
  const { atol = 0, rtol = 0 } = tolerance;
  const differences = new Map<string, ValueDifference & { readonly parameters: string[] }>();
  const compared = new Set<string>();
  const skipped = new Set<string>();
  for (const [parameter, ofA] of a) {
    const ofB = b.get(parameter);
    if (ofB === undefined) continue; // The tensors of this parameter are reported as being only in one of the two.
    for (const key of new Set([...ofA.keys(), ...ofB.keys()])) {
      const [x, y] = [ofA.get(key), ofB.get(key)];
      if ((ofA.has(key) && x === undefined) || (ofB.has(key) && y === undefined)) {
        skipped.add(key);
        continue;
      }
      compared.add(key);
      if (x !== undefined && y !== undefined && isClose(x, y, atol, rtol)) continue;
      const what = JSON.stringify([key, String(x), String(y)]);
      const entry = remember(differences, what, () => ({ key, a: x, b: y, parameters: [] }));
      if (parameter !== WHOLE) entry.parameters.push(parameter);
    }
  }
  return { values: [...differences.values()], comparedValues: [...compared], skippedValues: [...skipped] };
}

/** Tells whether two values are equal within the tolerance, as `diffStates` does for floats. */
function isClose(a: OptimizerValue, b: OptimizerValue, atol: number, rtol: number): boolean {
  if (typeof a === "number" && typeof b === "number")
    return Object.is(a, b) || (Number.isFinite(a - b) && Math.abs(a - b) <= atol + rtol * Math.abs(b));
  if (typeof a !== "object" || typeof b !== "object") return a === b;
  return a.length === b.length && a.every((item, i) => isClose(item, b[i]!, atol, rtol));
}
