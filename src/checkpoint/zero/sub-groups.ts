/**
 * Reads the flat tensors of ZeRO stage 3: every rank holds an equal part of every parameter, the last ones padded, and its parts
 * lie one after the other in sub-groups, which are cut between parameters and have the same sizes on all ranks.
 *
 * Source: deepspeed/runtime/zero/stage3.py (_create_fp16_sub_groups).
 */
import type { Piece } from "../../core/io/source.js";
import { type DType, dtypeInfo, numelOf } from "../tensor/dtype.js";
import { makeTensor, PieceRule, piecesBetween, type Tensor } from "../tensor/tensor.js";
import { contradiction } from "./consistency.js";
import { flatPieces } from "./pieces.js";
import type { ShardState } from "./states.js";

/** The fp32 weights of one sub-group. */
export interface SubGroup {
  /** The number of elements on each rank. */
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
    const held: (readonly Piece[])[] = [];
    for (const [rank, { groups, torchFile, path }] of shards.entries()) {
      const group = groups[s];
      const here = group === undefined ? 0 : (numelOf(group.shape) ?? 0);
      if (group === undefined || here !== size || (size > 0 && group.dtype !== first.dtype)) {
        const types = here === size ? ` (${group?.dtype ?? "none"} and ${first.dtype})` : "";
        throw contradiction(
          `sub-group ${s}: rank ${rank} holds ${here} elements, rank 0 holds ${size}${types}; in stage 3 all hold the same`,
          path,
        );
      }
      held.push(await flatPieces(torchFile, group));
    }
    subGroups.push({ size, dtype: first.dtype, held });
  }
  return subGroups;
}

/**
 * Joins a parameter, or a state of one, of which every rank holds `part` elements from element `at` on. Of those of the last
 * ranks, some or all may be padding.
 * @param held  the bytes of the flat tensor that it lies in, by rank
 */
export function joinParts(
  held: readonly (readonly Piece[])[],
  dtype: DType,
  shape: readonly number[],
  at: number,
  part: number,
): Tensor {
  const tensor = makeTensor(dtype, shape, { kind: "pieces", pieces: [] });
  const width = dtypeInfo(dtype).bits / 8;
  const pieces = new RankParts(held, at * width, part * width, tensor.byteLength);
  return { ...tensor, source: { kind: "pieces", pieces } };
}

/** The bytes of a parameter: `part` bytes from byte `at` on of each rank. */
class RankParts extends PieceRule {
  constructor(
    private readonly held: readonly (readonly Piece[])[],
    private readonly at: number,
    private readonly part: number,
    length: number,
  ) {
    super(length);
  }

  override get count(): number {
    return this.length === 0 ? 0 : Math.ceil(this.length / this.part);
  }

  *between(start: number, length: number): Generator<Piece> {
    for (let from = start; from < start + length; ) {
      const rank = Math.floor(from / this.part);
      const within = from - rank * this.part;
      const taken = Math.min(this.part - within, start + length - from);
      yield* piecesBetween(this.held[rank]!, this.at + within, taken);
      from += taken;
    }
  }
}
