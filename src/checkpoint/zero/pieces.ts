/** The small steps of the plan: they give flat vectors as pieces and cut shapes into groups. */

import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { numelOf } from "../tensor/dtype.js";
import type { TorchFile } from "../torch/file.js";
import type { TorchTensor } from "../torch/values.js";
import type { Shapes } from "./states.js";

/** Returns the bytes of a flat tensor. @throws VistaError `UNSUPPORTED` where it is not contiguous */
export async function flatPieces(file: TorchFile, description: TorchTensor): Promise<readonly Piece[]> {
  const { source } = await file.tensor(description);
  if (source.kind === "pieces") return [...source.pieces];
  throw new VistaError("UNSUPPORTED", "a flat group or frozen fragment that is not contiguous", {
    path: file.file.path,
  });
}

/**
 * Cuts the one dict that before DeepSpeed 0.5.4 lists the parameters of all groups, group after group, where a group is full.
 * @param available  the elements that the shards hold of each group
 */
export function splitShapes(shapes: Shapes, available: readonly number[]): Shapes[] {
  const entries = [...shapes];
  let i = 0;
  return available.map((room, group) => {
    const part = new Map<string, readonly number[]>();
    for (let used = 0; i < entries.length; i++) {
      const [name, shape] = entries[i]!;
      used += numelOf(shape) ?? Infinity;
      if (used > room && group < available.length - 1) break;
      part.set(name, shape);
    }
    return part;
  });
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
