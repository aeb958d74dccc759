/** Reads the optimizer's states from the shards: which are flat, of what dtype, and which are one value for a whole group. */
import { VistaError } from "../../core/errors.js";
import { filesAtOnce } from "../../core/io/places.js";
import { settleAll } from "../../core/io/settle.js";
import type { Piece } from "../../core/io/source.js";
import { type DType, numelOf } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import {
  asDict,
  asInteger,
  asItems,
  keyText,
  type PyDict,
  PyObject,
  type PyValue,
} from "../torch/objects.js";
import { TorchTensor } from "../torch/values.js";
import { contradiction } from "./consistency.js";
import { piecesByRank } from "./pieces.js";
import type { ShardState } from "./states.js";
import { shownApart, valueText } from "./value-text.js";

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
  readonly stateTypes: ReadonlyMap<string, DType>;
  /**
   * Whether every rank keeps these states whole for each parameter of which it holds a part, as Muon does in stages 1 and 2, in
   * place of its partition's elements.
   */
  readonly wholeStates: boolean;
}

/** The states that one rank keeps for each flat tensor (a param group; in stage 3 a sub-group), and the hyperparameters. */
export interface BaseState {
  /** The states of each flat tensor, by its number; `undefined` for one of which the optimizer keeps none. */
  readonly states: readonly (PyDict | undefined)[];
  /**
   * The entries of `param_groups`; `undefined` where DeepSpeed saved the states without padding, for a loader on any number of ranks
   * (`elastic_checkpoint`).
   */
  readonly paramGroups: readonly PyDict[] | undefined;
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
    return { states: list.map((item) => asDict(item)), paramGroups: undefined };
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
  };
}

/**
 * Reads the state of the optimizer on every rank. DeepSpeed gives each rank its own hyperparameters back; for another number of
 * ranks there is no way to do that where they differ.
 * @throws VistaError as {@link readBaseState} does, `INCONSISTENT` where the ranks differ in a hyperparameter
 */
export async function readBaseStates(shards: readonly ShardState[], count: number): Promise<BaseState[]> {
  const bases = shards.map((shard) => readBaseState(shard, count));
  if (shards.length === 1) return bases;
  const holders = shards.map((_, rank) => rank);
  for (const g of bases[0]!.paramGroups?.keys() ?? []) {
    const groups = bases.map(({ paramGroups }) => paramGroups?.[g]);
    const keys = new Set(groups.flatMap((group) => [...(group?.keys() ?? [])]));
    keys.delete("params");
    for (const key of keys) {
      const what = `param group ${g}: ${keyText(key)}`;
      const without = groups.findIndex((group) => group?.has(key) !== true);
      if (without >= 0) {
        const having = groups.findIndex((group) => group?.has(key) === true);
        throw new VistaError(
          "INCONSISTENT",
          `${what} is there on rank ${having} and not on rank ${without}`,
          { path: shards[without]!.path, hint: OTHER_VALUES_HINT },
        );
      }
      await textOfAll(
        shards,
        holders,
        groups.map((group) => group!.get(key)),
        what,
      );
    }
  }
  return bases;
}

/**
 * Reads what the ranks say of one value, which must be the same.
 * @returns the value as text
 * @throws VistaError `INCONSISTENT`, `UNSUPPORTED` for a value that cannot be compared
 */
async function textOfAll(
  shards: readonly ShardState[],
  holders: readonly number[],
  values: readonly (PyValue | undefined)[],
  what: string,
): Promise<string> {
  const textOf = async (rank: number) => {
    const text = await valueText(values[rank], shards[rank]!.torchFile);
    if (text !== undefined) return text;
    throw refuse(
      `${what} is on rank ${rank} a value that is too large or too odd to be compared between the ranks`,
      {
        path: shards[rank]!.path,
        hint: "Merge the weights and start the optimizer anew, or go on with as many ranks as before.",
      },
    );
  };
  let said: string | undefined;
  for (let at = 0; at < holders.length; ) {
    const batch = holders.slice(at, at + filesAtOnce(shards[0]!.path));
    const texts = await settleAll(batch.map(textOf));
    said ??= texts[0]!;
    const other = texts.findIndex((text) => text !== said);
    if (other >= 0) {
      const [first, differing] = shownApart(said, texts[other]!);
      const places = `${differing} on rank ${batch[other]}, ${first} on rank ${holders[0]}`;
      throw new VistaError("INCONSISTENT", `${what} is ${places}`, {
        path: shards[batch[other]!]!.path,
        hint: OTHER_VALUES_HINT,
      });
    }
    at += batch.length;
  }
  return said!;
}

export const OTHER_VALUES_HINT =
  "The shards are of two runs: copy the checkpoint again. Or the optimizer keeps a value of its own for each part, which no other " +
  "number of ranks can have: go on with as many ranks as before, or merge the weights and start the optimizer anew.";

/** The states of one flat tensor over all ranks. */
export interface FlatStates {
  readonly types: ReadonlyMap<string, DType>;
  readonly values: ReadonlyMap<string, PyValue>;
  /** The values as text, to be compared. */
  readonly texts: ReadonlyMap<string, string>;
  /** The bytes that each rank holds of each state, by the state's name. */
  readonly pieces: ReadonlyMap<string, readonly (readonly Piece[])[]>;
}

/**
 * Reads the states of all flat tensors over all ranks.
 * @param bases  the optimizer's state on each rank
 * @param lengths  the elements that a flat state has: for each flat tensor, by rank
 * @param what  what the message calls a flat tensor, before its number
 * @throws VistaError `UNSUPPORTED` for a state that is neither flat nor one value, `INCONSISTENT` where the ranks differ in the
 *   names of their states, the dtype of one or a value
 */
export async function readStates(
  shards: readonly ShardState[],
  bases: readonly BaseState[],
  lengths: readonly (readonly number[])[],
  what: string,
): Promise<FlatStates[]> {
  // Flat tensors of more than one element tell which states are one value for a flat tensor. Where a rank holds a single element, a state
  // of one element could be either.
  const oneValue = new Set(["step"]);
  for (const [f, state] of bases[0]!.states.entries()) {
    for (const [name, value] of state ?? []) {
      if (lengths[f]![0] !== 1 && value instanceof TorchTensor && numelOf(value.shape) === 1)
        oneValue.add(String(name));
    }
  }
  const all: FlatStates[] = [];
  for (const [f, ofRanks] of lengths.entries()) {
    const states = bases.map((base) => base.states[f]);
    all.push(await readFlatStates(shards, states, ofRanks, oneValue, `${what} ${f}`));
  }
  return all;
}

/**
 * Reads the states of one flat tensor.
 * @param states  its states, by rank
 * @param lengths  the elements of a flat state on each rank; one with none may lack its states where another has some
 */
async function readFlatStates(
  shards: readonly ShardState[],
  states: readonly (PyDict | undefined)[],
  lengths: readonly number[],
  oneValue: ReadonlySet<string>,
  what: string,
): Promise<FlatStates> {
  const types = new Map<string, DType>();
  const values = new Map<string, PyValue>();
  const texts = new Map<string, string>();
  const pieces = new Map<string, (readonly Piece[])[]>();
  const namesOf = (state: PyDict | undefined) => [...(state?.keys() ?? [])].map(String);
  const holds = (rank: number) => lengths[rank]! > 0 || (states[rank]?.size ?? 0) > 0;
  const first = Math.max(
    0,
    states.findIndex((_, rank) => holds(rank)),
  );
  const names = namesOf(states[first]);
  states.forEach((state, rank) => {
    const here = namesOf(state);
    if (holds(rank) && here.join() !== names.join()) {
      throw contradiction(
        `${what}: rank ${rank} keeps the states ${here.join(", ") || "none"}, rank ${first} ${names.join(", ") || "none"}`,
        shards[rank]!.path,
      );
    }
  });
  const holders = states.map((_, rank) => rank).filter(holds);
  for (const name of names) {
    const found = states.map((state) => state?.get(name));
    const flat = holders.every((rank) => {
      const value = found[rank];
      return (
        value instanceof TorchTensor &&
        value.shape.length === 1 &&
        value.shape[0] === lengths[rank] &&
        !(lengths[rank] === 1 && oneValue.has(name))
      );
    });
    if (flat) {
      const { dtype } = found[first] as TorchTensor;
      types.set(name, dtype);
      const other = holders.find((rank) => (found[rank] as TorchTensor).dtype !== dtype);
      if (other !== undefined) {
        throw contradiction(
          `${what}: the state ${name} is ${(found[other] as TorchTensor).dtype} on rank ${other}, ${dtype} on rank ${first}`,
          shards[other]!.path,
        );
      }
      pieces.set(name, await piecesByRank(shards, (_, rank) => found[rank] as TorchTensor | undefined));
      continue;
    }
    const tensors = found.map((value) => firstTensor(value));
    const odd = tensors.findIndex((tensor) => tensor !== undefined);
    if (odd >= 0) {
      const within = found[odd] instanceof TorchTensor ? "" : "a list or dict with a tensor of ";
      throw refuse(
        `${what}: the state ${name} has ${within}shape [${tensors[odd]!.shape.join(", ")}] on rank ${odd}, neither one ` +
          `value nor the ${lengths[odd]} elements of its partition (an optimizer with blocks or factors of its own)`,
        {
          path: shards[odd]!.path,
          hint: "Merge the weights and start the optimizer anew, or go on with as many ranks as before.",
        },
      );
    }
    texts.set(name, await textOfAll(shards, holders, found, `${what}: the state ${name}`));
    values.set(name, found[first] as PyValue);
  }
  return { types, values, texts, pieces };
}

/** Returns the first tensor in a value, its lists, dicts and objects that is not of one element; `undefined` where there is none. */
function firstTensor(value: PyValue | undefined, seen = new Set<PyValue>()): TorchTensor | undefined {
  if (value instanceof TorchTensor) return numelOf(value.shape) === 1 ? undefined : value;
  if (typeof value !== "object" || value === null || seen.has(value)) return undefined;
  seen.add(value);
  for (const item of asDict(value)?.values() ?? asItems(value) ?? []) {
    const found = firstTensor(item, seen);
    if (found !== undefined) return found;
  }
  return value instanceof PyObject ? firstTensor(value.state, seen) : undefined;
}

export function refuse(what: string, details: { path: string; hint: string }): VistaError {
  return new VistaError("UNSUPPORTED", what, details);
}
