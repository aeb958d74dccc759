/**
 * Writes the values that an optimizer keeps beside its flat tensors as text, so that those of two ranks can be compared whatever they
 * are: numbers, lists of thousands of names, dicts, objects, tensors.
 */
import { oneLine, shorten } from "../../core/errors.js";
import { readTensor } from "../copy/read-tensor.js";
import { canCast } from "../tensor/cast.js";
import { castTensor } from "../tensor/tensor.js";
import type { TorchFile } from "../torch/file.js";
import { PyGlobal, PyLatin1, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { TorchTensor } from "../torch/values.js";
import { numberIn } from "./number-in.js";

/** The depth of lists, dicts and objects within one another. Real values have up to 4. */
const MAX_DEPTH = 50;
/** The characters of a value's text. Real ones have up to 200,000, where a group lists the names of its parameters. */
const MAX_LENGTH = 16 * 2 ** 20;
/** The values in a value. Real ones have up to 100,000, the names of parameters; a list of lists of one list may stand for any number. */
const MAX_VALUES = 1_000_000;
/** The bytes of a tensor that are read. Real ones have up to 8. */
const MAX_TENSOR = 2 ** 20;

/**
 * Returns a text that is the same for equal values of two files, and another one for others.
 * @returns `undefined` for a value that is nested too deep or too long, and for a tensor that cannot be read or is too large
 */
export async function valueText(value: PyValue | undefined, file: TorchFile): Promise<string | undefined> {
  const writer = new ValueWriter(file);
  return (await writer.write(value ?? null, 0)) ? writer.text : undefined;
}

class ValueWriter {
  text = "";
  #length = 0;
  #values = 0;

  constructor(private readonly file: TorchFile) {}

  /** Adds a value; returns false where it or the whole is beyond a bound. */
  async write(value: PyValue, depth: number): Promise<boolean> {
    if (depth > MAX_DEPTH || this.#length > MAX_LENGTH || ++this.#values > MAX_VALUES) return false;
    if (typeof value === "string") return this.#add(JSON.stringify(value));
    if (typeof value !== "object" || value === null) return this.#add(String(value));
    if (value instanceof TorchTensor) return this.#writeTensor(value);
    if (value instanceof PyGlobal) return this.#add(value.id);
    if (value instanceof PyLatin1) return this.#add(`b${JSON.stringify(value.text)}`);
    if (value instanceof Uint8Array) return this.#add(`bytes ${Buffer.from(value).toString("hex")}`);
    if (Array.isArray(value)) return this.#writeItems("[", value, "]", depth);
    if (value instanceof PyTuple) return this.#writeItems("[", value.items, "]", depth);
    if (value instanceof Set) return this.#writeSet(value, depth);
    if (value instanceof Map) {
      const entries = [...(value as ReadonlyMap<PyValue, PyValue>)].flat();
      return this.#writeItems("{", entries, "}", depth);
    }
    return value instanceof PyObject && (await this.#writeObject(value, depth));
  }

  async #writeObject(value: PyObject, depth: number): Promise<boolean> {
    const number = await numberIn(value, this.file);
    if (number !== undefined) return this.#add(String(number));
    const { callable, args, kwargs, state, listItems, dictItems } = value;
    const parts = [callable, args, kwargs, state, listItems, dictItems].map((part) => part ?? null);
    return this.#writeItems("<", parts, ">", depth);
  }

  async #writeItems(open: string, items: readonly PyValue[], close: string, depth: number): Promise<boolean> {
    this.#add(open);
    for (const [i, item] of items.entries()) {
      if (i > 0) this.#add(", ");
      if (!(await this.write(item, depth + 1))) return false;
    }
    return this.#add(close);
  }

  /** Adds a set in an order of its own: Python's differs from process to process. */
  async #writeSet(items: ReadonlySet<PyValue>, depth: number): Promise<boolean> {
    const before = this.text;
    const texts: string[] = [];
    for (const item of items) {
      this.text = "";
      if (!(await this.write(item, depth + 1))) return false;
      texts.push(this.text);
    }
    this.text = before;
    return this.#add(`{${texts.sort().join(", ")}}`);
  }

  /** Adds a tensor's dtype and content, and the value of one element. */
  async #writeTensor(description: TorchTensor): Promise<boolean> {
    const tensor = await this.file.tensor(description);
    if (tensor.byteLength > MAX_TENSOR) return false;
    const bytes = await readTensor(tensor);
    const hex = await hexOf(bytes);
    if (tensor.numel !== 1) return this.#add(`${tensor.dtype} [${tensor.shape.join(", ")}] (${hex})`);
    if (!canCast(tensor.dtype, "F32")) return this.#add(`${tensor.dtype} (bytes ${hex})`);
    const float = await readTensor(castTensor(tensor, "F32"));
    const shown = new DataView(float.buffer, float.byteOffset).getFloat32(0, true);
    return this.#add(`${tensor.dtype} ${shown} (bytes ${hex})`);
  }

  #add(text: string): true {
    this.text += text;
    this.#length += text.length;
    return true;
  }
}

/** Returns bytes in hexadecimal digits; of more than 16, those of their digest. */
async function hexOf(bytes: Uint8Array): Promise<string> {
  if (bytes.byteLength <= 16) return Buffer.from(bytes).toString("hex");
  // Node takes 4 ms to load it, and hardly any optimizer has such a tensor.
  const { createHash } = await import("node:crypto");
  return createHash("sha256").update(bytes).digest("hex");
}

/** The characters of a value that a message shows. */
const MAX_SHOWN = 100;

/** Returns what a message shows of two texts that differ: their beginnings or, of long ones, the part where they begin to differ. */
export function shownApart(a: string, b: string): [string, string] {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  const from = at < MAX_SHOWN / 2 ? 0 : at - MAX_SHOWN / 4;
  const shown = (text: string) => oneLine(shorten((from > 0 ? "…" : "") + text.slice(from), MAX_SHOWN));
  return [shown(a), shown(b)];
}
