/** Compares entries of two state dicts that are no tensors: arrays of numpy, and what modules keep as their `_extra_state`. */
import { remember } from "../core/maps.js";
import type { Checkpoint } from "./checkpoint.js";
import type { Tensor } from "./tensor/tensor.js";
import type { TorchFile } from "./torch/file.js";
import { asDict, keyText, type PyDict, PyTuple, type PyValue } from "./torch/objects.js";
import { valueAt } from "./torch/state-dicts.js";
import { TorchTensor } from "./torch/values.js";
import { valueText } from "./zero/value-text.js";

/** The characters of the texts of such entries, in all. Real ones have up to some 10 million. */
const MAX_TEXTS = 64 * 2 ** 20;
/** The characters that each value beside tensors counts for. Real models have some thousand of them, ten in each extra state. */
const PER_VALUE = 1024;
/** The depth of dicts and lists within one another, and the items of one, up to which tensors are looked for in them. */
const MAX_DEPTH = 50;
const MAX_ITEMS = 100_000;

/** A value of one of the two, with the file that it is from. */
type Side = readonly [value: PyValue, file: TorchFile];
type Pair = readonly [a: Tensor, b: Tensor];

/** The comparison of such entries by their texts, up to {@link MAX_TEXTS}, except for tensors in their dicts and lists. */
export class Entries {
  /** The tensors, by name, that lie at one place of an entry in both, and whose values nobody has compared yet. */
  readonly tensors = new Map<string, Pair>();
  readonly #asked = new Map<string, Promise<boolean>>();
  readonly #holding = new Map<PyValue, boolean>();
  #left = MAX_TEXTS;

  /** @param places  the place of each one's state dict in its torch file; `undefined` where the file itself is one */
  constructor(
    private readonly opened: readonly Checkpoint[],
    private readonly places: readonly (string | undefined)[],
  ) {}

  /**
   * Tells whether an entry is there in both and the same but for the values of {@link tensors}; of what was not looked at, it is
   * not.
   */
  isSame(name: string): Promise<boolean> {
    return remember(this.#asked, name, () => this.#look(name));
  }

  async #look(name: string): Promise<boolean> {
    const [a, b] = this.opened.map(({ torchFiles }, i): Side | undefined => {
      const place = this.places[i];
      const entryIn = ({ value }: TorchFile) =>
        asDict(place === undefined ? value : valueAt(value, place))?.get(name);
      const file = torchFiles.find((each) => entryIn(each) !== undefined);
      return file && [entryIn(file)!, file];
    });
    const found = new Map<string, Pair>();
    if (a === undefined || b === undefined || !(await this.#compare(a, b, name, found))) return false;
    if ([...found.keys()].some((place) => this.tensors.has(place))) return false;
    for (const [place, pair] of found) this.tensors.set(place, pair);
    return true;
  }

  async #compare(a: Side, b: Side, name: string, found: Map<string, Pair>, depth = 0): Promise<boolean> {
    this.#left -= PER_VALUE;
    if (this.#left <= 0 || depth > MAX_DEPTH) return false;
    const [x, y] = [a[0], b[0]];
    if (x instanceof TorchTensor && y instanceof TorchTensor) {
      const taken = found.has(name) || this.opened.some(({ tensors }) => tensors.has(name));
      if (!taken) found.set(name, [await a[1].tensor(x), await b[1].tensor(y)]);
      return !taken;
    }
    const byItem = x instanceof Map === y instanceof Map && holdsTensor(x, this.#holding);
    const [inX, inY] = byItem ? [itemsOf(x), itemsOf(y)] : [];
    if (inX?.length === inY?.length && inX?.every(([key], i) => key === inY![i]![0])) {
      for (const [i, [key, item]] of inX.entries()) {
        const [place, other] = [`${name}.${keyText(key)}`, inY![i]![1]];
        if (!(await this.#compare([item, a[1]], [other, b[1]], place, found, depth + 1))) return false;
      }
      return true;
    }
    const texts = [await this.#textOf(a), await this.#textOf(b)];
    return texts[0] !== undefined && texts[0] === texts[1];
  }

  async #textOf([value, file]: Side): Promise<string | undefined> {
    const text = await valueText(value, file);
    // A few bytes of pickle may stand for a text that is too long.
    this.#left -= text?.length ?? MAX_TEXTS / 4;
    return text;
  }
}

/** Returns what a dict, a list or a tuple holds, by key or number; `undefined` for anything else, and for one of too many items. */
function itemsOf(value: PyValue): [PyValue, PyValue][] | undefined {
  const items = value instanceof PyTuple ? value.items : value;
  if (Array.isArray(items)) return items.length > MAX_ITEMS ? undefined : [...items.entries()];
  return items instanceof Map && items.size <= MAX_ITEMS ? [...(items as PyDict)] : undefined;
}

/** Tells whether there is a tensor in a value's dicts and lists. @param known  what was found out about others */
function holdsTensor(value: PyValue, known: Map<PyValue, boolean>, depth = 0): boolean {
  if (value instanceof TorchTensor) return true;
  const items = depth < MAX_DEPTH ? itemsOf(value) : undefined;
  if (items === undefined) return false;
  const before = known.get(value);
  if (before !== undefined) return before;
  known.set(value, false); // It may lie in itself.
  const holds = items.some(([, item]) => holdsTensor(item, known, depth + 1));
  known.set(value, holds);
  return holds;
}
