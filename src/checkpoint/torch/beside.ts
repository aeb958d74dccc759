/** Says what a torch file holds beside its state dict, and which of it may be weights. */
import type { TorchFile } from "./file.js";
import { keyText, type PyDict, PyObject, type PyValue } from "./objects.js";
import { walk } from "./storages.js";
import { isTensorLike, TorchTensor, TorchUnreadable } from "./values.js";

/** The places of tensors that are no model's: the optimizer's moments, random states, what callbacks keep. */
const NO_MODEL = /optim|sched|rng|random|callback|loops|scaler|exp_avg|_metadata/i;

/**
 * What an optimizer or a progress loop keeps, by the place of a tensor: averages, masters and anything else under such keys may be
 * weights (`optimizer_ema_weights`, `callbacks.EMA.state_dict`, `upscaler`).
 */
const TRAINING =
  /(?:^|\.)optim\w*(?:\.\d+)?\.state\.|(?:^|\.)loops\.|exp_avg|momentum|square_avg|moment[12]/i;

/**
 * The sizes of the states of torch's random generators, which are flat tensors of bytes: of a CPU's, of a GPU's, and of a GPU's as
 * older torch kept it.
 */
const RANDOM_STATES = new Set([5056, 16, 816]);
const RANDOM_NAME = /rng|random|seed|generator/i;

/** The tensors at one place of a file that are not in its state dict. */
export interface OtherTensors {
  /** The place: a key, or several joined by dots. */
  readonly key: string;
  readonly tensors: number;
  /** Whether they look like a model's tensors; those of an optimizer do not. */
  readonly model: boolean;
  /** True for an array of numpy among the entries of the state dict, which nothing here reads. */
  readonly numpy?: true;
  /** True for what a module of the model keeps as its `_extra_state`, in a form that nothing here reads. */
  readonly extraState?: true;
  /** True for another file in the folder, which was not looked at and whose tensors are not counted. */
  readonly file?: true;
}

/** A dict that is reached through dicts and lists. */
export interface Place {
  readonly path: readonly string[];
  readonly dict: PyDict;
  /** The number of tensors in it, without those of dicts within it. */
  readonly tensors: number;
  /** Whether it is part of what an optimizer's `state_dict()` returned. */
  readonly inOptimizer: boolean;
  /** Whether its tensors look like a model's: by the path, and by what it is part of. */
  readonly model: boolean;
}

/** Lists the tensors of a file that are not in its state dict. @param places  all dicts that are reached in the file */
export function othersThan(chosen: Place, places: readonly Place[], file: TorchFile): OtherTensors[] {
  const others: OtherTensors[] = [];
  const counted = new Set<PyValue>(chosen.dict.values());
  const noModels = new Set<PyValue>();
  for (const place of places) {
    if (place === chosen || place.dict === chosen.dict || place.tensors === 0) continue;
    if (place.inOptimizer) for (const tensor of place.dict.values()) noModels.add(tensor);
    if (!place.model) continue;
    const key = place.path.join(".");
    for (const tensor of place.dict.values()) counted.add(tensor);
    const model =
      key !== "" ||
      [...place.dict].some(([name, one]) => isTensorObject(one) && mayBeWeight(keyText(name), one));
    others.push({ key: key === "" ? "." : key, tensors: place.tensors, model });
  }
  // The remaining tensors are in lists and objects: averages as a list of tensors, a module that was pickled whole, packed
  // weights of a quantised module within an entry of the state dict.
  const inside = chosen.path.length === 0 ? "" : `${chosen.path.join(".")}.`;
  const rest = new Map<string, OtherTensors>();
  walk(
    file.value,
    (current, path) => {
      if (!(isTensorObject(current) || isNumpyArray(current)) || counted.has(current)) return;
      const at = path();
      const within = at.startsWith(inside) && at.includes(".", inside.length);
      const key = within && isModel(at) ? at.slice(0, at.lastIndexOf(".")) : at.split(".", 1)[0]!;
      const model = !noModels.has(current) && mayBeWeight(at, current);
      const entry = `${model} ${key}`;
      rest.set(entry, { key, tensors: (rest.get(entry)?.tensors ?? 0) + 1, model });
    },
    file.file.path,
    [...counted].filter(isTensorObject),
  );
  for (const [name, entry] of chosen.dict) {
    const key = inside + keyText(name);
    if (isNumpyArray(entry)) rest.set(key, { key, tensors: 1, model: true, numpy: true });
    else if (entry !== null && isExtraState(key) && !isTensorLike(entry))
      rest.set(key, { key, tensors: 1, model: true, extraState: true });
  }
  return [...others, ...rest.values()];
}

/** Tells whether a value is an array of numpy, which may be a weight. */
function isNumpyArray(value: PyValue): value is PyObject {
  return (
    value instanceof PyObject &&
    /^numpy\._?core\.(?:multiarray\._reconstruct|numeric\._frombuffer)$/.test(value.id)
  );
}

/** Tells whether a tensor is the state of a random generator. @param at  its name or place */
export function isRandomState(at: string, { dtype, shape }: Pick<TorchTensor, "dtype" | "shape">): boolean {
  const [size, more] = shape;
  if (dtype !== "U8" || size === undefined || more !== undefined) return false;
  return RANDOM_STATES.has(size) || RANDOM_NAME.test(at);
}

/** Tells whether tensors at a place look like a model's; those of an optimizer do not. */
export function isModel(key: string): boolean {
  return !NO_MODEL.test(key);
}

function isTensorObject(value: PyValue): value is TorchTensor | TorchUnreadable {
  return value instanceof TorchTensor || value instanceof TorchUnreadable;
}

/**
 * Tells whether a tensor, or an array of numpy, beside the state dict may be a weight. Alone at the top, and at a place that does not
 * look like a model's, it is none only where it is known what it is: a single number, the state of a random generator, what an
 * optimizer keeps.
 */
export function mayBeWeight(
  at: string,
  tensor: TorchUnreadable | PyObject | Pick<TorchTensor, "dtype" | "shape">,
): boolean {
  if (at.includes(".") && isModel(at)) return true;
  if (TRAINING.test(at)) return false;
  if (tensor instanceof PyObject) return !RANDOM_NAME.test(at);
  if (tensor instanceof TorchUnreadable) return true;
  return tensor.shape.some((size) => size !== 1) && !isRandomState(at, tensor);
}

/** Tells whether a name is that of what a module returns as its extra state, whose form is its own (scales of fp8 …). */
export function isExtraState(name: string): boolean {
  return /(?:^|\.)_extra_state$/.test(name);
}
