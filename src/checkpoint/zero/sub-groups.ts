/**
 * Reads the flat tensors of ZeRO stage 3: every rank holds an equal part of every parameter, the last ones padded, and its parts
 * lie one after the other in sub-groups, which are cut between parameters and have the same sizes on all ranks.
 *
 * Source: deepspeed/runtime/zero/stage3.py (_create_fp16_sub_groups).
 */
import type { Piece } from "../../core/io/source.js";
import { type DType, numelOf } from "../tensor/dtype.js";
import { contradiction, sizeMismatch } from "./consistency.js";
import { listedShapes } from "./param-shapes.js";
import { cutParameters, isMismatch, type Place } from "./partition.js";
import { piecesByRank } from "./pieces.js";
import type { CheckpointContent, ShardState } from "./states.js";

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

/** A parameter with its place in the sub-groups. */
export interface PlacedParameter extends Place {
  readonly name: string;
  readonly shape: readonly number[];
  readonly numel: number;
}

/**
 * Finds all parameters in the sub-groups.
 * @throws VistaError `FORMAT`, `INCONSISTENT` where names, shapes and shards contradict one another
 */
export function placeParameters(
  { files, models, shards }: CheckpointContent,
  subGroups: readonly SubGroup[],
): PlacedParameter[] {
  const entries = listedShapes(models[0], shards[0]).flatMap((group) => [...group]);
  const numels = entries.map(([, shape]) => numelOf(shape) ?? Infinity);
  const sizes = subGroups.map(({ size }) => size);
  const places = cutParameters(sizes, shards.length, numels);
  if (isMismatch(places)) throw sizeMismatch(files, places, "the parameters", entries.length);
  return entries.map(([name, shape], i) => ({ name, shape, numel: numels[i]!, ...places[i]! }));
}
