/** Gives flat tensors as pieces of their files. */

import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
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
