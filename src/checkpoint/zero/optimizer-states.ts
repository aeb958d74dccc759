/** Reads the optimizer's states from the shards: which are flat, of what dtype, and which are one value for a whole group. */
import { oneLine, shorten, VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { type DType, numelOf } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict, asInteger, asItems, keyText, type PyDict, type PyValue } from "../torch/objects.js";
import { TorchTensor } from "../torch/values.js";
import { contradiction } from "./consistency.js";
import { piecesByRank } from "./pieces.js";
import type { ShardState } from "./states.js";

export interface OptimizerParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly numel: number;
  /** The master weights, nearly always in fp32. */
  readonly fp32: Tensor;
  /** The states of the parameter's own size (`exp_avg`, `exp_avg_sq` …), in the optimizer's order. */
  readonly states: Pick<ReadonlyMap<string, Tensor>, "get" | typeof Symbol.iterator>;
}

export interface OptimizerGroup {
  /** The parameters of the group, in the optimizer's own order. */
  readonly parameters: readonly OptimizerParameter[];
  /** The states that are one value for all parameters of the group (`step`): numbers, or tensors of one element. */
  readonly values: ReadonlyMap<string, PyValue>;
  /** The entry of `param_groups` (lr, betas …); `undefined` where an elastic checkpoint does not save them. */
  readonly hyperparameters: PyDict | undefined;
  /** The names and dtypes of the flat states. */
  readonly stateTypes: ReadonlyMap<string, DType>;
}

/** The states that one rank keeps for each flat tensor (a param group; in stage 3 a sub-group), and the hyperparameters. */
export interface BaseState {
  /** The states of each flat tensor, by its number; `undefined` for one of which the optimizer keeps none. */
  readonly states: readonly (PyDict | undefined)[];
  /** The entries of `param_groups`; `undefined` in an elastic checkpoint. */
  readonly paramGroups: readonly PyDict[] | undefined;
  /** Whether DeepSpeed saved the states without padding, for a loader on any number of ranks (`elastic_checkpoint`). */
  readonly elastic: boolean;
}

/**
 * Reads the state of the optimizer that DeepSpeed wraps, as one rank has it.
 * @param count  the number of flat tensors of the rank
 * @throws VistaError `FORMAT` where it is not the state of an optimizer over so many
 */
function readBaseState(shard: ShardState, count: number): BaseState {
  const key = shard.stage === 3 ? "optimizer_state_dict" : "base_optimizer_state";
  const base = shard.dict.get(key);
  const list = asDict(base) === undefined ? asItems(base) : undefined;
  if (list !== undefined && list.length === count && list.every((item) => asDict(item) !== undefined))
    return { states: list.map((item) => asDict(item)), paramGroups: undefined, elastic: true };
  const dict = asDict(base);
  const state = asDict(dict?.get("state"));
  const paramGroups = asItems(dict?.get("param_groups"))?.map((group) => asDict(group));
  const indices = paramGroups?.flatMap((group) => (asItems(group?.get("params")) ?? []).map(asInteger));
  if (
    state === undefined ||
    paramGroups?.some((group) => group === undefined) !== false ||
    indices?.length !== count
  ) {
    throw new VistaError(
      "FORMAT",
      `${key} is not the state of an optimizer over ${count} flat tensors (it has ${indices?.length ?? 0} in param_groups)`,
      { path: shard.path, record: "optimizer_state_dict", hint: "Give the shards as DeepSpeed saved them." },
    );
  }
  return {
    states: indices.map((index) => asDict(state.get(index!))),
    paramGroups: paramGroups as PyDict[],
    elastic: false,
  };
}

/**
 * Reads the state of the optimizer on every rank. DeepSpeed gives each rank its own hyperparameters back; for another number of
 * ranks there is no way to do that where they differ.
 * @param count  the number of flat tensors of a rank
 * @throws VistaError as {@link readBaseState} does, `INCONSISTENT` where the ranks differ in a hyperparameter
 */
export function readBaseStates(shards: readonly ShardState[], count: number): BaseState[] {
  const bases = shards.map((shard) => readBaseState(shard, count));
  const groups = bases[0]!.paramGroups ?? [];
  for (const [g, group] of groups.entries()) {
    for (const key of group.keys()) {
      if (key === "params") continue;
      const values = bases.map(({ paramGroups }) => paramGroups?.[g]?.get(key));
      refuseOtherValues(shards, values, `param group ${g}: ${keyText(key)}`);
    }
  }
  return bases;
}

/** Checks that a value that is no tensor and no object is the same on every rank. @throws VistaError `INCONSISTENT` */
function refuseOtherValues(
  shards: readonly ShardState[],
  values: readonly (PyValue | undefined)[],
  what: string,
): void {
  const first = plainText(values[0]);
  const other = values.findIndex((value) => plainText(value) !== first);
  if (other < 0) return;
  const shown = (rank: number) => oneLine(shorten(plainText(values[rank]) ?? "something else", 100));
  throw new VistaError("INCONSISTENT", `${what} is ${shown(other)} on rank ${other}, ${shown(0)} on rank 0`, {
    path: shards[other]!.path,
    hint: "The shards are of two runs, or its ranks trained with different settings, of which other ranks can have one: copy the checkpoint again.",
  });
}

/** Returns a number, text or a list of such as text; `undefined` for anything else, which is not compared. */
function plainText(value: PyValue | undefined): string | undefined {
  if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "bigint")
    return String(value);
  if (typeof value === "string") return JSON.stringify(value);
  const items = asItems(value);
  if (items === undefined || items.length > MAX_ITEMS) return undefined;
  const texts = items.map((item) => (asItems(item) === undefined ? plainText(item) : undefined));
  return texts.includes(undefined) ? undefined : `[${texts.join(", ")}]`;
}

/** The largest number of items of a list that is compared; betas have two. */
const MAX_ITEMS = 16;

/** The states of one flat tensor over all ranks. */
export interface FlatStates {
  readonly types: ReadonlyMap<string, DType>;
  readonly values: ReadonlyMap<string, PyValue>;
  /** The bytes that each rank holds of each state, by the state's name. */
  readonly pieces: ReadonlyMap<string, readonly (readonly Piece[])[]>;
}

/**
 * Reads the states of one flat tensor over all ranks.
 * @param states  the states of this flat tensor, by rank
 * @param lengths  the elements that a flat state has on each rank
 * @param what  the name of the flat tensor, for error messages
 * @throws VistaError `UNSUPPORTED` for a state that is neither flat nor one value, `INCONSISTENT` where the ranks differ in the
 *   names of their states or the dtype of one
 */
export async function readFlatStates(
  shards: readonly ShardState[],
  states: readonly (PyDict | undefined)[],
  lengths: readonly number[],
  what: string,
): Promise<FlatStates> {
  const types = new Map<string, DType>();
  const values = new Map<string, PyValue>();
  const pieces = new Map<string, (readonly Piece[])[]>();
  const names = [...(states[0] ?? new Map()).keys()].map(String);
  states.forEach((state, rank) => {
    const here = [...(state ?? new Map()).keys()].map(String);
    if (here.join() !== names.join()) {
      throw contradiction(
        `${what}: rank ${rank} keeps the states ${here.join(", ") || "none"}, rank 0 ${names.join(", ") || "none"}`,
        shards[rank]!.path,
      );
    }
  });
  for (const name of names) {
    const found = states.map((state) => state?.get(name));
    const flat = found.every(
      (value, rank) =>
        value instanceof TorchTensor && value.shape.length === 1 && value.shape[0] === lengths[rank],
    );
    if (flat) {
      const tensors = found as TorchTensor[];
      types.set(name, tensors[0]!.dtype);
      const other = tensors.findIndex(({ dtype }) => dtype !== tensors[0]!.dtype);
      if (other > 0) {
        throw contradiction(
          `${what}: the state ${name} is ${tensors[other]!.dtype} on rank ${other}, ${tensors[0]!.dtype} on rank 0`,
          shards[other]!.path,
        );
      }
      pieces.set(name, await piecesByRank(shards, (_, rank) => tensors[rank]!));
      continue;
    }
    const odd = found.findIndex((value) => value instanceof TorchTensor && numelOf(value.shape) !== 1);
    if (odd >= 0) {
      const { shape } = found[odd] as TorchTensor;
      throw refuse(
        `${what}: the state ${name} has shape [${shape.join(", ")}] on rank ${odd}, neither one value nor the ` +
          `${lengths[odd]} elements of its partition (an optimizer with blocks or factors of its own)`,
        {
          path: shards[odd]!.path,
          hint: "Merge the weights and start the optimizer anew, or go on with as many ranks as before.",
        },
      );
    }
    refuseOtherValues(shards, found, `${what}: the state ${name}`);
    values.set(name, found[0] as PyValue);
  }
  return { types, values, pieces };
}

export function refuse(what: string, details: { path: string; hint: string }): VistaError {
  return new VistaError("UNSUPPORTED", what, details);
}
