/** Reads floating-point elements as JavaScript's numbers. */
import { canCast, castBytes, elementsOf } from "./cast.js";
import { type DType, dtypeInfo } from "./dtype.js";

/** Tells whether {@link floatsOf} has the values of this type, which is so for all floating-point types but the packed ones. */
export function isWidenable(dtype: DType): boolean {
  return (dtype.startsWith("F") || dtype === "BF16") && canCast(dtype, "F32");
}

/**
 * Returns the values of elements of a type that {@link isWidenable}: for F64 and F32 those of {@link elementsOf}, for others the
 * exactly widened values.
 */
export function floatsOf(bytes: Uint8Array, dtype: DType): Float32Array | Float64Array {
  if (dtype === "F64") return elementsOf(Float64Array, bytes);
  if (dtype === "F32") return elementsOf(Float32Array, bytes);
  const floats = new Float32Array((bytes.byteLength * 8) / dtypeInfo(dtype).bits);
  castBytes(bytes, dtype, new Uint8Array(floats.buffer), "F32");
  return floats;
}
