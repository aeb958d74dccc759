/**
 * Works out where each parameter lies in what the ranks saved, from the sizes of both. This is pure arithmetic, and its counts are
 * in elements.
 *
 * Source: deepspeed/utils/zero_to_fp32.py, deepspeed/runtime/zero/stage_1_and_2.py, stage3.py.
 */
import { sum } from "../../core/sum.js";
import type { RankPart } from "./pieces.js";

/** The two numbers of elements by which the sizes of the parameters and those of the shards contradict one another. */
export interface Mismatch {
  readonly needed: number;
  readonly available: number;
}

/**
 * Finds the parameters in a flat group of stage 1 and 2. The group is the ranks' partitions, one after the other; the parameters
 * lie in it one after the other, with gaps only where DeepSpeed aligned them, and with padding at the group's end.
 *
 * @param sizes  the length of each rank's partition of this group
 * @param gaps  the elements between each parameter and the next, as `param_alignment_paddings` has them (0.19.8 and later);
 *   there are none by default
 * @returns the first element of each parameter in the group and of the padding, or the mismatch where the partitions do not fit
 *   these parameters
 */
export function cutFlatGroup(
  sizes: readonly number[],
  numels: readonly number[],
  gaps: readonly number[] = [],
): number[] | Mismatch {
  const starts = [0];
  for (const [i, numel] of numels.entries()) starts.push(starts[i]! + numel + (gaps[i] ?? 0));
  const available = sum(sizes);
  const needed = starts.at(-1)!;
  // DeepSpeed pads groups to a multiple of 2 · ranks, and only some versions strip that padding again, so the two lengths
  // agree once both are rounded up.
  const align = 2 * sizes.length;
  const fits = needed <= available && Math.ceil(needed / align) === Math.ceil(available / align);
  return fits ? starts : { needed, available };
}

/** The place of a parameter in stage 3, in the same sub-group of every rank. */
export interface Place {
  readonly subGroup: number;
  readonly part: RankPart;
}

/**
 * Finds the places of the parameters in stage 3, where every parameter is cut into one equal part a rank, the last ones padded.
 * Each rank's sub-groups hold its part of every parameter, one after the other, and no part lies in two of them.
 *
 * @param sizes  the sizes of the sub-groups, which are the same on every rank
 * @returns the place of each parameter, or the mismatch where the sub-groups do not fit these parameters
 */
export function cutParameters(
  sizes: readonly number[],
  ranks: number,
  numels: readonly number[],
): Place[] | Mismatch {
  const parts = numels.map((numel) => Math.ceil(numel / ranks));
  const needed = sum(parts);
  const size = sum(sizes);
  if (needed !== size) return { needed: needed * ranks, available: size * ranks };
  const places: Place[] = [];
  let subGroup = 0;
  let start = 0;
  for (const part of parts) {
    while (part > 0 && start === sizes[subGroup]) {
      subGroup++;
      start = 0;
    }
    if (part > 0 && start + part > sizes[subGroup]!)
      return { needed: (start + part) * ranks, available: sizes[subGroup]! * ranks };
    places.push({ subGroup, part: { at: start, length: part } });
    start += part;
  }
  return places;
}

export function isMismatch(value: readonly unknown[] | Mismatch): value is Mismatch {
  return !Array.isArray(value);
}
