/** Reads the single numbers of an optimizer (steps, learning rates), which versions of torch and schedulers keep in many types. */
import { readTensor } from "../copy/read-tensor.js";
import { castTensor } from "../tensor/tensor.js";
import { typedArrayOf } from "../tensor/typed-array.js";
import type { TorchFile } from "../torch/file.js";
import { asItems, PyLatin1, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { TorchTensor } from "../torch/values.js";

/** Returns a number, also where a tensor of one element or a numpy float64 holds it; `undefined` for anything else. */
export async function numberIn(value: PyValue | undefined, file: TorchFile): Promise<number | undefined> {
  if (typeof value === "number") return value;
  if (value instanceof PyObject) return numpyNumber(value);
  if (!(value instanceof TorchTensor)) return undefined;
  const tensor = await file.tensor(value);
  if (tensor.numel !== 1) return undefined;
  const single = tensor.dtype === "F16" || tensor.dtype === "BF16" ? castTensor(tensor, "F32") : tensor;
  const numbers = typedArrayOf(await readTensor(single), single.dtype);
  return numbers.length === 1 ? Number(numbers[0]) : undefined;
}

/** Reads numpy's float64 as its pickle spells it, `scalar(dtype('f8'), eight bytes)`: schedulers leave such learning rates. */
function numpyNumber({ id, args }: PyObject): number | undefined {
  const [dtype, value] = args instanceof PyTuple ? args.items : [];
  const isFloat64 = dtype instanceof PyObject && asItems(dtype.args)?.[0] === "f8";
  if (!/^numpy\._?core\.multiarray\.scalar$/.test(id) || !isFloat64) return undefined;
  const bytes = value instanceof PyLatin1 ? value.bytes : value;
  if (!(bytes instanceof Uint8Array) || bytes.byteLength !== 8) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
}
