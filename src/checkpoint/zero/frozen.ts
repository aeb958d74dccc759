/** Reads the frozen parameters, which lie in the model states: whole in stage 1 and 2, in stage 3 as one fragment a rank. */

import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { numelOf } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { tensorsAt } from "../torch/read.js";
import { contradiction } from "./consistency.js";
import { flatPieces, joinParts } from "./pieces.js";
import type { ModelStates } from "./states.js";

/**
 * Reads every frozen parameter, in order. None is converted.
 * @param stage  in stage 3 each is joined from its fragments
 * @throws VistaError `FORMAT` where a parameter has no fragment, `INCONSISTENT` where a fragment is not one equal part of its
 *   parameter, `UNSUPPORTED` where it is not contiguous
 */
export async function readFrozen(models: ModelStates, stage: 0 | 1 | 2 | 3): Promise<Map<string, Tensor>> {
  const holders = stage === 3 ? models : [models[0]];
  for (const model of holders) await tensorsAt(model.torchFile, model.frozenFragments.values());
  const frozen = new Map<string, Tensor>();
  for (const [name, shape] of models[0].frozenShapes) {
    const dtype = models[0].frozenFragments.get(name)?.dtype ?? "F32";
    const part = Math.ceil((numelOf(shape) ?? Infinity) / holders.length);
    const held: (readonly Piece[])[] = [];
    for (const [rank, { frozenFragments, torchFile, path }] of holders.entries()) {
      const fragment = frozenFragments.get(name);
      if (fragment === undefined) {
        throw new VistaError("FORMAT", `the frozen parameter ${name} has a shape but no fragment`, {
          path,
          hint: "DeepSpeed saves both or neither: copy the checkpoint again.",
        });
      }
      if (stage !== 3 && String(fragment.shape) === String(shape)) {
        // The tensor is as the module has it, so it need not be contiguous: channels last, or transposed.
        frozen.set(name, await torchFile.tensor(fragment));
        break;
      }
      if (numelOf(fragment.shape) !== part || fragment.dtype !== dtype) {
        throw contradiction(
          `the frozen parameter ${name} of shape [${shape.join(", ")}] has a fragment of shape [${fragment.shape.join(", ")}] and ` +
            `dtype ${fragment.dtype} on rank ${rank}, not ${part} elements of ${dtype}`,
          path,
        );
      }
      held.push(await flatPieces(torchFile, fragment));
    }
    if (!frozen.has(name)) frozen.set(name, joinParts(held, dtype, shape, { at: 0, length: part }));
  }
  return frozen;
}
