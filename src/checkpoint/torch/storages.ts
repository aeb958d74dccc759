/** The storages of a torch file and what is in them, wherever in the pickle their tensors are. */
import type { DType } from "../tensor/dtype.js";
import { PyObject, PyTuple, type PyValue } from "./objects.js";
import { TorchTensor } from "./values.js";

export interface StorageUse {
  readonly dtype: DType;
  /** Where the first tensor on it is: `optimizer_state_dict.state.0.exp_avg`. */
  readonly path: string;
}

/** Every tensor in a value with the path to it, and for each storage key its first use. */
export function storagesIn(value: PyValue): {
  storages: Map<string, StorageUse>;
  tensors: Map<TorchTensor, string>;
} {
  const storages = new Map<string, StorageUse>();
  const tensors = new Map<TorchTensor, string>();
  const seen = new Set<object>();
  // A list of what is left to do, not recursion: a pickle may nest deeper than the call stack.
  const todo: { value: PyValue; path: string }[] = [{ value, path: "" }];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { value: current, path } = next;
    if (typeof current !== "object" || current === null || seen.has(current)) continue;
    seen.add(current);
    if (current instanceof TorchTensor) {
      tensors.set(current, path);
      const { key } = current.storage;
      if (!storages.has(key)) storages.set(key, { dtype: current.dtype, path });
      continue;
    }
    const children = childrenOf(current);
    // Last in, first out: from the end, so that the first child comes first.
    for (let i = children.length - 1; i >= 0; i--) {
      const [name, child] = children[i]!;
      todo.push({ value: child, path: path === "" ? name : `${path}.${name}` });
    }
  }
  return { storages, tensors };
}

function childrenOf(value: object): [string, PyValue][] {
  if (value instanceof Map) return [...value].map(([key, child]) => [String(key), child]);
  if (Array.isArray(value)) return value.map((child, i) => [String(i), child]);
  if (value instanceof PyTuple) return value.items.map((child, i) => [String(i), child]);
  if (value instanceof Set) return [...value].map((child, i) => [String(i), child as PyValue]);
  if (value instanceof PyObject) {
    const parts: [string, PyValue | undefined][] = [
      ["args", value.args],
      ["kwargs", value.kwargs],
      ["state", value.state],
      ["list", value.listItems],
      ["dict", value.dictItems],
    ];
    return parts.filter((part): part is [string, PyValue] => part[1] !== undefined);
  }
  return [];
}
