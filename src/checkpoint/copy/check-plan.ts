/** The check of tensors before a byte of them is written: a plan with a gap would become a file with a gap. */
import { VistaError } from "../../core/errors.js";
import { byteLengthOf, numelOf } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { dependencyOrder } from "./computed.js";

/**
 * Checks that every tensor has as many elements and bytes as its shape and dtype say, that its pieces have as many and lie inside
 * their regions, that conversions keep the number of elements, and that nothing depends on itself.
 *
 * @throws VistaError `FORMAT`; `USAGE` for a tensor that a program changed by hand
 */
export function checkPlan(tensors: Iterable<Tensor>): void {
  for (const tensor of dependencyOrder(tensors)) {
    const { source, shape, dtype, numel, byteLength } = tensor;
    if (numelOf(shape) !== numel || byteLengthOf(dtype, numel) !== byteLength) throw changedByHand(tensor);
    if (source.kind === "pieces") checkPieces(tensor, source.pieces);
    else if (source.kind === "cast" && source.from.numel !== tensor.numel)
      throw planError(tensor, `is converted from ${source.from.numel} elements`);
  }
}

function checkPieces(tensor: Tensor, pieces: (Tensor["source"] & { kind: "pieces" })["pieces"]): void {
  let covered = 0;
  for (const { region, start, length } of pieces) {
    if (!(start >= 0 && length >= 0 && start + length <= region.length)) {
      const what = `bytes ${start} to ${start + length} of a region that has ${region.length}`;
      throw planError(tensor, what, region.file.path, region.name);
    }
    covered += length;
  }
  if (covered === tensor.byteLength) return;
  const [first] = pieces;
  const where = first?.region;
  throw planError(tensor, `its pieces have ${covered} bytes`, where?.file.path, where?.name);
}

/** Returns the error for a copy of a tensor, `{ ...tensor, shape }`, whose header in a file would not fit its bytes. */
function changedByHand({ dtype, shape, numel, byteLength }: Tensor): VistaError {
  const what = `a tensor of shape [${shape.join(", ")}] and dtype ${dtype} cannot have ${numel} elements, ${byteLength} bytes`;
  return new VistaError("USAGE", what, {
    hint: "Make tensors with tensorFrom(typedArray, shape, dtype); none can be changed by hand.",
  });
}

function planError(tensor: Tensor, what: string, path?: string, record?: string): VistaError {
  const { dtype, shape, numel, byteLength } = tensor;
  return new VistaError(
    "FORMAT",
    `a tensor of shape [${shape.join(", ")}] and dtype ${dtype} has ${numel} elements, ${byteLength} bytes: ${what}`,
    { path, record },
  );
}
