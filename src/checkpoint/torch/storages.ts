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
 *
 * @param visit  is called for every object on the way, as by {@link walk}
 * @throws what {@link walk} throws
 */
export function storagesIn(
  value: PyValue,
  file?: string,
  visit?: (value: object, at: () => string) => void,
): {
  storages: Map<string, StorageUse>;
  tensors: Map<TorchTensor, string>;
} {
  const storages = new Map<string, StorageUse>();
  const tensors = new Map<TorchTensor, string>();
  let cut = 0;
  walk(
    value,
    (current, at) => {
      visit?.(current, at);
      if (!(current instanceof TorchTensor)) return;
      const path = at();
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
 * Calls `visit` once for every object in a value, in order, with a function that returns the path to its first place; a path beyond
 * `PICKLE_LIMITS.path` ends in `…`.
 *
 * @param file  the path of the file, for error messages
 * @param without  objects that are not visited, nor what is in them
 * @throws VistaError `PICKLE` for containers nested deeper than `PICKLE_LIMITS.nesting`
 */
export function walk(
  value: PyValue,
  visit: (value: object, at: () => string) => void,
  file?: string,
  without: Iterable<object> = [],
): void {
  const seen = new Set(without);
  // A list of open containers stands in for recursion, because a pickle may nest deeper than the call stack.
  const open: { path: string | undefined; key: PyValue; left: Iterator<[PyValue, PyValue]> }[] = [];
  const isNew = (current: PyValue) => isObject(current) && !seen.has(current as object);
  let [key, path]: [PyValue, string | undefined] = [null, ""];
  // Most of what there is are numbers and shapes, whose paths nobody asks for.
  const at = () => {
    let known = open.findLastIndex((place) => place.path !== undefined);
    while (++known < open.length) open[known]!.path = joined(open[known - 1]!.path!, open[known]!.key);
    path ??= joined(open.at(-1)!.path!, key);
    return path;
  };
  const enter = (current: object) => {
    seen.add(current);
    visit(current, at);
    const left = childrenOf(current);
    if (left === undefined) return;
    if (open.length >= PICKLE_LIMITS.nesting) {
      throw new VistaError("PICKLE", `containers nested more than ${PICKLE_LIMITS.nesting} deep`, {
        path: file,
        hint: "Nothing that torch.save wrote nests so deep.",
      });
    }
    open.push({ path, key, left });
  };
  if (isNew(value)) enter(value as object);
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const next = top.left.next();
    if (next.done === true) {
      open.pop();
      continue;
    }
    const child = next.value[1];
    if (!isNew(child)) continue;
    [key, path] = [next.value[0], undefined];
    enter(child as object);
  }
}

function isObject(value: PyValue): boolean {
  return typeof value === "object" && value !== null;
}

function joined(path: string, key: PyValue): string {
  if (path.endsWith("…")) return path;
  const name = shorten(keyText(key), PICKLE_LIMITS.path);
  const whole = path === "" ? name : `${path}.${name}`;
  return whole.length > PICKLE_LIMITS.path ? `${whole.slice(0, PICKLE_LIMITS.path)}…` : whole;
}

function childrenOf(value: object): Iterator<[PyValue, PyValue]> | undefined {
  if (value instanceof TorchTensor) return undefined;
  if (value instanceof Map) return value.entries();
  // Shapes are lists of numbers, in which nothing is.
  const items = value instanceof PyTuple ? value.items : value;
  if (Array.isArray(items)) return items.some(isObject) ? items.entries() : undefined;
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
