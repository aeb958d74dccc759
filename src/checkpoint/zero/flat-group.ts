/**
 * Works out how a number of ranks shares a flat param group (ZeRO stage 1 and 2): the order of its parameters, the gaps between
 * them, the padding at its end and which rank holds which part. This is pure arithmetic, and its counts are in elements.
 *
 * Source: deepspeed/runtime/zero/stage_1_and_2.py (__init__, _round_robin_reorder, _get_groups_without_padding),
 * deepspeed/runtime/bf16_optimizer.py, deepspeed/utils/mixed_precision_linkage.py (_init_lp_to_hp_mapping).
 */

import { firstWhere } from "../../core/search.js";

export interface GroupOptions {
  readonly ranks: number;
  /** Whether parameter i goes to part (i mod ranks) of the order (`round_robin_gradients`), instead of keeping its place. */
  readonly roundRobin: boolean;
  /** The number at whose multiples parameters begin (`parameter_alignment`, since DeepSpeed 0.19.8); with 1 there are no gaps. */
  readonly alignment: number;
  /** The factor of the padding: the flat group is padded to a multiple of this number times the ranks. */
  readonly factor: number;
}

export interface GroupLayout {
  readonly options: GroupOptions;
  /** The size of each parameter, in the optimizer's own order. */
  readonly numels: readonly number[];
  /** The parameter at each place of the flat group, as its index in the optimizer's own order. */
  readonly order: readonly number[];
  /** The first element of each parameter in the flat group, by the parameter's index. */
  readonly offsets: readonly number[];
  /** What `offsets` would be if the parameters were in the optimizer's own order and without gaps. */
  readonly ownOffsets: readonly number[];
  /** The gap after the parameter at each place (`param_alignment_paddings`). */
  readonly gaps: readonly number[];
  /** The elements from the first parameter's beginning to the last one's end, gaps included. */
  readonly numel: number;
  /** The elements that one rank holds, padding included. */
  readonly partition: number;
}

/** A run of a parameter's elements that one rank holds. */
export interface Fragment {
  /** The parameter's index in the optimizer's own order. */
  readonly parameter: number;
  /** The first element of the run, counted in the parameter. */
  readonly from: number;
  /** The first element of the run, counted in the rank's partition. */
  readonly start: number;
  readonly length: number;
}

/** Lays out a flat param group as DeepSpeed does. @param numels  the sizes of the parameters, in the optimizer's own order */
export function layOutGroup(numels: readonly number[], options: GroupOptions): GroupLayout {
  const { ranks, alignment, factor } = options;
  const order = placesOf(numels.length, options.roundRobin ? ranks : 1);
  const offsets = new Array<number>(numels.length).fill(0);
  const gaps: number[] = [];
  let at = 0;
  order.forEach((parameter, place) => {
    offsets[parameter] = at;
    at += numels[parameter]!;
    const gap = place === order.length - 1 ? 0 : (alignment - (at % alignment)) % alignment;
    gaps.push(gap);
    at += gap;
  });
  const multiple = factor * ranks;
  const partition = (Math.ceil(at / multiple) * multiple) / ranks;
  return { options, numels, order, offsets, ownOffsets: offsetsOf(numels), gaps, numel: at, partition };
}

function offsetsOf(numels: readonly number[]): number[] {
  let end = 0;
  return numels.map((numel) => {
    end += numel;
    return end - numel;
  });
}

/** Returns the order in which round robin over `parts` puts `count` parameters; over one part it is their own order. */
export function placesOf(count: number, parts: number): number[] {
  const order: number[] = [];
  for (let part = 0; part < Math.min(parts, count); part++) {
    for (let index = part; index < count; index += parts) order.push(index);
  }
  return order;
}

/** The ranks for which a version of DeepSpeed states padding: up to 0.16.3 only the `last`, since then `each` that holds some. */
export type PaddingRule = "last" | "each";

/** Returns a rank's entry in `group_paddings`. By the old rule it may be more than the rank holds. */
export function paddingOf(layout: GroupLayout, rank: number, rule: PaddingRule): number {
  const { options, partition, numel } = layout;
  if (rule === "last") return rank === options.ranks - 1 ? partition * options.ranks - numel : 0;
  return Math.min(partition, Math.max(0, (rank + 1) * partition - numel));
}

/**
 * Returns the length of what Python's `partition[: len(partition) - padding]` leaves. Where the padding is larger than the
 * partition, the end of that slice is negative, and Python counts it from the partition's end.
 */
export function lengthWithoutPadding(partition: number, padding: number): number {
  const end = partition - padding;
  return Math.max(0, end < 0 ? partition + end : end);
}

/** Returns what a rank holds of each parameter, in the order of its partition; parameters without elements are left out. */
export function fragmentsOf(layout: GroupLayout, rank: number): Fragment[] {
  const { order } = layout;
  return overlaps(layout, layout.offsets, (place) => order[place]!, rank);
}

/**
 * Returns the parameters of which a rank holds a part, in the order of its partition, each whole and one after the other, as Muon
 * keeps its momentum.
 */
export function heldParameters(layout: GroupLayout, rank: number): Fragment[] {
  let start = 0;
  return fragmentsOf(layout, rank).map(({ parameter }) => {
    const length = layout.numels[parameter]!;
    start += length;
    return { parameter, from: 0, start: start - length, length };
  });
}

/**
 * Returns what DeepSpeed writes as a rank's `param_slice_mappings`, in DeepSpeed's order. With round robin and without gaps,
 * DeepSpeed counts over the parameters' own order although the flat group has another one. The same fault is made here, since
 * this is what DeepSpeed's own file would say.
 */
export function sliceMappingOf(layout: GroupLayout, rank: number): Fragment[] {
  if (layout.gaps.some((gap) => gap > 0))
    return fragmentsOf(layout, rank).sort((a, b) => a.parameter - b.parameter);
  return overlaps(layout, layout.ownOffsets, (place) => place, rank);
}

/**
 * @param offsets  the first element of each parameter, by its index
 * @param at  returns the index of the parameter at a place; the offsets must not become smaller from one place to the next
 */
function overlaps(
  { partition, numels }: GroupLayout,
  offsets: readonly number[],
  at: (place: number) => number,
  rank: number,
): Fragment[] {
  const begin = rank * partition;
  const end = begin + partition;
  const result: Fragment[] = [];
  const first = firstWhere(numels.length, (place) => offsets[at(place)]! + numels[at(place)]! > begin);
  for (let place = first; place < numels.length && offsets[at(place)]! < end; place++) {
    const parameter = at(place);
    const offset = offsets[parameter]!;
    const from = Math.max(offset, begin);
    const to = Math.min(offset + numels[parameter]!, end);
    if (from < to) result.push({ parameter, from: from - offset, start: from - begin, length: to - from });
  }
  return result;
}
