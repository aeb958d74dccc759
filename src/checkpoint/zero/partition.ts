/**
 * Who holds which bytes: pure arithmetic over the sizes that ranks saved and the shapes of the parameters. Counts are in
 * elements.
 *
 * Source: deepspeed/utils/zero_to_fp32.py, deepspeed/runtime/zero/stage_1_and_2.py, stage3.py.
 */

/** A run of elements of one rank's flat vector. */
export interface Span {
  readonly rank: number;
  readonly start: number;
  readonly length: number;
}

/** Where the sizes and the shapes contradict one another. */
export interface Mismatch {
  readonly needed: number;
  readonly available: number;
}

/**
 * Stage 1 and 2: the flat group is the ranks' partitions, one after the other; parameters lie in it one after the other, with
 * gaps only where DeepSpeed aligned them, and padding at its end.
 *
 * @param sizes  length of each rank's partition of this group
 * @param numels  of the group's parameters, in order
 * @param gaps  elements between each parameter and the next, as `param_alignment_paddings` has them (0.19.8 and later);
 *   default: none
 * @returns for each parameter its spans, or the mismatch where the partitions do not fit these parameters
 */
export function cutFlatGroup(
  sizes: readonly number[],
  numels: readonly number[],
  gaps: readonly number[] = [],
): Span[][] | Mismatch {
  const available = sizes.reduce((sum, size) => sum + size, 0);
  const needed = numels.reduce((sum, numel, i) => sum + numel + (gaps[i] ?? 0), 0);
  // DeepSpeed pads groups to a multiple of 2 · ranks and strips that padding in some versions, in others not: the two
  // lengths agree once both are rounded up.
  const align = 2 * sizes.length;
  if (needed > available || Math.ceil(needed / align) !== Math.ceil(available / align))
    return { needed, available };
  const result: Span[][] = [];
  let rank = 0;
  let start = 0;
  const take = (count: number): Span[] => {
    const spans: Span[] = [];
    let left = count;
    while (left > 0) {
      const there = sizes[rank]! - start;
      if (there === 0) {
        rank++;
        start = 0;
        continue;
      }
      const length = Math.min(there, left);
      spans.push({ rank, start, length });
      start += length;
      left -= length;
    }
    return spans;
  };
  numels.forEach((numel, i) => {
    result.push(take(numel));
    take(gaps[i] ?? 0);
  });
  return result;
}

/** Where a parameter lies in stage 3: of every rank's sub-group the elements from `start` on, `part` of them, the last ones less or padding. */
export interface Place {
  readonly subGroup: number;
  readonly start: number;
  readonly part: number;
}

/**
 * Stage 3: every parameter is cut into one equal part a rank, the last ones padded; each rank's sub-groups hold its part of
 * every parameter, one after the other. No part lies in two of them.
 *
 * @param sizes  of the sub-groups, the same on every rank
 * @param ranks  number of ranks
 */
export function cutParameters(
  sizes: readonly number[],
  ranks: number,
  numels: readonly number[],
): Place[] | Mismatch {
  const parts = numels.map((numel) => Math.ceil(numel / ranks));
  const needed = parts.reduce((sum, part) => sum + part, 0);
  const size = sizes.reduce((sum, size) => sum + size, 0);
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
    places.push({ subGroup, start, part });
    start += part;
  }
  return places;
}

export function isMismatch(value: readonly unknown[] | Mismatch): value is Mismatch {
  return !Array.isArray(value);
}
