/**
 * Finds the state dict in a torch file. Training code puts it under all sorts of keys, and beside it optimizers, averages and
 * lone tensors. The dict with the most tensors at a usual place is taken; where that does not decide, none is.
 */
import { firstNames, shorten, VistaError } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { plural, words } from "../../core/text.js";
import { isModel, isRandomState, type OtherTensors, othersThan, type Place } from "./beside.js";
import type { TorchFile } from "./file.js";
import { PICKLE_LIMITS } from "./limits.js";
import { MODULE_HINT, moduleIn, nothingThere } from "./no-state-dict.js";
import { asDict, asItems, keyText, type PyDict, type PyValue } from "./objects.js";
import { isTensorLike, TorchTensor } from "./values.js";

/**
 * The usual keys of state dicts, from Lightning (`state_dict`), DeepSpeed (`module`), torch's tutorials (`model_state_dict`) and
 * many others.
 */
const USUAL_KEYS = new Set(
  words(`state_dict model_state_dict model_state model_states model_weights model module net_state_dict network_state_dict net
    network weights params parameters`),
);

/** The keys that hold the whole of what training saved, the state dict included. */
const CONTAINERS = new Set(["checkpoint", "ckpt", "state", "trainer", "train_state", "training_state"]);

/** The greatest depth of dicts and lists within one another that is looked at. Real files have up to 3 (`model.state_dict`). */
const MAX_DEPTH = 12;
/**
 * The largest number of dicts and lists that are looked at. Real files have up to 10,000 (an optimizer's, one for each
 * parameter).
 */
const MAX_CONTAINERS = 100_000;

export interface FoundStateDict {
  readonly dict: PyDict;
  /** The keys from the file's value to the dict, joined by dots; `undefined` for the value itself. */
  readonly key: string | undefined;
  readonly others: readonly OtherTensors[];
}

/**
 * Finds the state dict.
 * @param key  the keys of the state dict, joined by dots, or `.` for the file's value itself; by default the one that is meant is
 *   looked for
 * @throws VistaError `FORMAT` where there is none, `USAGE` where there is none under the key, `AMBIGUOUS` where several could be
 *   meant
 */
export function findStateDict(file: TorchFile, key?: string): FoundStateDict {
  const places = placesIn(file.value);
  const place = key === undefined ? choose(places, file) : atKey(places, file, key);
  const others = othersThan(place, places, file);
  if (key === undefined && place.path.length === 0) refuseLoneTensors(place, others, file);
  return { dict: place.dict, key: place.path.length === 0 ? undefined : place.path.join("."), others };
}

/** Lists the tensors of a file that are not in this dict. @param key  the place of the dict, as in {@link FoundStateDict} */
export function tensorsBeside(file: TorchFile, dict: PyDict, key: string): OtherTensors[] {
  const places = placesIn(file.value);
  return othersThan(placeOf(dict, places, key), places, file);
}

/** Returns the place of a dict, also of one that lies deeper than places are looked for. */
function placeOf(dict: PyDict, places: readonly Place[], key: string): Place {
  const deep = { path: [key], dict, tensors: tensorsIn(dict), inOptimizer: false, model: true };
  return places.find((one) => one.dict === dict) ?? deep;
}

/**
 * Returns the value at keys, and numbers in lists, that are joined by dots (which keys may have in them too); `undefined` where
 * there is none.
 */
export function valueAt(value: PyValue | undefined, key: string): PyValue | undefined {
  for (const [index, child] of childrenOf(value)) {
    const name = typeof index === "number" && asDict(value) === undefined ? String(index) : index;
    if (typeof name !== "string") continue;
    if (name === key) return child;
    const below = key.startsWith(`${name}.`) ? valueAt(child, key.slice(name.length + 1)) : undefined;
    if (below !== undefined) return below;
  }
  return undefined;
}

/** Returns what a dict or a list holds, by key or number; nothing for anything else. */
function childrenOf(value: PyValue | undefined): Iterable<[PyValue, PyValue]> {
  return asDict(value) ?? asItems(value)?.entries() ?? [];
}

/** Returns all dicts that are reached through dicts and lists, each once, the nearest first. */
function placesIn(value: PyValue): Place[] {
  const places: Place[] = [];
  const seen = new Set<PyValue>([value]);
  const queue = [{ path: [] as readonly string[], container: value, inOptimizer: false }];
  for (const { path, container, inOptimizer: within } of queue) {
    const inOptimizer = within || isOptimizerState(container);
    for (const [name, child] of childrenOf(container)) {
      if (child instanceof TorchTensor || seen.has(child) || !isContainer(child)) continue;
      if (path.length >= MAX_DEPTH || queue.length >= MAX_CONTAINERS) continue;
      seen.add(child);
      // In a list without containers, as the thousands of shapes are, there is no dict.
      if (asDict(child) === undefined && !asItems(child)!.some(isContainer)) continue;
      queue.push({
        path: [...path, shorten(keyText(name), PICKLE_LIMITS.path)],
        container: child,
        inOptimizer,
      });
    }
    const dict = asDict(container);
    if (dict !== undefined)
      places.push({
        path,
        dict,
        tensors: tensorsIn(dict),
        inOptimizer,
        model: !inOptimizer && isModel(path.join(".")),
      });
  }
  return places;
}

function isContainer(value: PyValue): boolean {
  // Most of what lists hold are numbers.
  if (typeof value !== "object") return false;
  return asDict(value) !== undefined || asItems(value) !== undefined;
}

function tensorsIn(dict: PyDict): number {
  return sum(dict.values(), (value) => Number(isTensorLike(value)));
}

/** Tells whether a value is what an optimizer's `state_dict()` returns, whatever key it is under: `opt`, `o1`, the second of a tuple. */
function isOptimizerState(value: PyValue): boolean {
  const dict = asDict(value);
  const groups = asItems(dict?.get("param_groups"));
  return (
    asDict(dict?.get("state")) !== undefined &&
    groups !== undefined &&
    [...groups].every((group) => asDict(group) !== undefined)
  );
}

/**
 * Tells what the tensors of a dict are where they may be no weights although nothing else is there: what training keeps to go on.
 * A dict at a usual place is taken for what its key says.
 */
function noWeights({ path, dict }: Place): string | undefined {
  if (isUsual(path)) return undefined;
  const tensors = [...dict].filter(([, value]) => value instanceof TorchTensor) as [PyValue, TorchTensor][];
  if (tensors.length !== tensorsIn(dict)) return undefined;
  if (tensors.every(([name, tensor]) => isRandomState(keyText(name), tensor)))
    return "states of random generators";
  // A loss or the scale of mixed precision lies beside counts; the one number that a model learns, beside other tensors.
  return tensors.length < dict.size && tensors.every(([, { shape }]) => shape.length === 0)
    ? "single numbers beside values that are no tensors"
    : undefined;
}

function choose(places: readonly Place[], file: TorchFile): Place {
  const models = places.filter(({ tensors, model }) => tensors > 0 && model);
  const holding = models.filter((place) => noWeights(place) === undefined);
  const top = holding.find(({ path }) => path.length === 0);
  const usual = mostFirst(holding.filter(({ path }) => isUsual(path)));
  const other = mostFirst(holding.filter(({ path }) => path.length > 0 && !isUsual(path)));
  const [first, second] = usual;
  if (first === undefined && top === undefined) refuseOptimizer(file);
  const most = Math.max(0, ...other.map(({ tensors }) => tensors));
  if (first !== undefined) {
    const clear =
      first.tensors !== second?.tensors && first.tensors >= (top?.tensors ?? 0) && most <= 2 * first.tensors;
    if (clear) return first;
  } else if (top !== undefined) {
    if (most < top.tensors) return top;
  } else if (other.length === 1) return other[0]!;
  if (holding.length === 0) {
    // A model without parameters has an empty state dict, which is taken.
    const empty = places.find(({ path, dict }) => dict.size === 0 && (path.length === 0 || isUsual(path)));
    if (empty !== undefined) return empty;
    throw models.length > 0 ? mayBeNoWeights(models, file) : nothingThere(file);
  }
  const shown = mostFirst(holding).slice(0, 8);
  const more = holding.length > shown.length ? ` and ${holding.length - shown.length} more` : "";
  throw new VistaError(
    "AMBIGUOUS",
    `${holding.length} dicts of tensors, of which each may be the state dict: ${shown.map(describe).join(", ")}${more}`,
    { path: file.file.path, hint: `Name one with --key, for example --key ${nameOf(shown[0]!)}.` },
  );
}

/** Returns the error for tensors that may be no weights: neither a file nor a verdict comes of them unless they are asked for. */
function mayBeNoWeights(places: readonly Place[], file: TorchFile): VistaError {
  const [first] = mostFirst(places);
  const where = first!.path.length === 0 ? "at the top" : `under ${shorten(nameOf(first!), 80)}`;
  const names = [...first!.dict].flatMap(([name, value]) =>
    value instanceof TorchTensor ? [shorten(keyText(name), 80)] : [],
  );
  return new VistaError(
    "AMBIGUOUS",
    `${plural(names.length, "tensor")} ${where} that may be no weights: ${noWeights(first!)} (${firstNames(names)})`,
    {
      path: file.file.path,
      hint: `If they are meant as a state dict, name it: --key ${shorten(nameOf(first!), 80)}`,
    },
  );
}

/**
 * Refuses the state of an optimizer.
 * @throws VistaError `WRONG_KIND` for the result of an optimizer's `state_dict()`, whose tensors have numbers instead of names
 */
function refuseOptimizer(file: TorchFile): void {
  if (!isOptimizerState(file.value)) return;
  throw new VistaError(
    "WRONG_KIND",
    "the state of an optimizer (state, param_groups), and no state dict of a model",
    {
      path: file.file.path,
      hint: "Give the file with the model's weights; --key names one of the optimizer's dicts.",
    },
  );
}

/**
 * Refuses tensors at the top that may be no state dict, but a loss and a mask beside a model in some other form (a list, a
 * pickled module).
 * @throws VistaError `AMBIGUOUS` where one entry beside them has more
 */
function refuseLoneTensors(top: Place, others: readonly OtherTensors[], file: TorchFile): void {
  const entries = new Map<string, number>();
  for (const { key, tensors, model } of others) {
    const entry = key.split(".", 1)[0]!;
    if (model) entries.set(entry, (entries.get(entry) ?? 0) + tensors);
  }
  const more = [...entries].filter(([, tensors]) => tensors > top.tensors);
  if (more.length === 0) return;
  const named = more.map(([entry, tensors]) => `${tensors} under ${entry}`).join(", ");
  const module = moduleIn(file.value);
  throw new VistaError(
    "AMBIGUOUS",
    `${plural(top.tensors, "tensor")} at the top, which may be no state dict, beside more: ${named}` +
      (module === undefined ? "" : ` (${module.id}, a module that was pickled whole)`),
    {
      path: file.file.path,
      hint: `If those at the top are meant, use --key .${module === undefined ? "" : `; ${MODULE_HINT}`}`,
    },
  );
}

function atKey(places: readonly Place[], file: TorchFile, key: string): Place {
  const found = key === "." ? file.value : valueAt(file.value, key);
  const dict = asDict(found);
  const place = dict && placeOf(dict, places, key);
  if (place !== undefined && (place.tensors > 0 || place.dict.size === 0))
    return key === "." ? place : { ...place, path: [key] };
  const holding = mostFirst(places.filter(({ tensors }) => tensors > 0));
  const there = holding.length === 0 ? "no dict in it has any" : holding.slice(0, 8).map(describe).join(", ");
  throw new VistaError(
    "USAGE",
    `no state dict under ${JSON.stringify(shorten(key, 200))}: ` +
      `${found === undefined ? "no such key" : "no dict of tensors"}; tensors are in: ${there}`,
    { path: file.file.path, hint: "Name the key of a dict of tensors, several joined by dots." },
  );
}

function isUsual(path: readonly string[]): boolean {
  const last = path.at(-1);
  if (last === undefined || !USUAL_KEYS.has(last)) return false;
  return path.slice(0, -1).every((key) => USUAL_KEYS.has(key) || CONTAINERS.has(key));
}

function mostFirst(places: readonly Place[]): Place[] {
  return [...places].sort((a, b) => b.tensors - a.tensors);
}

function nameOf({ path }: Place): string {
  return path.length === 0 ? "." : path.join(".");
}

function describe(place: Place): string {
  return `${nameOf(place)} (${plural(place.tensors, "tensor")})`;
}
