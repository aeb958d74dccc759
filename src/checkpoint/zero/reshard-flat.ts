/**
 * Makes the shards of ZeRO stage 1 and 2 for another number of ranks: in pickles that were read exactly, it sets anew what
 * depends on the ranks.
 *
 * Source: deepspeed/runtime/zero/stage_1_and_2.py (state_dict), bf16_optimizer.py, utils/tensor_fragment.py (fragment_address).
 */
import { sum } from "../../core/sum.js";
import { asDict, asInteger, asItems, type PyDict, PyObject, type PyValue } from "../torch/objects.js";
import {
  type Fragment,
  fragmentsOf,
  type GroupLayout,
  heldParameters,
  layOutGroup,
  lengthWithoutPadding,
  paddingOf,
  sliceMappingOf,
} from "./flat-group.js";
import type { FlatPartitions } from "./optimizer-flat.js";
import { dictAt, putFlat, type ReshardedGroup, setEntries } from "./reshard-tree.js";

export class FlatResharding {
  readonly groups: readonly ReshardedGroup[];
  readonly #layouts: readonly GroupLayout[];
  /** A `fragment_address` of the checkpoint, which gives new ones their class and their other fields. */
  #address: PyObject | undefined;
  /** The states of each group whose states are whole, from a rank that holds some, for ranks that are made from one without. */
  readonly #wholeEntries = new Map<number, PyDict>();

  constructor(
    private readonly partitions: FlatPartitions,
    private readonly ranks: number,
  ) {
    this.#layouts = partitions.layouts.map(({ numels, options }) =>
      layOutGroup(numels, { ...options, ranks }),
    );
    this.groups = partitions.groups.map(({ parameters }, g) => {
      const [old, now] = [partitions.layouts[g]!, this.#layouts[g]!];
      return {
        parameters: parameters.length,
        numel: sum(parameters, ({ numel }) => numel),
        partitionBefore: old.partition,
        partition: now.partition,
        paddingBefore: paddingOf(old, old.options.ranks - 1, "last"),
        padding: paddingOf(now, ranks - 1, "last"),
      };
    });
  }

  /**
   * Learns the class of mapping entries, and the states of groups that not every rank has, from a shard that has any.
   * @returns whether another shard is to be asked, since this one and those before it lack some
   */
  learnFrom(tree: PyValue): boolean {
    const state = stateOf(tree);
    const mappings = asItems(state.get("param_slice_mappings"));
    for (const mapping of mappings ?? []) {
      for (const address of asDict(mapping)?.values() ?? [])
        if (address instanceof PyObject && asDict(address.state) !== undefined) this.#address ??= address;
    }
    let lacking = mappings !== undefined && this.#address === undefined;
    for (const [g, { wholeStates }] of this.partitions.groups.entries()) {
      if (!wholeStates || this.#wholeEntries.has(g)) continue;
      const entry = this.#stateEntry(state, g);
      if (entry === undefined) lacking = true;
      else this.#wholeEntries.set(g, new Map(entry));
    }
    return lacking;
  }

  /** Sets in a shard's exact pickle all that depends on the number of ranks. */
  setShard(tree: PyValue, rank: number, path: string): void {
    const state = stateOf(tree);
    const { elastic, conventions } = this.partitions;
    for (const [g, layout] of this.#layouts.entries()) {
      const group = this.partitions.groups[g]!;
      const padding = paddingOf(layout, rank, conventions.rule);
      const lean = lengthWithoutPadding(layout.partition, padding);
      const flat = { placed: fragmentsOf(layout, rank), size: layout.partition };
      const flats = state.get("single_partition_of_fp32_groups");
      const dtype = group.parameters[0]?.fp32.dtype ?? "F32";
      const numel = conventions.stripped ? lean : layout.partition;
      const of = (p: number) => group.parameters[p]!.fp32;
      setItem(flats, g, (node) => putFlat(node, { ...flat, dtype, numel, of }, path));
      if (group.wholeStates) this.#setWholeStates(state, rank, g, path);
      else {
        const entry = this.#stateEntry(state, g);
        const numel = elastic ? lean : layout.partition;
        for (const [name, dtype] of group.stateTypes) {
          const of = (p: number) => group.parameters[p]!.states.get(name)!;
          entry!.set(name, putFlat(entry!.get(name), { ...flat, dtype, numel, of }, path));
        }
      }
      setItem(state.get("group_paddings"), g, () => padding);
      setItem(state.get("partition_count"), g, () => this.ranks);
      setItem(state.get("param_alignment_paddings"), g, () => [...layout.gaps]);
      const mapping = asItems(state.get("param_slice_mappings"))?.[g];
      const addresses = mapping === undefined ? [] : sliceMappingOf(layout, rank);
      setEntries(
        mapping,
        addresses.map((fragment) => [group.parameters[fragment.parameter]!.name, this.#addressOf(fragment)]),
      );
    }
    this.#reorderShapes(asDict(tree)!);
  }

  /** Sets in the exact pickle of model states all that depends on the number of ranks, but for that number. */
  setModelStates(top: PyDict): void {
    this.#reorderShapes(top);
  }

  /** Sets states that a rank keeps whole for each parameter of which it holds a part; a rank that holds none has no states. */
  #setWholeStates(state: PyDict, rank: number, g: number, path: string): void {
    const group = this.partitions.groups[g]!;
    const held = heldParameters(this.#layouts[g]!, rank);
    const states = dictAt(dictAt(state, "base_optimizer_state"), "state");
    const index = this.#stateIndex(state, g);
    if (held.length === 0) {
      states.delete(index);
      return;
    }
    const size = sum(held, ({ length }) => length);
    const entry: PyDict = new Map(this.#wholeEntries.get(g)!);
    for (const [name, dtype] of group.stateTypes) {
      const of = (p: number) => group.parameters[p]!.states.get(name)!;
      entry.set(name, putFlat(entry.get(name), { placed: held, size, dtype, of }, path));
    }
    const added = !states.has(index);
    states.set(index, entry);
    if (!added) return;
    const ordered = [...states].sort(([a], [b]) => Number(a) - Number(b));
    states.clear();
    for (const [key, value] of ordered) states.set(key, value);
  }

  /** Puts `param_shapes` in the order of the flat groups, which depends on the ranks with round robin. */
  #reorderShapes(top: PyDict): void {
    if (!this.partitions.roundRobin) return;
    const shapes = top.get("param_shapes");
    const places = this.#layouts.map(({ order }, g) =>
      order.map((p) => this.partitions.groups[g]!.parameters[p]!.name),
    );
    const reorder = (dict: PyValue | undefined, names: readonly string[]) => {
      const old = asDict(dict);
      if (old !== undefined)
        setEntries(
          dict,
          names.map((name) => [name, old.get(name)!] as const),
        );
    };
    // Before DeepSpeed 0.5.4 one dict lists the parameters of all groups.
    if (asDict(shapes) !== undefined) reorder(shapes, places.flat());
    else for (const [g, dict] of (asItems(shapes) ?? []).entries()) reorder(dict, places[g]!);
  }

  /** Returns the states of a group: in torch's form by the index of its flat parameter, in an elastic checkpoint by group. */
  #stateEntry(state: PyDict, g: number): PyDict | undefined {
    if (this.partitions.elastic) return asDict(asItems(state.get("base_optimizer_state"))?.[g]);
    return asDict(dictAt(dictAt(state, "base_optimizer_state"), "state").get(this.#stateIndex(state, g)));
  }

  /** Returns the key of a group's states in torch's form, the number of its flat parameter. */
  #stateIndex(state: PyDict, g: number): number {
    const groups = asItems(dictAt(state, "base_optimizer_state").get("param_groups"));
    return asInteger(asItems(asDict(groups?.[g])?.get("params"))?.[0])!;
  }

  #addressOf({ start, length }: Fragment): PyObject {
    const old = this.#address!;
    const address = new PyObject(old.callable, old.args, old.kwargs);
    address.isNew = old.isNew;
    address.state = new Map(
      [...asDict(old.state)!].map(([key, value]) => [
        key,
        key === "numel" ? length : key === "start" ? start : value,
      ]),
    );
    return address;
  }
}

function stateOf(tree: PyValue): PyDict {
  return dictAt(asDict(tree)!, "optimizer_state_dict");
}

function setItem(list: PyValue | undefined, index: number, value: (old: PyValue) => PyValue): void {
  if (Array.isArray(list)) list[index] = value(list[index]!);
}
