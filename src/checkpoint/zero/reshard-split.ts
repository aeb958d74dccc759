/**
 * Makes the shards and model states of ZeRO stage 3 for another number of ranks: every parameter, frozen ones included, is cut
 * anew, and sub-groups are formed as DeepSpeed forms them.
 *
 * Source: deepspeed/runtime/zero/stage3.py (_create_fp16_sub_groups, _rigid_state_dict), partition_parameters.py
 * (_partition_param).
 */
import { sum } from "../../core/sum.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict, asInteger, asItems, type PyDict, PyObject, type PyValue } from "../torch/objects.js";
import { copyTensor } from "../torch/rewrite-file.js";
import { contradiction } from "./consistency.js";
import type { Fragment } from "./flat-group.js";
import type { SplitPartitions } from "./optimizer-split.js";
import type { OptimizerGroup } from "./optimizer-states.js";
import { dictAt, putFlat, type ReshardedGroup, setEntries } from "./reshard-tree.js";

export class SplitResharding {
  readonly groups: readonly ReshardedGroup[];
  /** The sub-groups of each param group, each as the indices of its parameters in the param group. */
  readonly #subGroups: readonly (readonly (readonly number[])[])[];
  /** The entries of `shared_params` in rank 0's file. */
  #shared: [PyValue, PyValue][] | undefined;

  /**
   * Forms the sub-groups of the new ranks.
   * @throws VistaError `INCONSISTENT` where the sub-groups of the checkpoint are not those of its `sub_group_size`
   */
  constructor(
    private readonly partitions: SplitPartitions,
    private readonly frozen: ReadonlyMap<string, Tensor>,
    from: number,
    private readonly ranks: number,
    path: string,
  ) {
    const { groups, subGroupSize } = partitions;
    const form = (count: number) => groups.map((group) => formSubGroups(group, count, subGroupSize));
    if (JSON.stringify(form(from)) !== JSON.stringify(partitions.subGroups)) {
      throw contradiction(
        `the sub-groups of the ${from} ranks are not those of sub_group_size ${subGroupSize}, so those of ${ranks} ranks are not known`,
        path,
      );
    }
    this.#subGroups = form(ranks);
    this.groups = groups.map(({ parameters }) => {
      const numel = sum(parameters, (parameter) => parameter.numel);
      const part = (count: number) => sum(parameters, (parameter) => Math.ceil(parameter.numel / count));
      const [partitionBefore, partition] = [part(from), part(ranks)];
      return {
        parameters: parameters.length,
        numel,
        partitionBefore,
        partition,
        paddingBefore: partitionBefore * from - numel,
        padding: partition * ranks - numel,
      };
    });
  }

  /** Sets in a shard's exact pickle all that depends on the number of ranks. */
  setShard(tree: PyValue, rank: number, path: string): void {
    const state = dictAt(asDict(tree)!, "optimizer_state_dict");
    const base = dictAt(state, "optimizer_state_dict");
    const flats = state.get("fp32_flat_groups") as PyValue[];
    const oldFlats = this.#firstOf(base, (index) => flats[index]);
    const states = dictAt(base, "state");
    const oldEntries = this.#firstOf(base, (index) => asDict(states.get(index)));
    const newFlats: PyValue[] = [];
    states.clear();
    for (const [g, group] of this.partitions.groups.entries()) {
      const params: number[] = [];
      for (const members of this.#subGroups[g]!) {
        const index = newFlats.length;
        params.push(index);
        const sizes = members.map((member) => [member, group.parameters[member]!.numel] as const);
        const { placed, size } = partsOf(sizes, rank, this.ranks);
        const dtype = group.parameters[members[0]!]?.fp32.dtype ?? "F32";
        const of = (p: number) => group.parameters[p]!.fp32;
        newFlats.push(putFlat(oldFlats[g], { placed, size, dtype, of }, path));
        const old = oldEntries[g];
        if (old === undefined) continue;
        // The tensors are copied, since each sub-group steps one of its own.
        const entry: PyDict = new Map([...old].map(([name, value]) => [name, copyTensor(value)]));
        for (const [name, dtype] of group.stateTypes) {
          const of = (p: number) => group.parameters[p]!.states.get(name)!;
          entry.set(name, putFlat(old.get(name), { placed, size, dtype, of }, path));
        }
        states.set(index, entry);
      }
      asDict(asItems(base.get("param_groups"))![g])!.set("params", params);
    }
    flats.splice(0, flats.length, ...newFlats);
    state.set("partition_count", this.ranks);
    // Before DeepSpeed 0.6.0 the shards have the shapes, here.
    this.#regroupShapes(asDict(tree)!);
    this.#regroupShapes(state);
  }

  /** Returns for each param group what its first sub-group has. */
  #firstOf<T>(base: PyDict, of: (index: number) => T): T[] {
    return asItems(base.get("param_groups"))!.map((group) =>
      of(asInteger(asItems(asDict(group)?.get("params"))?.[0])!),
    );
  }

  /** Sets in the exact pickle of model states all that depends on the number of ranks, but for that number. */
  setModelStates(top: PyDict, rank: number, path: string): void {
    const fragments = asDict(top.get("frozen_param_fragments"));
    for (const [name, tensor] of this.frozen) {
      const parts = partsOf([[0, tensor.numel]], rank, this.ranks);
      const flat = { ...parts, dtype: tensor.dtype, of: () => tensor };
      fragments!.set(name, putFlat(fragments!.get(name), flat, path));
    }
    this.#regroupShapes(top);
    this.#keepShared(top.get("shared_params"), rank);
  }

  /** Sets the entries of `shared_params`: those of rank 0's file, which only rank 0 has. */
  #keepShared(shared: PyValue | undefined, rank: number): void {
    const entries = asDict(shared);
    if (entries === undefined) return;
    this.#shared ??= [...entries];
    setEntries(shared, rank === 0 ? this.#shared : []);
  }

  /** Splits `param_shapes` into one dict for each sub-group; before DeepSpeed 0.5.4 it is one dict for all and stays so. */
  #regroupShapes(dict: PyDict): void {
    const old = dict.get("param_shapes");
    if (!Array.isArray(old) || old.length === 0) return;
    const entries = old.flatMap((shapes) => [...asDict(shapes)!]);
    const last = this.#subGroups.flat().length - 1;
    let at = 0;
    const dicts = this.#subGroups.flat().map((members, s) => {
      const from = at;
      at = s === last ? entries.length : at + members.length;
      return likeDict(old[0]!, entries.slice(from, at));
    });
    old.splice(0, old.length, ...dicts);
  }
}

/** Makes another dict of the same class. */
function likeDict(dict: PyValue, entries: [PyValue, PyValue][]): PyValue {
  if (!(dict instanceof PyObject)) return new Map(entries);
  const made = new PyObject(dict.callable, dict.args);
  made.dictItems = new Map(entries);
  return made;
}

/** Returns what a rank holds of parameters: an equal part of each, one after the other, the last ranks' parts with padding. */
function partsOf(
  parameters: readonly (readonly [parameter: number, numel: number])[],
  rank: number,
  ranks: number,
): { placed: Fragment[]; size: number } {
  const placed: Fragment[] = [];
  let size = 0;
  for (const [parameter, numel] of parameters) {
    const part = Math.ceil(numel / ranks);
    const from = rank * part;
    const length = Math.min(part, numel - from);
    if (length > 0) placed.push({ parameter, from, start: size, length });
    size += part;
  }
  return { placed, size };
}

/** Forms the sub-groups of a param group as DeepSpeed does, which closes each when it reaches the size. */
function formSubGroups(group: OptimizerGroup, ranks: number, subGroupSize: number): number[][] {
  const parts = group.parameters.map(({ numel }) => Math.ceil(numel / ranks));
  const all = parts.map((_, index) => index);
  if (subGroupSize >= sum(parts)) return [all];
  const subGroups: number[][] = [];
  let open: number[] = [];
  let size = 0;
  for (const [index, part] of parts.entries()) {
    open.push(index);
    size += part;
    if (size < subGroupSize && index < parts.length - 1) continue;
    subGroups.push(open);
    open = [];
    size = 0;
  }
  return subGroups;
}
