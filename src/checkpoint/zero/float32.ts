/** The conversions of a merge to float32: of buffers as the reference converts them, and of 16-bit floats in `module`. */
import { remember } from "../../core/maps.js";
import type { DType } from "../tensor/dtype.js";
import { castTensor, type Tensor } from "../tensor/tensor.js";
import { isVersion, versionAtLeast } from "./version.js";

/** The first version whose reference keeps the dtype of buffers that are not floating point; before, it made float32 of them. */
const KEEPS_INTEGER_BUFFERS = [0, 19, 8];

export class Float32Casts {
  /** The number of tensors that were converted, by the dtype they had. */
  readonly converted: Partial<Record<DType, number>> = {};
  /** The float32 tensor of each tensor that was converted, so that shared ones stay shared. */
  readonly #casts = new Map<Tensor, Tensor>();

  /** @param dsVersion  the version of the DeepSpeed that saved the checkpoint, `undefined` where no file says it */
  constructor(private readonly dsVersion: string | undefined) {}

  /**
   * Converts a buffer as the zero_to_fp32 of the DeepSpeed that saved this checkpoint does. Where no file says which version that
   * was, it follows the newest, which changes the fewest buffers.
   */
  asReference(tensor: Tensor): Tensor {
    const keeps = !isVersion(this.dsVersion) || versionAtLeast(this.dsVersion, KEEPS_INTEGER_BUFFERS);
    return keeps && !isFloat(tensor.dtype) ? tensor : this.#float32(tensor);
  }

  /**
   * Converts 16-bit floats, which may be copies of wider weights, to float32 and returns everything else as it is. No value
   * changes.
   */
  widened(tensor: Tensor): Tensor {
    return tensor.dtype === "F16" || tensor.dtype === "BF16" ? this.#float32(tensor) : tensor;
  }

  #float32(tensor: Tensor): Tensor {
    if (tensor.dtype === "F32") return tensor;
    return remember(this.#casts, tensor, () => {
      this.converted[tensor.dtype] = (this.converted[tensor.dtype] ?? 0) + 1;
      return castTensor(tensor, "F32");
    });
  }
}

export function isFloat(dtype: DType): boolean {
  return dtype.startsWith("F") || dtype === "BF16";
}
