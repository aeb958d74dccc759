/** Finds out whether a conversion of a buffer to float32 changes values, which the reference does without a word. */
import { readTensor } from "../copy/read-tensor.js";
import type { DType } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { typedArrayOf } from "../tensor/typed-array.js";

/** The dtypes with values that float32 cannot hold. */
const WIDER: ReadonlySet<DType> = new Set(["I64", "U64", "I32", "U32", "F64", "C64", "C128"]);

/** The largest number of elements of a buffer that is looked at; counters, masks and tables of positions have fewer. */
const MAX_ELEMENTS = 1024 * 1024;

/**
 * Tells whether any value of the tensor changes when it becomes float32, which holds only the real part of complex numbers. A
 * large tensor and one at a URL are not looked at and give false, since opening a checkpoint reads no weights.
 */
export async function float32Rounds(tensor: Tensor): Promise<boolean> {
  if (!WIDER.has(tensor.dtype) || tensor.numel > MAX_ELEMENTS || !isLocal(tensor)) return false;
  const isComplex = tensor.dtype.startsWith("C");
  for (const [i, value] of typedArrayOf(await readTensor(tensor), tensor.dtype).entries()) {
    if (isComplex && i % 2 === 1 ? value !== 0 : !isFloat32(value)) return true;
  }
  return false;
}

function isLocal({ source }: Tensor): boolean {
  if (source.kind === "pieces") return [...source.pieces].every(({ region }) => region.file.isLocal);
  return source.kind === "strided" && source.region.file.isLocal;
}

function isFloat32(value: number | bigint): boolean {
  if (typeof value === "bigint") return BigInt(Math.fround(Number(value))) === value;
  return Object.is(Math.fround(value), value);
}
