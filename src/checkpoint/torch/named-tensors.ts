/** Finds the tensors of a torch file by name, and says what keeps a tensor from being read or a key from being a name. */
import { isVistaError, shorten, VistaError } from "../../core/errors.js";
import { LONE_SURROGATE } from "../../core/text.js";
import type { Tensor } from "../tensor/tensor.js";
import type { TorchFile } from "./file.js";
import { keyText, type PyDict, PyFloat, type PyValue } from "./objects.js";
import { tensorsAt } from "./read.js";
import { walk } from "./storages.js";
import { TorchTensor, TorchUnreadable, unsupportedTensor } from "./values.js";

/** A tensor that is in the file and cannot be read here. */
export interface UnreadableTensor {
  readonly name: string;
  /** The reason as a noun, such as `a sparse tensor of shape [2, 3]`. */
  readonly what: string;
  /** Whether the key is a name; false where it is the key that is wrong: no text, or the same text twice. */
  readonly isName: boolean;
}

/** Returns the tensors of a dict by name. @throws what {@link describedTensors} throws */
export async function tensorsOf(
  file: TorchFile,
  dict: PyDict,
  unreadable?: UnreadableTensor[],
): Promise<Map<string, Tensor>> {
  const floats = await floatKeys(file, dict);
  const descriptions = describedTensors(dict, { path: file.file.path }, unreadable, floats);
  const tensors = await tensorsAt(file, descriptions.values());
  return new Map([...descriptions.keys()].map((name, i) => [name, tensors[i]!]));
}

/**
 * Returns those whole numbers among the keys of a file's dicts that are floats: Python calls them `1.0`, here they read as 1, and
 * only an exact reading tells the two apart. There are none for a dict without numbers as keys, as nearly all are.
 */
async function floatKeys(file: TorchFile, dict: PyDict): Promise<ReadonlySet<number>> {
  const floats = new Set<number>();
  if (![...dict.keys()].some((key) => typeof key === "number")) return floats;
  const exact = await file.exact().catch((error: unknown) => {
    // It holds something that nothing could write again, so its keys are taken as they read.
    if (isVistaError(error)) return undefined;
    throw error;
  });
  if (exact === undefined) return floats;
  walk(exact.value, (value) => {
    const keys = value instanceof Map ? (value as PyDict).keys() : [];
    for (const key of keys) if (key instanceof PyFloat) floats.add(key.value);
  });
  return floats;
}

/**
 * Returns the tensors of a dict by name, as descriptions.
 *
 * @param where  the file, and the record that the dict is
 * @param unreadable  if given, receives tensors that only torch can rebuild and those whose key is no name, which are otherwise
 *   refused
 * @param floats  keys that are no integers, although they read so
 * @throws VistaError `UNSUPPORTED` for a tensor that only torch can rebuild, `FORMAT` for one whose key is no name
 */
export function describedTensors(
  dict: PyDict,
  where: { readonly path: string; readonly record?: string },
  unreadable?: UnreadableTensor[],
  floats: ReadonlySet<number> = new Set(),
): Map<string, TorchTensor> {
  const descriptions = new Map<string, TorchTensor>();
  for (const [key, value] of dict) {
    const readable = value instanceof TorchTensor;
    const what = readable ? undefined : unsupportedTensor(value);
    if (!readable && what === undefined) continue;
    const wrong = nameProblem(key, descriptions, floats);
    if (readable && wrong === undefined) {
      descriptions.set(String(key), value);
      continue;
    }
    const name = shorten(keyText(key), 200);
    if (unreadable === undefined)
      throw unreadableError({ name, what: what ?? wrong!, isName: what !== undefined }, where);
    const shape = value instanceof TorchUnreadable ? value.shape : undefined;
    const ofShape = shape === undefined ? "" : ` of shape [${shape.join(", ")}]`;
    unreadable.push({ name, what: `${what ?? wrong}${ofShape}`, isName: what !== undefined });
  }
  return descriptions;
}

export function unreadableError(
  { name, what, isName }: UnreadableTensor,
  where: { readonly path: string; readonly record?: string },
): VistaError {
  const place = { path: where.path, record: where.record === undefined ? name : `${where.record}.${name}` };
  return isName
    ? new VistaError("UNSUPPORTED", `a tensor that only torch can rebuild (${what})`, {
        ...place,
        hint: "Make an ordinary tensor of it (to_dense, dequantize, resolve_conj, another dtype) and save it again with torch.",
      })
    : new VistaError("FORMAT", `a tensor whose key is no name: ${what}`, {
        ...place,
        hint: "Save it with text for names.",
      });
}

/** Tells what keeps a key from being the name of a tensor; integers are names where no other key reads the same. */
function nameProblem(
  key: PyValue,
  taken: ReadonlyMap<string, unknown>,
  floats: ReadonlySet<number>,
): string | undefined {
  if (typeof key !== "string" && typeof key !== "number" && typeof key !== "bigint")
    return `${keyText(key)} is no text`;
  const name = String(key);
  if (taken.has(name)) return `${JSON.stringify(name)} is there twice, as text and as a number`;
  if (typeof key === "number" && !Number.isInteger(key)) return `${name} is no text`;
  if (typeof key === "number" && floats.has(key)) return `${name}.0 is no text`;
  return LONE_SURROGATE.test(name)
    ? "text with a lone surrogate, which no file of weights can hold"
    : undefined;
}
