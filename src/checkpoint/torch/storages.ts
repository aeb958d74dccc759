/** Finds the storages of a torch file and what is in them, wherever in the pickle their tensors are. */
import { shorten, VistaError } from "../../core/errors.js";
import type { DType } from "../tensor/dtype.js";
import { PICKLE_LIMITS } from "./limits.js";
import { keyText, PyObject, PyTuple, type PyValue } from "./objects.js";
import { TorchTensor } from "./values.js";

export interface StorageUse {
  readonly dtype: DType;
  /** The place of the first tensor on it, such as `optimizer_state_dict.state.0.exp_avg`. */
  readonly path: string;
}

/**
 * Returns every tensor in a value with the path to it, and for each storage key its first use.
 * @throws what {@link walk} throws
 */
export function storagesIn(
  value: PyValue,
  file?: string,
): {
  storages: Map<string, StorageUse>;
  tensors: Map<TorchTensor, string>;
} {
  const storages = new Map<string, StorageUse>();
  const tensors = new Map<TorchTensor, string>();
  let cut = 0;
  walk(
    value,
    (current, path) => {
      if (!(current instanceof TorchTensor)) return;
      // A path that was cut no longer tells tensors apart, so a number does.
      const place = path.endsWith("…") ? `${path}${++cut}` : path;
      tensors.set(current, place);
      const { key } = current.storage;
      if (!storages.has(key)) storages.set(key, { dtype: current.dtype, path: place });
    },
    file,
  );
  return { storages, tensors };
}

/**
 * Calls `visit` once for every object in a value, in order, with the path to its first place; a path beyond `PICKLE_LIMITS.path`
 * ends in `…`.
 *
 * @param file  the path of the file, for error messages
 * @throws VistaError `PICKLE` for containers nested deeper than `PICKLE_LIMITS.nesting`
 */
export function walk(value: PyValue, visit: (value: object, path: string) => void, file?: string): void {
  const seen = new Set<object>();
  // A list of open containers stands in for recursion, because a pickle may nest deeper than the call stack.
  const open: { path: string; left: Iterator<[PyValue, PyValue]> }[] = [];
  const isNew = (current: PyValue) => typeof current === "object" && current !== null && !seen.has(current);
  const enter = (current: object, path: string) => {
    seen.add(current);
    visit(current, path);
    const left = childrenOf(current);
    if (left === undefined) return;
    if (open.length >= PICKLE_LIMITS.nesting) {
      throw new VistaError("PICKLE", `containers nested more than ${PICKLE_LIMITS.nesting} deep`, {
        path: file,
        hint: "Nothing that torch.save wrote nests so deep.",
      });
    }
    open.push({ path, left });
  };
  if (isNew(value)) enter(value as object, "");
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.left.next();
    if (next.done === true) {
      open.pop();
      continue;
    }
    const [key, child] = next.value;
    // Most of what there is are numbers, whose paths nobody asks for.
    if (isNew(child)) enter(child as object, joined(top.path, key));
  }
}

function joined(path: string, key: PyValue): string {
  if (path.endsWith("…")) return path;
  const name = shorten(keyText(key), PICKLE_LIMITS.path);
  const whole = path === "" ? name : `${path}.${name}`;
  return whole.length > PICKLE_LIMITS.path ? `${whole.slice(0, PICKLE_LIMITS.path)}…` : whole;
}

function childrenOf(value: object): Iterator<[PyValue, PyValue]> | undefined {
  if (value instanceof Map) return value.entries();
  if (Array.isArray(value)) return value.entries() as Iterator<[PyValue, PyValue]>;
  if (value instanceof PyTuple) return value.items.entries();
  if (value instanceof Set) return value.entries() as Iterator<[PyValue, PyValue]>;
  if (value instanceof PyObject) {
    const parts: [string, PyValue | undefined][] = [
      ["args", value.args],
      ["kwargs", value.kwargs],
      ["state", value.state],
      ["list", value.listItems],
      ["dict", value.dictItems],
    ];
    return parts.filter((part): part is [string, PyValue] => part[1] !== undefined).values();
  }
  return undefined;
}
