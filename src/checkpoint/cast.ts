/** A whole state dict in another floating-point type. */
import { remember } from "../core/maps.js";
import type { CastTarget } from "./tensor/cast.js";
import { canCast } from "./tensor/cast.js";
import { isWidenable } from "./tensor/float-values.js";
import { castTensor, type StateDict, type Tensor } from "./tensor/tensor.js";

/**
 * Floating-point tensors in `dtype` (16 bits: rounded to nearest, ties to even); integers, booleans, complex and packed
 * types stay as they are. Shared tensors stay shared.
 */
export function castState(state: StateDict, dtype: CastTarget): StateDict {
  const casts = new Map<Tensor, Tensor>();
  const tensors = new Map<string, Tensor>();
  for (const [name, tensor] of state.tensors) {
    const cast = remember(casts, tensor, () =>
      isWidenable(tensor.dtype) && canCast(tensor.dtype, dtype) ? castTensor(tensor, dtype) : tensor,
    );
    tensors.set(name, cast);
  }
  return state.with(tensors);
}
