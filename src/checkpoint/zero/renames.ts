/**
 * Finds the names of `module` that are parameters which the optimizer has under another name. The optimizer's names are those of
 * `named_parameters()`, the names of `module` those of `state_dict()`: wrappers (torch's checkpoint_wrapper) and state-dict hooks
 * make them differ, and zero_to_fp32 knows only the optimizer's.
 */
import { readTensor } from "../copy/read-tensor.js";
import { canCast, floatsOf, isWidenable } from "../tensor/cast.js";
import { type DType, numelOf } from "../tensor/dtype.js";
import { castTensor, type Tensor } from "../tensor/tensor.js";
import type { TorchStorage, TorchTensor } from "../torch/values.js";

/** The names under which wrappers keep the module that they wrap: torch's checkpoint_wrapper, FSDP, torch.compile. */
const WRAPPERS = new Set(["_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_orig_mod"]);
const MAY_BE_WRAPPED = new RegExp([...WRAPPERS].join("|"));

/** The number of elements that are compared at one place of two tensors. */
const SAMPLE = 16 * 1024;
/** The number of places at which two large tensors are compared. */
const PLACES = 16;

export interface Renames {
  /** The name in the optimizer, by the name in `module`. */
  readonly renamed: ReadonlyMap<string, string>;
  /** The placeholders of stage 3 that must be parameters of the optimizer, while it cannot be said which is which. */
  readonly unnamed: readonly string[];
}

/**
 * Matches names first without the parts that wrappers put in, then by shape and values (stage 1 and 2, where `module` has a
 * copy of every parameter), then by number (stage 3, where it has placeholders).
 *
 * @param orphans  the tensors of `module` that the merged state dict does not have by name
 * @param absent  the names of the merged state dict, and of frozen parameters, that `module` does not have, in order
 * @param merged  the merged state dict; names of frozen parameters that are left out may be absent from it
 */
export async function findRenames(
  orphans: ReadonlyMap<string, Tensor>,
  absent: readonly string[],
  merged: ReadonlyMap<string, Tensor>,
  isPlaceholder: (tensor: Tensor) => boolean,
): Promise<Renames> {
  const renamed = new Map<string, string>();
  const left = new Set(absent);
  const fits = (orphan: Tensor, source: string) => {
    const tensor = merged.get(source);
    return tensor === undefined || isPlaceholder(orphan) || sameShape(orphan, tensor);
  };
  const byBareName = uniqueBy(absent, unwrapped);
  const bareOrphans = uniqueBy([...orphans.keys()], unwrapped);
  for (const [bare, name] of bareOrphans) {
    const source = byBareName.get(bare);
    if (source === undefined || !fits(orphans.get(name)!, source)) continue;
    renamed.set(name, source);
    left.delete(source);
  }
  for (const [name, tensor] of orphans) {
    if (renamed.has(name) || tensor.numel === 0 || isPlaceholder(tensor)) continue;
    for (const source of left) {
      const candidate = merged.get(source);
      if (candidate === undefined || !sameShape(tensor, candidate)) continue;
      if (!(await isCopy(tensor, candidate))) continue;
      renamed.set(name, source);
      left.delete(source);
      break;
    }
  }
  const placeholders = [...orphans].filter(([name, tensor]) => !renamed.has(name) && isPlaceholder(tensor));
  const unnamed = placeholders.length === left.size ? placeholders.map(([name]) => name) : [];
  return { renamed, unnamed };
}

/** Returns a name without the parts that wrappers put in: `a.weight` for `a._checkpoint_wrapped_module.weight`. */
export function unwrapped(name: string): string {
  // Thousands of names are asked for, and hardly any has such a part.
  if (!MAY_BE_WRAPPED.test(name)) return name;
  return name
    .split(".")
    .filter((part) => !WRAPPERS.has(part))
    .join(".");
}

/** Returns a name and what is left of it without its first parts: `model.a.b`, `a.b`, `b`. */
export function endings(name: string): string[] {
  const parts = name.split(".");
  return parts.map((_, i) => parts.slice(i).join("."));
}

/**
 * Finds second names of parameters of stage 3 that `shared_params` leaves out: DeepSpeed lists no module that its parent has twice.
 * The placeholders of both names are then one tensor, while those of other parameters have storages of their own.
 *
 * @param names  the names of `module` that the merged state dict does not have
 * @param tensors  the merged state dict; names of frozen parameters that are left out may be absent from it
 * @param frozen  the names of frozen parameters
 * @returns the name of the parameter, by the second name
 */
export function findSecondNames(
  names: readonly string[],
  module: ReadonlyMap<string, TorchTensor>,
  tensors: ReadonlyMap<string, Tensor>,
  frozen: ReadonlyMap<string, unknown>,
): Map<string, string> {
  const sources = new Map<TorchStorage, string | undefined>();
  for (const [name, { storage }] of module) {
    if (!tensors.has(name) && !frozen.has(name)) continue;
    const other = sources.get(storage);
    const unclear = sources.has(storage) && (other === undefined || tensors.get(other) !== tensors.get(name));
    sources.set(storage, unclear ? undefined : (other ?? name));
  }
  const found = new Map<string, string>();
  for (const name of names) {
    const { storage, shape } = module.get(name)!;
    const source = numelOf(shape) === 0 ? sources.get(storage) : undefined;
    if (source !== undefined) found.set(name, source);
  }
  return found;
}

/** Maps what `key` makes of each name to that name; names of which it makes the same are left out. */
function uniqueBy(names: readonly string[], key: (name: string) => string): Map<string, string> {
  const found = new Map<string, string | undefined>();
  for (const name of names) found.set(key(name), found.has(key(name)) ? undefined : name);
  return new Map([...found].filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function sameShape(a: Tensor, b: Tensor): boolean {
  return a.shape.length === b.shape.length && a.shape.every((dim, i) => dim === b.shape[i]);
}

/**
 * Tells whether `copy` has the values of `master`, in its own dtype.
 * @param ranges  the elements that are compared; by default all or, of large tensors, samples
 */
export async function isCopy(
  copy: Tensor,
  master: Tensor,
  ranges: readonly [from: number, to: number][] = places(copy.numel),
): Promise<boolean> {
  if (!canCast(master.dtype, copy.dtype)) return false;
  const expected = castTensor(master, copy.dtype);
  for (const [from, to] of ranges) {
    const [a, b] = [await readTensor(copy, { from, to }), await readTensor(expected, { from, to })];
    if (Buffer.compare(a, b) !== 0 && !areSame(a, b, copy.dtype)) return false;
  }
  return true;
}

/** Tells whether floats are the same where the bits of NaN do not count: a GPU rounds it to others than a CPU does. */
function areSame(a: Uint8Array, b: Uint8Array, dtype: DType): boolean {
  if (!isWidenable(dtype)) return false;
  const [values, others] = [floatsOf(a, dtype), floatsOf(b, dtype)];
  return values.every((value, i) => Object.is(value, others[i]));
}

function places(numel: number): [number, number][] {
  if (numel <= SAMPLE * PLACES) return [[0, numel]];
  return Array.from({ length: PLACES }, (_, i) => {
    const from = Math.floor(((numel - SAMPLE) * i) / (PLACES - 1));
    return [from, from + SAMPLE];
  });
}
