/**
 * Opens a folder of torch.distributed.checkpoint (DCP) as a state dict: FSDP under Lightning, torchtitan, Cosmos. Torch's own
 * converter (`format_utils.dcp_to_torch`) holds the model in memory; here each tensor is a placement of boxes over the files.
 *
 * Source of the format: pytorch torch/distributed/checkpoint/filesystem.py. Each item of a `.distcp` file is a whole file of
 * torch.save, which for a tensor holds one box of it.
 */
import { basename } from "node:path";
import {
  type ErrorCode,
  firstNames,
  incompleteFile,
  isVistaError,
  messageWithin,
  throwIfAborted,
  VistaError,
  type Where,
} from "../../core/errors.js";
import { insideFolder } from "../../core/io/inside-folder.js";
import { mapOrdered } from "../../core/io/map-ordered.js";
import { openAll } from "../../core/io/open-all.js";
import { openSource, readSmallFile } from "../../core/io/open-source.js";
import { filesAtOnce, joinPlace } from "../../core/io/places.js";
import type { SourceFile } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";
import type { RunOptions } from "../../core/progress.js";
import { plural } from "../../core/text.js";
import { placeBoxes, showBox } from "../tensor/boxes.js";
import { type Box, isContiguous, StateDict, type Tensor } from "../tensor/tensor.js";
import { isExtraState, type OtherTensors } from "../torch/beside.js";
import type { PyValue } from "../torch/objects.js";
import { readPickle } from "../torch/pickle.js";
import { readTorchZip } from "../torch/read.js";
import { TorchTensor } from "../torch/values.js";
import { openTorchZip } from "../torch/zip.js";
import { DCP_METADATA, listSafetensorsShards } from "./find.js";
import {
  type Place,
  readItems,
  readMetadata,
  type SavedBox,
  type SavedItem,
  type SavedTensor,
} from "./metadata.js";
import { chooseTensors } from "./names.js";
import { openSafetensorsShards } from "./safetensors.js";

/**
 * The largest size of `.metadata` in bytes, which has some 200 bytes for each box. The limit of one pickle (`PICKLE_LIMITS.size`)
 * holds beside it.
 */
const MAX_METADATA = 1_000_000_000;

/** The number of items that are looked at side by side; each takes three small reads. */
const AT_ONCE = 16;

/** The facts of a DCP folder beside its tensors. */
export interface DcpInfo {
  /** The number of files that hold tensors. */
  readonly files: number;
  /** The number of boxes that were saved for the tensors. */
  readonly boxes: number;
  /** The entry of the saved dict whose tensors these are, such as `model`; `undefined` where they are at its top. */
  readonly key: string | undefined;
}

interface OpenDcpOptions extends RunOptions {
  /** The place of the tensors in the saved dict; by default its top or a usual key, whichever holds the most. */
  key?: string;
  /** Whether the CRC-32 of the small pickles in the items is checked; true by default. */
  verify?: boolean;
}

interface DcpCheckpoint {
  readonly state: StateDict;
  readonly info: DcpInfo;
  /** The paths of the pickled objects, which are no tensors. */
  readonly leftOut: readonly string[];
  /** The tensors of the saved dict that are not among these, counted by their entry. */
  readonly others: readonly OtherTensors[];
  readonly warnings: readonly string[];
}

/**
 * Opens a DCP folder; no weight is read. Close the state dict when done.
 *
 * @throws VistaError `NOT_FOUND` for a file that is not there, `FORMAT` for damaged metadata, boxes that overlap, leave their
 *   tensor or do not fill it, and items that are not what the metadata say; `UNSUPPORTED`, `AMBIGUOUS`, `TRUNCATED`, `ABORTED`
 */
export async function openDcp(folder: string, options: OpenDcpOptions = {}): Promise<DcpCheckpoint> {
  const shards = await listSafetensorsShards(folder);
  if (shards.length > 0) {
    const what = "--key names an entry of the saved dict, and the safetensors form has none";
    if (options.key !== undefined)
      throw new VistaError("USAGE", what, { path: folder, hint: "Leave --key out." });
    const { state, boxes, warnings } = await openSafetensorsShards(folder, shards, options);
    const info = { files: shards.length, boxes, key: undefined };
    return { state, info, leftOut: [], others: [], warnings };
  }
  const metadata = joinPlace(folder, DCP_METADATA);
  const { tensors: saved, objects } = readMetadata(await readPickleFile(metadata), metadata);
  const { chosen, key, leftOut, others } = chooseTensors(folder, saved, options.key);
  /** The name of a tensor in each file, for error messages. */
  const owners = new Map<string, string>();
  for (const { name, boxes } of chosen.values())
    for (const { file } of boxes) if (!owners.has(file)) owners.set(file, name);
  const opened = await openAll(
    [...owners],
    filesAtOnce(folder),
    ([file, owner]) => openData(folder, owner, file),
    (file) => file.close(),
    { signal: options.signal },
  );
  const files = new Map([...owners.keys()].map((file, i) => [file, opened[i]!]));
  try {
    const jobs = [...chosen.values()].flatMap((tensor) => tensor.boxes.map((box) => ({ tensor, box })));
    const boxesOf = new Map<SavedTensor, Box[]>([...chosen.values()].map((tensor) => [tensor, []]));
    let done = 0;
    const located = mapOrdered(jobs, AT_ONCE, async ({ tensor, box }) => {
      throwIfAborted(options.signal);
      return { tensor, box: await locate(files.get(box.file)!, tensor, box, options.verify ?? true) };
    });
    for await (const { tensor, box } of located) {
      boxesOf.get(tensor)!.push(box);
      options.onProgress?.({ phase: "open", done: ++done, total: jobs.length, unit: "boxes" });
    }
    const tensors = new Map<string, Tensor>();
    for (const [name, tensor] of chosen) {
      const where = { path: folder, record: tensor.name };
      tensors.set(name, placeBoxes(where, tensor.dtype, tensor.shape, boxesOf.get(tensor)!));
    }
    const elsewhere = `left out ${plural(leftOut.length, "tensor")}, found elsewhere in the saved dict: ${firstNames(leftOut)}`;
    return {
      state: new StateDict(tensors, opened),
      info: { files: files.size, boxes: jobs.length, key },
      leftOut: objects,
      others: [...others, ...objects.filter(isExtraState).map(extraState)],
      warnings: leftOut.length === 0 ? [] : [elsewhere],
    };
  } catch (error) {
    await Promise.allSettled(opened.map((file) => file.close()));
    throw error;
  }
}

function extraState(key: string): OtherTensors {
  return { key, tensors: 1, model: true, extraState: true };
}

async function readPickleFile(path: string): Promise<PyValue> {
  return readPickle(await readSmallFile(path, MAX_METADATA), { path }).value;
}

/** Returns the path of a data file. @throws VistaError `FORMAT` for a name that leads out of the folder */
function dataPath(folder: string, tensor: string, name: string): string {
  // Of dots and slashes alone, it is the folder itself or one above.
  const place = /[^./]/.test(name) ? insideFolder(folder, name) : undefined;
  if (place !== undefined) return place;
  throw new VistaError("FORMAT", `the metadata names a file outside its folder: ${JSON.stringify(name)}`, {
    path: joinPlace(folder, DCP_METADATA),
    record: tensor,
    hint: "Do not trust this checkpoint; its files lie beside the metadata.",
  });
}

async function openData(folder: string, tensor: string, name: string): Promise<SourceFile> {
  const place = dataPath(folder, tensor, name);
  return openSource(place).catch((error: unknown) => {
    if (!isVistaError(error) || error.code !== "NOT_FOUND") throw error;
    throw new VistaError("NOT_FOUND", `the metadata says that ${tensor} is in it, it is not there`, {
      path: place,
      hint: "Copy the files of all ranks into one folder.",
      cause: error,
    });
  });
}

/** Finds the elements of a box: the one record of the torch file at its place. */
async function locate(file: SourceFile, tensor: SavedTensor, box: SavedBox, verify: boolean): Promise<Box> {
  const where = { path: file.path, record: tensor.name, offset: box.offset };
  if (box.offset + box.length > file.size) {
    const what = `${showBox(box)} was saved up to byte ${box.offset + box.length}, the file has ${file.size} bytes`;
    throw incompleteFile(what, where);
  }
  const { zip, value } = await readItem(file, box, verify).catch((error: unknown) => {
    if (!isVistaError(error) || !DAMAGED.includes(error.code)) throw error;
    // What the item's own error says knows no more than the file.
    const what = `${showBox(box)}: ${messageWithin(error, { path: where.path })}`;
    throw new VistaError(error.code, what, { ...where, cause: error, hint: error.hint });
  });
  const { dtype, shape } = tensor;
  if (!(value instanceof TorchTensor)) throw another(where, box, "no tensor lies there");
  if (value.dtype !== dtype || value.shape.join() !== box.sizes.join()) {
    const found = `${value.dtype} tensor of shape [${value.shape.join(", ")}]`;
    throw another(where, box, `a ${found} lies there, not ${dtype} of [${box.sizes.join(", ")}]`);
  }
  if (shape.length !== box.sizes.length)
    throw another(where, box, `the tensor has ${shape.length} dimensions`);
  if (value.offset !== 0) throw another(where, box, "what lies there is a view of something else");
  const { offsets, sizes } = box;
  const record = await zip.record(`data/${value.storage.key}`);
  const region = { ...record, name: `${tensor.name}: ${showBox(box)}` };
  const found = { region, offsets, sizes };
  return isContiguous(sizes, value.strides) ? found : { ...found, strides: value.strides };
}

async function readItem(file: SourceFile, { offset, length }: Place, verify: boolean) {
  const zip = await openTorchZip(file, { start: offset, length });
  return { zip, value: (await readTorchZip(zip, { verify })).value };
}

const DAMAGED: readonly ErrorCode[] = [
  "FORMAT",
  "PICKLE",
  "WRONG_KIND",
  "CHECKSUM",
  "TRUNCATED",
  "UNSUPPORTED",
];

function another(where: Required<Where>, box: SavedBox, what: string): VistaError {
  return new VistaError("FORMAT", `${showBox(box)}: ${what}`, {
    ...where,
    hint: `${DCP_METADATA} and ${basename(where.path)} are of two checkpoints, or one is damaged: copy them again.`,
  });
}

/**
 * Lists everything that was saved, also what {@link openDcp} leaves out: for each data file its items in the order of their
 * bytes. Each item is a whole file of torch.save.
 * @throws VistaError as {@link openDcp} does for the metadata
 */
export async function listDcpItems(folder: string): Promise<Map<string, SavedItem[]>> {
  const path = joinPlace(folder, DCP_METADATA);
  const items = new Map<string, SavedItem[]>();
  for (const item of readItems(await readPickleFile(path), path))
    remember(items, dataPath(folder, item.name, item.file), () => []).push(item);
  for (const list of items.values()) list.sort((a, b) => a.offset - b.offset);
  return items;
}
