/**
 * Converts between tensors and JavaScript's typed arrays: one's own values become a tensor, and bytes that were read become the
 * array that fits.
 */
import { VistaError } from "../../core/errors.js";
import { type ArrayType, elementsOf } from "./cast.js";
import { byteLengthOf, type DType, isDType, numelOf } from "./dtype.js";
import { makeTensor, type Tensor } from "./tensor.js";

/**
 * The elements of a tensor. Node 20 has no Float16Array, so F16, BF16 and U16 are the 16 bits of each element. BOOL is a byte of
 * 0 or 1 for each; the 8-bit floats, and F4 and F6, which are packed, are their bytes. C64 and C128 are pairs of the real and the
 * imaginary part.
 */
export type TensorValues =
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array;

/**
 * The kind of array for each dtype that is no bytes. The first dtype of a kind is the one that such an array has by itself: without
 * a given dtype, a `Uint16Array` is U16.
 */
const ARRAYS = new Map<DType, ArrayType<TensorValues>>([
  ["F32", Float32Array],
  ["F64", Float64Array],
  ["C64", Float32Array],
  ["C128", Float64Array],
  ["I64", BigInt64Array],
  ["U64", BigUint64Array],
  ["I32", Int32Array],
  ["U32", Uint32Array],
  ["I16", Int16Array],
  ["U16", Uint16Array],
  ["F16", Uint16Array],
  ["BF16", Uint16Array],
  ["I8", Int8Array],
]);

/** Returns the elements of the bytes, as {@link elementsOf} does. */
export function typedArrayOf(bytes: Uint8Array, dtype: DType): TensorValues {
  const Values = ARRAYS.get(dtype);
  return Values === undefined ? bytes : elementsOf(Values, bytes);
}

/**
 * Makes a tensor of one's own values, for a {@link StateDict}. The array is not copied: what it holds when the tensor is read or
 * written counts.
 *
 * @param values  the elements in row-major order, as {@link TensorValues} has them
 * @param shape  the size of each dimension; `[]` for a single number
 * @param dtype  the type of the elements where the array does not say it: `F16` and `BF16` for a Uint16Array of bits, `C64` for a
 *   Float32Array and `C128` for a Float64Array of pairs, any dtype for a Uint8Array of bytes (little-endian), `BOOL` for one of 0
 *   and 1
 * @throws VistaError `USAGE` where shape, dtype and array do not go together
 */
export function tensorFrom(
  values: TensorValues | Uint8ClampedArray,
  shape: readonly number[],
  dtype?: DType,
): Tensor {
  const isBytes = values instanceof Uint8Array || values instanceof Uint8ClampedArray;
  const natural = isBytes ? "U8" : [...ARRAYS].find(([, Values]) => values instanceof Values)?.[0];
  if (natural === undefined) {
    throw new VistaError("USAGE", "a tensor is made from a typed array, and this is none", {
      hint: "Float32Array, BigInt64Array, Uint8Array …; Float32Array.from(numbers) makes one.",
    });
  }
  const type = dtype ?? natural;
  if (!isDType(type))
    throw new VistaError("USAGE", `there is no dtype ${type}`, { hint: "F32, BF16, I64 …" });
  // Bytes may be of any type, and 16-bit unsigned integers of a type that has no array of its own.
  const Values = ARRAYS.get(type);
  if (!isBytes && !(Values !== undefined && values instanceof Values))
    throw new VistaError("USAGE", `a ${values.constructor.name} does not hold ${type}`, {
      hint: "Give the bytes as a Uint8Array, or leave the dtype out.",
    });
  if (!shape?.every?.((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw new VistaError("USAGE", `[${[shape].flat().join(", ")}] is no shape`, {
      hint: "Sizes are whole numbers, 0 or more; [] is the shape of one value.",
    });
  }
  const numel = numelOf(shape);
  const wanted = numel === undefined ? undefined : byteLengthOf(type, numel);
  if (wanted !== values.byteLength) {
    throw new VistaError(
      "USAGE",
      `shape [${shape.join(", ")}] of ${type} has ${wanted ?? "too many"} bytes, the array has ${values.byteLength}`,
      { hint: "Give an array of as many elements as the sizes of the shape multiply to." },
    );
  }
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  if (type === "BOOL" && bytes.some((byte) => byte > 1)) {
    throw new VistaError("USAGE", "a BOOL is 0 or 1, and the array has other bytes", {
      hint: "Make them 0 and 1, or give U8 as the dtype.",
    });
  }
  return makeTensor(type, [...shape], {
    kind: "computed",
    inputs: [],
    compute: (_inputs, result) => {
      if (bytes.byteLength !== result.byteLength)
        throw new VistaError("USAGE", "the memory of an array that a tensor was made of is gone", {
          hint: "Transfer or resize its buffer only when nothing reads the tensor any more.",
        });
      result.set(bytes);
    },
  });
}
