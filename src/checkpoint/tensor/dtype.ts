/**
 * Lists element types, named as safetensors spells them, with torch's names and the names of its pickled storage classes.
 * Sources: safetensors/src/tensor.rs (names and order), torch/storage.py and torch/_utils.py (classes).
 */

interface DTypeInfo {
  /** The number of bits of one element as the file counts them; F4 and F6 are packed. */
  bits: number;
  /** The name of the type in torch, without `torch.`; `undefined` where torch has no such type. */
  torch?: string;
  /** The typed storage class that torch.save names; types without one are saved as an UntypedStorage. */
  storage?: string;
}

/** An element type as safetensors spells it. C128 is complex128, which only torch files have. */
export type DType =
  | "U64"
  | "I64"
  | "F64"
  | "C64"
  | "F32"
  | "U32"
  | "I32"
  | "BF16"
  | "F16"
  | "U16"
  | "I16"
  | "F8_E5M2FNUZ"
  | "F8_E4M3FNUZ"
  | "F8_E8M0"
  | "F8_E4M3"
  | "F8_E5M2"
  | "I8"
  | "U8"
  | "F6_E3M2"
  | "F6_E2M3"
  | "F4"
  | "BOOL"
  | "C128";

/** The element types, in the order in which safetensors lays tensors out: the widest and most general first. */
export const DTYPES: Readonly<Record<DType, DTypeInfo>> = {
  U64: { bits: 64, torch: "uint64" },
  I64: { bits: 64, torch: "int64", storage: "LongStorage" },
  F64: { bits: 64, torch: "float64", storage: "DoubleStorage" },
  C64: { bits: 64, torch: "complex64", storage: "ComplexFloatStorage" },
  F32: { bits: 32, torch: "float32", storage: "FloatStorage" },
  U32: { bits: 32, torch: "uint32" },
  I32: { bits: 32, torch: "int32", storage: "IntStorage" },
  BF16: { bits: 16, torch: "bfloat16", storage: "BFloat16Storage" },
  F16: { bits: 16, torch: "float16", storage: "HalfStorage" },
  U16: { bits: 16, torch: "uint16" },
  I16: { bits: 16, torch: "int16", storage: "ShortStorage" },
  F8_E5M2FNUZ: { bits: 8, torch: "float8_e5m2fnuz" },
  F8_E4M3FNUZ: { bits: 8, torch: "float8_e4m3fnuz" },
  F8_E8M0: { bits: 8, torch: "float8_e8m0fnu" },
  F8_E4M3: { bits: 8, torch: "float8_e4m3fn" },
  F8_E5M2: { bits: 8, torch: "float8_e5m2" },
  I8: { bits: 8, torch: "int8", storage: "CharStorage" },
  U8: { bits: 8, torch: "uint8", storage: "ByteStorage" },
  F6_E3M2: { bits: 6 },
  F6_E2M3: { bits: 6 },
  /** Torch packs two of these into one element of float4_e2m1fn_x2. */
  F4: { bits: 4 },
  BOOL: { bits: 8, torch: "bool", storage: "BoolStorage" },
  /** This type is none of safetensors, but torch files may hold it. */
  C128: { bits: 128, torch: "complex128", storage: "ComplexDoubleStorage" },
};

export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPES, name);
}

export function dtypeInfo(dtype: DType): DTypeInfo {
  return DTYPES[dtype];
}

const BY_TORCH_NAME = new Map<string, DType>();
const BY_STORAGE = new Map<string, DType>();
for (const [dtype, info] of Object.entries(DTYPES) as [DType, DTypeInfo][]) {
  if (info.torch !== undefined) BY_TORCH_NAME.set(info.torch, dtype);
  if (info.storage !== undefined) BY_STORAGE.set(info.storage, dtype);
}

/** Returns the type that torch calls by this name: `F32` for `float32`. */
export function dtypeOfTorchName(name: string): DType | undefined {
  return BY_TORCH_NAME.get(name);
}

/** Returns the type of the elements of a storage class: `F32` for `FloatStorage`. */
export function dtypeOfStorage(className: string): DType | undefined {
  return BY_STORAGE.get(className);
}

/**
 * Returns the number of bytes of `count` elements; `undefined` where packed elements do not fill whole bytes or the number is not
 * exact.
 */
export function byteLengthOf(dtype: DType, count: number): number | undefined {
  const bits = count * DTYPES[dtype].bits;
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : undefined;
}

/** Returns the product of the dimensions; `undefined` beyond 2^53. */
export function numelOf(shape: readonly number[]): number | undefined {
  // A zero dimension makes the tensor empty, however large the others are.
  if (shape.includes(0)) return 0;
  let product = 1;
  for (const dim of shape) {
    product *= dim;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return product;
}
