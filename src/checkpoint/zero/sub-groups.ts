/**
 * Reads the flat tensors of ZeRO stage 3: every rank holds an equal part of every parameter, the last ones padded, and its parts
 * lie one after the other in sub-groups, which are cut between parameters and have the same sizes on all ranks.
 *
 * Source: deepspeed/runtime/zero/stage3.py (_create_fp16_sub_groups).
 */
import type { Piece } from "../../core/io/source.js";
import { type DType, numelOf } from "../tensor/dtype.js";
import { contradiction } from "./consistency.js";
import { piecesByRank } from "./pieces.js";
import type { ShardState } from "./states.js";

/** The fp32 weights of one sub-group. */
export interface SubGroup {
  readonly size: number;
  readonly dtype: DType;
  /** The bytes of the sub-group, by rank. */
  readonly held: readonly (readonly Piece[])[];
}

/** Reads the sub-groups of all ranks. @throws VistaError `INCONSISTENT` where those of the ranks differ in size or dtype */
export async function readSubGroups(shards: readonly ShardState[]): Promise<SubGroup[]> {
  const subGroups: SubGroup[] = [];
  for (const [s, first] of shards[0]!.groups.entries()) {
    const size = numelOf(first.shape) ?? 0;
    for (const [rank, { groups, path }] of shards.entries()) {
      const group = groups[s];
      const here = group === undefined ? 0 : (numelOf(group.shape) ?? 0);
      if (group === undefined || here !== size || (size > 0 && group.dtype !== first.dtype)) {
        const types = here === size ? ` (${group?.dtype ?? "none"} and ${first.dtype})` : "";
        throw contradiction(
          `sub-group ${s}: rank ${rank} holds ${here} elements, rank 0 holds ${size}${types}; in stage 3 all hold the same`,
          path,
        );
      }
    }
    const held = await piecesByRank(shards, ({ groups }) => groups[s]!);
    subGroups.push({ size, dtype: first.dtype, held });
  }
  return subGroups;
}
