/** Joins the frozen parameters of ZeRO stage 3, whose fragments lie in the model states of all ranks. */

import { dtypeInfo, numelOf } from "../tensor/dtype.js";
import { makeTensor, piecesBetween, type Tensor } from "../tensor/tensor.js";
import { contradiction } from "./optimizer-states.js";
import { flatPieces } from "./pieces.js";
import type { ModelStates } from "./states.js";

export interface FrozenParameter {
  readonly name: string;
  readonly tensor: Tensor;
}

/**
 * Joins every frozen parameter from its fragments, one a rank.
 * @throws VistaError `INCONSISTENT` where a fragment is not one equal part of its parameter, `UNSUPPORTED` where it is not
 *   contiguous
 */
export async function joinFrozen(models: ModelStates): Promise<FrozenParameter[]> {
  const frozen: FrozenParameter[] = [];
  for (const [name, shape] of models[0]!.frozenShapes) {
    const numel = numelOf(shape) ?? Infinity;
    const part = Math.ceil(numel / models.length);
    const pieces = [];
    const dtype = models[0]!.frozenFragments.get(name)?.dtype ?? "F32";
    for (const [rank, model] of models.entries()) {
      const fragment = model.frozenFragments.get(name);
      if (fragment === undefined || numelOf(fragment.shape) !== part || fragment.dtype !== dtype) {
        throw contradiction(
          `the frozen parameter ${name} of shape [${shape.join(", ")}] has a fragment of [${fragment?.shape.join(", ") ?? "none"}] on rank ${rank}, not ${part} elements`,
          model.path,
        );
      }
      const width = dtypeInfo(dtype).bits / 8;
      const length = Math.max(0, Math.min(part, numel - rank * part));
      pieces.push(...piecesBetween(await flatPieces(model.torchFile, fragment), 0, length * width));
    }
    frozen.push({ name, tensor: makeTensor(dtype, shape, { kind: "pieces", pieces }) });
  }
  return frozen;
}
