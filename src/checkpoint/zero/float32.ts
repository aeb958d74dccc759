/** What a merge makes float32: buffers as the reference does, 16-bit floats of `module`, and nothing else. */
import { remember } from "../../core/maps.js";
import type { DType } from "../tensor/dtype.js";
import { castTensor, type Tensor } from "../tensor/tensor.js";
import { isVersion, versionAtLeast } from "./version.js";

/** Since this version the reference keeps the dtype of buffers that are not floating point; before, it made float32 of them. */
const KEEPS_INTEGER_BUFFERS = [0, 19, 8];

export class Float32Casts {
  /** Tensors that were converted, by the dtype they had. */
  readonly converted: Partial<Record<DType, number>> = {};
  /** One float32 tensor for each tensor that is converted, so that shared ones stay shared. */
  readonly #casts = new Map<Tensor, Tensor>();

  /** @param dsVersion  of the DeepSpeed that saved the checkpoint */
  constructor(private readonly dsVersion: string | undefined) {}

  /**
   * As the zero_to_fp32 of the DeepSpeed that saved this checkpoint converts buffers. Where no file says which that was, as the
   * newest does: it changes the fewest.
   */
  asReference(tensor: Tensor): Tensor {
    const keeps = !isVersion(this.dsVersion) || versionAtLeast(this.dsVersion, KEEPS_INTEGER_BUFFERS);
    return keeps && !isFloat(tensor.dtype) ? tensor : this.#float32(tensor);
  }

  /** 16-bit floats, which may be copies of wider weights, as float32; everything else as it is, no value changed. */
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
