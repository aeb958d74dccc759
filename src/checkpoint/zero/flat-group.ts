/**
 * How a number of ranks shares a flat param group (ZeRO stage 1 and 2): the order of its parameters, the gaps between them, the
 * padding at its end and who holds which part. Pure arithmetic; counts are in elements.
 *
 * Source: deepspeed/runtime/zero/stage_1_and_2.py (__init__, _round_robin_reorder, _get_groups_without_padding),
 * deepspeed/runtime/bf16_optimizer.py, deepspeed/utils/mixed_precision_linkage.py (_init_lp_to_hp_mapping).
 */

export interface GroupOptions {
  readonly ranks: number;
  /** `round_robin_gradients`: parameter i goes to the i mod ranks-th part of the order. */
  readonly roundRobin: boolean;
  /** Parameters begin at multiples of it (`parameter_alignment`, since DeepSpeed 0.19.8); 1: they follow one another. */
  readonly alignment: number;
  /** The flat group is padded to a multiple of this times the ranks. */
  readonly factor: number;
}

export interface GroupLayout {
  readonly ranks: number;
  /** The parameter at each place of the flat group, as its index in the optimizer's own order. */
  readonly order: readonly number[];
  /** Where each parameter begins, by its index. */
  readonly offsets: readonly number[];
  /** Gap after the parameter at each place (`param_alignment_paddings`). */
  readonly gaps: readonly number[];
  /** From the first parameter's beginning to the last one's end. */
  readonly numel: number;
  /** What one rank holds, padding included. */
  readonly partition: number;
}

/** A run of a parameter's elements that one rank holds. */
export interface Fragment {
  /** Its index in the optimizer's own order. */
  readonly parameter: number;
  /** First element, in the parameter. */
  readonly from: number;
  /** First element, in the rank's partition. */
  readonly start: number;
  readonly length: number;
}

/** @param numels  of the parameters, in the optimizer's own order */
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
  return { ranks, order, offsets, gaps, numel: at, partition: (Math.ceil(at / multiple) * multiple) / ranks };
}

/** The order in which round robin over `parts` puts `count` parameters; over one part, their own. */
export function placesOf(count: number, parts: number): number[] {
  const order: number[] = [];
  for (let part = 0; part < Math.min(parts, count); part++) {
    for (let index = part; index < count; index += parts) order.push(index);
  }
  return order;
}

/** Which ranks a version of DeepSpeed says to hold padding: up to 0.16.3 the `last` alone, since then `each` that does. */
export type PaddingRule = "last" | "each";

/** A rank's entry in `group_paddings`. By the old rule it may be more than the rank holds. */
export function paddingOf(layout: GroupLayout, rank: number, rule: PaddingRule): number {
  const { ranks, partition, numel } = layout;
  if (rule === "last") return rank === ranks - 1 ? partition * ranks - numel : 0;
  return Math.min(partition, Math.max(0, (rank + 1) * partition - numel));
}

/** What Python's `partition[: len(partition) - padding]` leaves: where the padding is larger, it counts from the end. */
export function lengthWithoutPadding(partition: number, padding: number): number {
  const end = partition - padding;
  return Math.max(0, end < 0 ? partition + end : end);
}

/** What a rank holds of each parameter, in the order of its partition; parameters without elements are in none. */
export function fragmentsOf(layout: GroupLayout, numels: readonly number[], rank: number): Fragment[] {
  return overlaps(layout, numels, layout.order, layout.offsets, rank);
}

/**
 * What DeepSpeed writes as a rank's `param_slice_mappings`, in its order. With round robin it counts over the parameters' own
 * order although the flat group has another: the same fault is made here, since this is what its own file would say.
 */
export function sliceMappingOf(layout: GroupLayout, numels: readonly number[], rank: number): Fragment[] {
  const own = numels.map((_, index) => index);
  if (layout.gaps.some((gap) => gap > 0)) return overlaps(layout, numels, own, layout.offsets, rank);
  let at = 0;
  const offsets = numels.map((numel) => {
    at += numel;
    return at - numel;
  });
  return overlaps(layout, numels, own, offsets, rank);
}

function overlaps(
  { partition }: GroupLayout,
  numels: readonly number[],
  order: readonly number[],
  offsets: readonly number[],
  rank: number,
): Fragment[] {
  const begin = rank * partition;
  const end = begin + partition;
  const result: Fragment[] = [];
  for (const parameter of order) {
    const offset = offsets[parameter]!;
    const from = Math.max(offset, begin);
    const to = Math.min(offset + numels[parameter]!, end);
    if (from < to) result.push({ parameter, from: from - offset, start: from - begin, length: to - from });
  }
  return result;
}
