/** Converts a whole state dict to another floating-point type. */
import { VistaError } from "../core/errors.js";
import { remember } from "../core/maps.js";
import { type CastTarget, canCast, isCastTarget, isWidenable } from "./tensor/cast.js";
import { castTensor, requireState, type StateDict, type Tensor } from "./tensor/tensor.js";

/**
 * Converts floating-point tensors to `dtype` (to 16 bits: rounded to nearest, ties to even). Integers, booleans, complex and
 * packed types stay as they are; shared tensors stay shared.
 *
 * @throws VistaError `USAGE` for a dtype that is none of these, and for what is no state dict
 */
export function castState(state: StateDict, dtype: CastTarget): StateDict {
  requireState(state);
  // Programs in JavaScript come here too, and `bf16` would leave all tensors as they are.
  if (!isCastTarget(dtype)) {
    throw new VistaError("USAGE", `there is no conversion to ${String(dtype)}`, {
      hint: "Give F32, F16 or BF16.",
    });
  }
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
