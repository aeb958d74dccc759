/** Gives flat tensors as pieces of their files, and joins parameters from what the ranks hold of them. */

import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { type DType, dtypeInfo } from "../tensor/dtype.js";
import { makeTensor, PieceRule, piecesBetween, type Tensor } from "../tensor/tensor.js";
import type { TorchFile } from "../torch/file.js";
import type { TorchTensor } from "../torch/values.js";
import type { ShardState } from "./states.js";

/** Returns the bytes of a flat tensor. @throws VistaError `UNSUPPORTED` where it is not contiguous */
export async function flatPieces(file: TorchFile, description: TorchTensor): Promise<readonly Piece[]> {
  const { source } = await file.tensor(description);
  if (source.kind === "pieces") return [...source.pieces];
  throw new VistaError("UNSUPPORTED", "a flat group or frozen fragment that is not contiguous", {
    path: file.file.path,
    hint: "DeepSpeed saves flat vectors: give the files as it saved them, or load them in DeepSpeed and save again.",
  });
}

/**
 * Returns the bytes that each rank holds of a flat tensor, by rank; none for a rank that does not have it.
 * @throws VistaError as {@link flatPieces} does
 */
export async function piecesByRank(
  shards: readonly ShardState[],
  of: (shard: ShardState, rank: number) => TorchTensor | undefined,
): Promise<(readonly Piece[])[]> {
  const held: (readonly Piece[])[] = [];
  for (const [rank, shard] of shards.entries()) {
    const tensor = of(shard, rank);
    held.push(tensor === undefined ? [] : await flatPieces(shard.torchFile, tensor));
  }
  return held;
}

/** The part of a flat tensor that lies on each rank: `length` elements from element `at` on. */
export interface RankPart {
  readonly at: number;
  readonly length: number;
}

/**
 * Joins a parameter, or a state of one, from the parts of a flat tensor that the ranks hold. What lies behind it may be padding.
 * @param held  the bytes of the flat tensor, by rank
 * @param from  its first element, counted over the parts of all ranks
 */
export function joinParts(
  held: readonly (readonly Piece[])[],
  dtype: DType,
  shape: readonly number[],
  part: RankPart,
  from = 0,
): Tensor {
  const tensor = makeTensor(dtype, shape, { kind: "pieces", pieces: [] });
  const pieces = new RankParts(held, dtypeInfo(dtype).bits / 8, part, from, tensor.byteLength);
  return { ...tensor, source: { kind: "pieces", pieces } };
}

/** The bytes of a parameter in the parts of all ranks, one after the other. */
class RankParts extends PieceRule {
  readonly #part: number;
  readonly #at: number;
  readonly #from: number;

  constructor(
    private readonly held: readonly (readonly Piece[])[],
    width: number,
    part: RankPart,
    from: number,
    length: number,
  ) {
    super(length);
    this.#part = part.length * width;
    this.#at = part.at * width;
    this.#from = from * width;
  }

  override get count(): number {
    return this.length === 0 ? 0 : Math.ceil(((this.#from % this.#part) + this.length) / this.#part);
  }

  *between(start: number, length: number): Generator<Piece> {
    const end = this.#from + start + length;
    for (let from = this.#from + start; from < end; ) {
      const rank = Math.floor(from / this.#part);
      const within = from - rank * this.#part;
      const taken = Math.min(this.#part - within, end - from);
      yield* piecesBetween(this.held[rank]!, this.#at + within, taken);
      from += taken;
    }
  }
}
