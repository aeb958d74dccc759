/**
 * Reads what the pickles of a ZeRO checkpoint say: the few keys that are needed, with their types checked, in old and new
 * spellings alike.
 *
 * Source: deepspeed/checkpoint/constants.py, runtime/zero/stage_1_and_2.py and stage3.py (state_dict), engine.py.
 */
import { VistaError } from "../../core/errors.js";
import { settleAll } from "../../core/io/settle.js";
import { sum } from "../../core/sum.js";
import type { TorchFile } from "../torch/file.js";
import { PICKLE_LIMITS } from "../torch/limits.js";
import { describedTensors, type UnreadableTensor } from "../torch/named-tensors.js";
import {
  asDict,
  asInteger,
  asItems,
  asString,
  keyText,
  type PyDict,
  type PyValue,
} from "../torch/objects.js";
import { valueAt } from "../torch/state-dicts.js";
import { dimensions, namesOfOthers, TorchTensor } from "../torch/values.js";
import { checkLayoutKeys } from "./known-keys.js";
import { type CheckpointFiles, PARALLEL_HINT } from "./layout.js";

export interface ShardState {
  readonly path: string;
  readonly torchFile: TorchFile;
  readonly dict: PyDict;
  readonly stage: 1 | 2 | 3;
  /** The number of ranks that saved, as this shard states it. */
  readonly ranks: number;
  readonly dsVersion: string | undefined;
  /** The flat tensors, one for each param group (stage 1 and 2) or sub-group (stage 3). */
  readonly groups: readonly TorchTensor[];
  /**
   * The elements between each parameter and the next, for each param group; `undefined` before DeepSpeed 0.19.8 and in stage 3.
   * They are all 0 where `parameter_alignment` was off.
   */
  readonly alignmentPaddings: readonly (readonly number[])[] | undefined;
  /** The first step count of the optimizer, where it keeps any: a number, or a scalar to be read. */
  readonly step: number | TorchTensor | undefined;
  /** The shapes of the parameters, by param group (stage 3: sub-group); shards have them only before DeepSpeed 0.6.0. */
  readonly paramShapes: readonly Shapes[] | undefined;
}

/** The shapes of parameters by name, in order. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** The part of the model states that is needed of every rank; only those of the first are kept whole. */
export interface ModelFile {
  readonly path: string;
  readonly torchFile: TorchFile;
  readonly frozenFragments: ReadonlyMap<string, TorchTensor>;
  readonly dsVersion: string | undefined;
  readonly ranks: number | undefined;
  readonly globalSteps: number | undefined;
}

export interface ModelState extends ModelFile {
  readonly dict: PyDict;
  /** The tensors of the module's state dict; in stage 3 those of partitioned parameters are placeholders. */
  readonly module: ReadonlyMap<string, TorchTensor>;
  /** The tensors of the module's state dict that only torch can rebuild, and those whose key is no name. */
  readonly unreadable: readonly UnreadableTensor[];
  /** The names of entries of `module` that are no tensors (a module's extra state). */
  readonly notTensors: readonly string[];
  readonly bufferNames: ReadonlySet<string>;
  /**
   * The shapes of the parameters, by param group (stage 3: sub-group); `undefined` in checkpoints without ZeRO and before
   * DeepSpeed 0.6.0.
   */
  readonly paramShapes: readonly Shapes[] | undefined;
  readonly frozenShapes: Shapes;
  /** The source of each alias, as names of parameters that share one tensor. */
  readonly sharedParams: ReadonlyMap<string, string>;
  readonly lightningVersion: string | undefined;
  /** The `zero_optimization.stage` of the DeepSpeed config. */
  readonly configuredStage: number | undefined;
  /** The `zero_optimization.mics_shard_size` of the DeepSpeed config; `undefined` where it is not above 0. */
  readonly micsShardSize: number | undefined;
}

/** The model states of all ranks in stage 3, else those of the one file. */
export type ModelStates = readonly [ModelState, ...ModelFile[]];

/** The open files of one checkpoint, and what their pickles say. */
export interface CheckpointContent {
  readonly files: CheckpointFiles;
  /** The model states: of stage 3 those of all ranks, of which only the first are whole. */
  readonly models: ModelStates;
  readonly shards: readonly ShardState[];
  /** The files that were opened: model states, then shards. */
  readonly torchFiles: readonly TorchFile[];
}

/** Closes files, all of them also where closing one fails. */
export async function closeAll(torchFiles: readonly TorchFile[]): Promise<void> {
  await settleAll(torchFiles.map(({ file }) => file.close()));
}

/** Returns the version of DeepSpeed that any of the files says; files that contradict one another are refused elsewhere. */
export function versionOf({ shards, models }: CheckpointContent): string | undefined {
  return [...models, ...shards].find(({ dsVersion }) => dsVersion !== undefined)?.dsVersion;
}

/** The key of what a shard has of the optimizer, which errors name as their record. */
const SHARD_STATE = "optimizer_state_dict";

const NOT_ZERO_HINT =
  "Give the files that DeepSpeed saved; a file of another program in this folder must go.";

function malformed(what: string, path: string, record?: string): VistaError {
  return new VistaError("FORMAT", what, { path, record, hint: NOT_ZERO_HINT });
}

/**
 * Reads what an optimizer shard says.
 * @param bf16Optimizer  whether a shard of DeepSpeed's BF16_Optimizer, which does not say its stage, is taken as stage 1
 * @throws VistaError `FORMAT`, `UNSUPPORTED`
 */
export function readShardState(torchFile: TorchFile, bf16Optimizer = false): ShardState {
  const path = torchFile.file.path;
  const top = asDict(torchFile.value);
  const state = asDict(top?.get(SHARD_STATE));
  if (top === undefined || state === undefined) {
    throw malformed("not an optimizer shard: there is no optimizer_state_dict in it", path);
  }
  const dsVersion = asString(top.get("ds_version")) ?? asString(state.get("ds_version"));
  const isFlat = state.has("single_partition_of_fp32_groups");
  const unsaid = bf16Optimizer && isFlat && !state.has("zero_stage");
  const stage = unsaid ? 1 : asInteger(state.get("zero_stage"));
  if (stage === undefined) {
    throw new VistaError(
      "UNSUPPORTED",
      isFlat
        ? "written by DeepSpeed's BF16_Optimizer, which does not say its zero_stage"
        : "the shard does not say its zero_stage",
      {
        path,
        record: SHARD_STATE,
        hint: isFlat
          ? "`vista-ckpt to-universal` writes its fp32 weights in a form that merge, to-st and diff take."
          : NOT_ZERO_HINT,
      },
    );
  }
  if (stage !== 1 && stage !== 2 && stage !== 3) {
    throw new VistaError("UNSUPPORTED", `ZeRO stage ${stage}; known are 1, 2 and 3`, {
      path,
      hint: "Merge it with the zero_to_fp32.py that DeepSpeed put into the checkpoint folder.",
    });
  }
  checkLayoutKeys(state, path, dsVersion);
  const key = stage === 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups";
  const groups = asItems(state.get(key));
  if (groups === undefined || !groups.every((group) => group instanceof TorchTensor)) {
    throw malformed(`${key} is missing or is not a list of tensors`, path, SHARD_STATE);
  }
  if (groups.length > PICKLE_LIMITS.groups) throw tooMany(groups.length, key, "groups", path);
  const base = asDict(state.get(stage === 3 ? "optimizer_state_dict" : "base_optimizer_state"));
  return {
    path,
    torchFile,
    dict: state,
    stage,
    ranks: readRanks(state.get("partition_count"), path),
    dsVersion,
    groups: groups as readonly TorchTensor[],
    alignmentPaddings: readPaddings(state.get("param_alignment_paddings"), path),
    step: firstStep(base ?? state.get("base_optimizer_state")),
    paramShapes: readParamShapes(top.get("param_shapes") ?? state.get("param_shapes"), path),
  };
}

/** Reads `param_alignment_paddings`, for each param group a list with one count for each of its parameters. */
function readPaddings(value: PyValue | undefined, path: string): number[][] | undefined {
  if (value === undefined || value === null) return undefined;
  const groups = asItems(value)?.map((group) => dimensions(group));
  if (groups?.every((group) => group !== undefined)) return groups as number[][];
  throw malformed("param_alignment_paddings is not a list of counts for each param group", path, SHARD_STATE);
}

/** Reads `partition_count`, an int in stage 3, in stage 1 and 2 a list with the data-parallel size of each group. */
function readRanks(value: PyValue | undefined, path: string): number {
  const counts = asItems(value) ?? [value];
  const numbers = counts.map((count) => asInteger(count));
  const [first] = numbers;
  if (first !== undefined && first > PICKLE_LIMITS.ranks) {
    throw malformed(
      `partition_count is ${first}, the limit is ${PICKLE_LIMITS.ranks} ranks`,
      path,
      SHARD_STATE,
    );
  }
  if (first === undefined || first < 1 || numbers.some((count) => count === undefined)) {
    throw malformed("partition_count is missing or no number", path, SHARD_STATE);
  }
  if (numbers.some((count) => count !== first)) {
    throw new VistaError(
      "UNSUPPORTED",
      `param groups over different numbers of ranks (${numbers.join(", ")}), as mixture of experts has`,
      {
        path,
        hint: "Load it in DeepSpeed with the code that saved it, gather the weights and save them with torch.save.",
      },
    );
  }
  return first;
}

/**
 * Returns the first step count, which stands for all of them, since all parameters step together: it is in `state[i].step` (a number or
 * a 0-dim tensor), where torch's optimizers keep it, or in `param_groups[i].step`, where DeepSpeed's FusedAdam does.
 */
function firstStep(base: PyValue | undefined): number | TorchTensor | undefined {
  // A dict that is listed many times says nothing new, so it is read once.
  for (const part of new Set(asDict(base) === undefined ? asItems(base) : [base])) {
    const dict = asDict(part);
    const groups = asItems(dict?.get("param_groups")) ?? [];
    for (const holder of [...(asDict(dict?.get("state"))?.values() ?? []), ...groups]) {
      const step = asDict(holder)?.get("step");
      if (typeof step === "number" || (step instanceof TorchTensor && step.shape.length === 0)) return step;
    }
  }
  return undefined;
}

/** Reads `param_shapes`, a list with a dict for each param group (in stage 3 each sub-group); before DeepSpeed 0.5.4 one dict. */
function readParamShapes(value: PyValue | undefined, path: string): Shapes[] | undefined {
  if (value === undefined || value === null) return undefined;
  const dicts = asDict(value) === undefined ? asItems(value) : [value];
  if (dicts === undefined) throw malformed("param_shapes is neither a list nor a dict", path);
  if (dicts.length > PICKLE_LIMITS.groups) throw tooMany(dicts.length, "param groups", "groups", path);
  const total = sum(dicts, (dict) => asDict(dict)?.size ?? 0);
  if (total > PICKLE_LIMITS.shapes) throw tooMany(total, "shapes", "shapes", path);
  return dicts.map((dict, i) => readShapes(dict, path, `param_shapes[${i}]`));
}

function tooMany(count: number, what: string, limit: "groups" | "shapes", path: string): VistaError {
  return malformed(`${count} ${what}, the limit is ${PICKLE_LIMITS[limit]}`, path);
}

function readShapes(value: PyValue | undefined, path: string, record: string): Shapes {
  const shapes = new Map<string, readonly number[]>();
  const dict = asDict(value);
  if (dict === undefined) throw malformed("is not a dict of shapes", path, record);
  for (const [name, shape] of dict) {
    const dims = dimensions(shape);
    if (typeof name !== "string" || dims === undefined) {
      throw malformed(`the entry ${keyText(name)} is not a name with a shape`, path, record);
    }
    shapes.set(name, dims);
  }
  return shapes;
}

/**
 * Reads what model states say.
 * @param key  the keys to the module's state dict, joined by dots
 * @throws VistaError `FORMAT`, `UNSUPPORTED`
 */
export function readModelState(torchFile: TorchFile, key = "module"): ModelState {
  const path = torchFile.file.path;
  const top = asDict(torchFile.value);
  const module = asDict(valueAt(torchFile.value, key));
  if (module === undefined && key !== "module" && asDict(valueAt(torchFile.value, "module")) !== undefined) {
    throw new VistaError("USAGE", `there is no state dict under --key ${key} in the model states`, {
      path,
      hint: "Leave --key out: theirs is under `module`.",
    });
  }
  if (top === undefined || module === undefined) {
    throw malformed(`not model states: there is no \`${key}\` in it`, path);
  }
  const parallel = asInteger(top.get("mp_world_size"));
  // Where the files of the other model-parallel ranks were not copied along, no file name shows that this is only a part.
  if (parallel !== undefined && parallel > 1) {
    throw new VistaError("UNSUPPORTED", `a tensor-parallel checkpoint: mp_world_size is ${parallel}`, {
      path,
      hint: PARALLEL_HINT,
    });
  }
  const unreadable: UnreadableTensor[] = [];
  const tensors = describedTensors(module, { path, record: "module" }, unreadable);
  const config = asDict(asDict(top.get("ds_config"))?.get("zero_optimization"));
  /** Reads what is under a key; `none` where nothing is. */
  const read = <T>(key: string, of: (value: PyValue, path: string, key: string) => T, none: T): T => {
    const value = top.get(key) ?? null;
    return value === null ? none : of(value, path, key);
  };
  return {
    path,
    torchFile,
    dict: module,
    module: tensors,
    unreadable,
    notTensors: namesOfOthers(module),
    bufferNames: read("buffer_names", readBufferNames, new Set()),
    paramShapes: readParamShapes(top.get("param_shapes"), path),
    frozenShapes: read("frozen_param_shapes", readShapes, new Map()),
    frozenFragments: read("frozen_param_fragments", readTensors, new Map()),
    sharedParams: read("shared_params", readNames, new Map()),
    dsVersion: asString(top.get("ds_version")),
    ranks: asInteger(top.get("dp_world_size")),
    globalSteps: asInteger(top.get("global_steps")),
    lightningVersion: asString(top.get("pytorch-lightning_version")),
    configuredStage: asInteger(config?.get("stage")),
    micsShardSize: positive(config?.get("mics_shard_size")),
  };
}

/** Returns model states without the rest of their pickle: those of a thousand ranks describe every tensor a thousand times. */
export function withoutTree(model: ModelFile): ModelFile {
  const { path, torchFile, frozenFragments, dsVersion, ranks, globalSteps } = model;
  return { path, torchFile: torchFile.slim(), frozenFragments, dsVersion, ranks, globalSteps };
}

/** Returns a positive integer; `undefined` for anything else. */
export function positive(value: PyValue | undefined): number | undefined {
  const number = asInteger(value) ?? 0;
  return number > 0 ? number : undefined;
}

function readTensors(value: PyValue, path: string, record: string): Map<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  const entries = asDict(value);
  if (entries === undefined) throw malformed("is no dict of tensors", path, record);
  for (const [name, tensor] of entries) {
    if (typeof name !== "string" || !(tensor instanceof TorchTensor)) {
      throw malformed(`the entry ${keyText(name)} is not a name with a tensor`, path, record);
    }
    tensors.set(name, tensor);
  }
  return tensors;
}

function readBufferNames(value: PyValue, path: string, record: string): Set<string> {
  const names = asItems(value);
  if (names?.every((name) => typeof name === "string") !== true)
    throw malformed("is no list of names", path, record);
  return new Set(names as readonly string[]);
}

function readNames(value: PyValue, path: string, record: string): Map<string, string> {
  const names = new Map<string, string>();
  // DeepSpeed saves a dict, but its newest readers also take a list of pairs.
  const pairs = asDict(value) ?? asItems(value)?.map((pair) => asItems(pair) ?? []);
  if (pairs === undefined) throw malformed("is neither a dict nor a list of names", path, record);
  for (const pair of pairs) {
    const [alias, source] = pair;
    if (typeof alias !== "string" || typeof source !== "string") {
      throw malformed("an entry is not a pair of names", path, record);
    }
    names.set(alias, source);
  }
  return names;
}
