/** The check of tensors before a byte of them is written: a plan with a gap would become a file with a gap. */
import { VistaError } from "../../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { dependencyOrder } from "./computed.js";

/**
 * Checks that the pieces of every tensor have as many bytes as it and lie inside their regions, that conversions keep the number
 * of elements, and that nothing depends on itself.
 *
 * @throws VistaError `FORMAT`
 */
export function checkPlan(tensors: Iterable<Tensor>): void {
  for (const tensor of dependencyOrder(tensors)) {
    const { source } = tensor;
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

function planError(tensor: Tensor, what: string, path?: string, record?: string): VistaError {
  const { dtype, shape, numel, byteLength } = tensor;
  return new VistaError(
    "FORMAT",
    `a tensor of shape [${shape.join(", ")}] and dtype ${dtype} has ${numel} elements, ${byteLength} bytes: ${what}`,
    { path, record },
  );
}
