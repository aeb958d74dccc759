/**
 * Reads `.metadata` of a torch.distributed.checkpoint (DCP) folder: which tensors there are, in which boxes each was saved, and
 * where.
 *
 * Source: pytorch torch/distributed/checkpoint/metadata.py and filesystem.py, 2.1 to 2.13; the classes moved between modules, so
 * they are known by their names alone.
 */
import { VistaError } from "../../core/errors.js";
import { type DType, dtypeOfTorchName } from "../tensor/dtype.js";
import {
  asDict,
  asItems,
  asString,
  type PyDict,
  PyGlobal,
  PyObject,
  PyTuple,
  type PyValue,
} from "../torch/objects.js";
import { dimensions, isCount } from "../torch/values.js";

/** A box of a tensor, and the place where it was saved. */
export interface SavedBox extends Place {
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

export interface SavedTensor {
  /** The name that torch gives it: the path, joined by dots. */
  readonly name: string;
  /** The keys that led to it in the nested dict that was saved; one where that was flat. */
  readonly path: readonly string[];
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly boxes: readonly SavedBox[];
}

export interface DcpMetadata {
  /** The tensors, in the order of the metadata. */
  readonly tensors: readonly SavedTensor[];
  /** The paths of the entries that were saved as pickled objects: steps, schedulers, random states. */
  readonly objects: readonly string[];
}

/** The place where an item was saved. */
export interface Place {
  /** The file as the metadata names it, relative to the folder. */
  readonly file: string;
  /** The first byte of the item in the file; `length` is in bytes too. */
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads the tensors and objects of a checkpoint.
 * @param value  the unpickled `.metadata`
 * @throws VistaError `FORMAT` for what is no such metadata, `UNSUPPORTED` for compressed items and dtypes that are not known
 */
export function readMetadata(value: PyValue, path: string): DcpMetadata {
  const state = fields(value, "Metadata");
  const described = asDict(state?.get("state_dict_metadata"));
  if (described === undefined) throw broken(path, undefined, "it has no state_dict_metadata");
  const places = new Map(readItems(value, path).map((item) => [placeKey(item.name, item.box), item]));
  const paths = readPaths(asDict(state?.get("planner_data")));
  const tensors: SavedTensor[] = [];
  const objects: string[] = [];
  for (const [key, entry] of described) {
    const name = asString(key);
    if (name === undefined) throw broken(path, undefined, "a name in it is no text");
    const steps = paths.get(name) ?? [name];
    if (nameOf(entry) === "BytesStorageMetadata") {
      if (!places.has(placeKey(name, undefined))) throw broken(path, name, "nothing says where it was saved");
      objects.push(steps.join("."));
    } else tensors.push(readTensor(name, steps, entry, places, path));
  }
  return { tensors, objects };
}

/** An item that was saved: a box of a tensor or a pickled object. */
export interface SavedItem extends Place {
  readonly name: string;
  /** The first indices of the box; `undefined` for an object. */
  readonly box: readonly number[] | undefined;
}

/**
 * Returns everything that the metadata say was saved, whatever it is.
 * @throws VistaError as {@link readMetadata} does
 */
export function readItems(value: PyValue, path: string): SavedItem[] {
  const stored = asDict(fields(value, "Metadata")?.get("storage_data"));
  if (stored === undefined) throw broken(path, undefined, "it has no storage_data");
  return [...stored].map(([key, value]) => {
    const index = fields(key, "MetadataIndex");
    const info = fields(value, "_StorageInfo");
    const name = asString(index?.get("fqn"));
    const file = asString(info?.get("relative_path"));
    const offset = info?.get("offset");
    const length = info?.get("length");
    if (name === undefined || file === undefined || !isCount(offset) || !isCount(length))
      throw broken(path, name, "what says where it was saved is not complete");
    const transforms = info?.get("transform_descriptors");
    if (Array.isArray(transforms) ? transforms.length > 0 : (transforms ?? null) !== null) {
      const what = "it was saved through an extension (transform_descriptors), compressed say";
      throw new VistaError("UNSUPPORTED", what, {
        path,
        record: name,
        hint: "Save the checkpoint without extensions, or convert it with torch.",
      });
    }
    return { name, box: dimensions(index?.get("offset")), file, offset, length };
  });
}

/** Returns a key of the name and the first indices, which are also Torch's own key. */
function placeKey(name: string, offsets: readonly number[] | undefined): string {
  return `${name}\0${offsets === undefined ? "" : offsets.join(",")}`;
}

/** Reads `planner_data`, which has for the flat name of each entry its path in the nested dict, where keys may be integers. */
function readPaths(planner: PyDict | undefined): Map<string, string[]> {
  const paths = new Map<string, string[]>();
  for (const [name, steps] of planner ?? []) {
    const items = asItems(steps) ?? [];
    if (typeof name !== "string" || items.length === 0) continue;
    if (items.every((step) => typeof step === "string" || typeof step === "number"))
      paths.set(name, items.map(String));
  }
  return paths;
}

function readTensor(
  name: string,
  steps: readonly string[],
  entry: PyValue,
  places: ReadonlyMap<string, Place>,
  path: string,
): SavedTensor {
  const state = fields(entry, "TensorStorageMetadata");
  const shape = dimensions(state?.get("size"));
  const chunks = state?.get("chunks");
  if (shape === undefined || !Array.isArray(chunks))
    throw broken(path, name, "its entry is neither that of a tensor nor that of an object");
  const dtype = readDtype(state?.get("properties"), name, path);
  const boxes: SavedBox[] = [];
  const seen = new Set<string>();
  for (const chunk of chunks) {
    const box = fields(chunk, "ChunkStorageMetadata");
    const offsets = dimensions(box?.get("offsets"));
    const sizes = dimensions(box?.get("sizes"));
    if (offsets === undefined || sizes === undefined)
      throw broken(path, name, "one of its chunks has no box");
    // An uneven shard can be empty, and then nothing was saved for it; a replicated one can be listed by each rank.
    const id = `${offsets}|${sizes}`;
    if (sizes.includes(0) || seen.has(id)) continue;
    seen.add(id);
    const place = places.get(placeKey(name, offsets));
    if (place === undefined)
      throw broken(path, name, `nothing says where the chunk at [${offsets.join(", ")}] was saved`);
    const { file, offset, length } = place;
    boxes.push({ offsets, sizes, file, offset, length });
  }
  return { name, path: steps, dtype, shape, boxes };
}

/**
 * Reads the dtype from `TensorProperties`, which pickles as (dtype, layout, requires_grad, memory format, pin_memory), and before
 * torch 2.1 as fields.
 */
function readDtype(properties: PyValue | undefined, name: string, path: string): DType {
  const state = properties instanceof PyObject ? properties.state : undefined;
  const value = state instanceof PyTuple ? state.items[0] : asDict(state)?.get("dtype");
  const dtype =
    value instanceof PyGlobal && value.module === "torch" ? dtypeOfTorchName(value.qualname) : undefined;
  if (dtype !== undefined) return dtype;
  const shown = value instanceof PyGlobal ? value.id : "an unknown type";
  throw new VistaError("UNSUPPORTED", `a tensor of ${shown}`, {
    path,
    record: name,
    hint: "Convert it with torch (dequantize, another dtype) and save the checkpoint again.",
  });
}

/** Returns the state of an instance of a class of this name; `undefined` for anything else. */
function fields(value: PyValue | undefined, name: string): PyDict | undefined {
  return value instanceof PyObject && nameOf(value) === name ? asDict(value.state) : undefined;
}

function nameOf(value: PyValue): string | undefined {
  return value instanceof PyObject && value.callable instanceof PyGlobal
    ? value.callable.qualname
    : undefined;
}

function broken(path: string, name: string | undefined, what: string): VistaError {
  return new VistaError("FORMAT", `no metadata of torch.distributed.checkpoint that can be read: ${what}`, {
    path,
    record: name,
    hint: "The file is damaged or from a torch that is not known: copy the checkpoint again.",
  });
}
