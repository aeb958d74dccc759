/** Finds what is at a path by its names: an index of shards, a distributed checkpoint, one file of weights, a ZeRO checkpoint. */
import { cannot, firstNames, VistaError } from "../core/errors.js";
import type { Entry } from "../core/io/entries.js";
import { joinPlace, listFolder, lookAt, placeName, requirePath } from "../core/io/places.js";
import { findDcp } from "./dcp/find.js";
import { isModel } from "./torch/beside.js";
import { isCheckpointFolder, saysLatest } from "./zero/layout.js";

/** An input as its names tell it: `place` is the index, the file or the folder that holds the checkpoint. */
export interface FoundInput {
  readonly kind: "index" | "dcp" | "file" | "zero";
  readonly place: string;
  /** The words for it in messages. */
  readonly what: string;
  /** The names of files in the folder that may hold weights too, the shards of the index among them. */
  readonly beside: readonly string[];
}

/**
 * Finds the checkpoint at a path. What a folder holds is told from the names in it: an index of shards, a distributed checkpoint,
 * one file of weights, or else a ZeRO checkpoint, of which nothing is looked at here.
 * @throws VistaError `NOT_FOUND`, `AMBIGUOUS` for several indexes or files of weights
 */
export async function findInput(path: string): Promise<FoundInput> {
  requirePath(path);
  if (!(await lookAt(path)).isFolder) {
    return {
      kind: placeName(path).endsWith(".json") ? "index" : "file",
      place: path,
      what: "a file",
      beside: [],
    };
  }
  const entries = await listFolder(path).catch(cannot("list the folder", path));
  const names = entries.map(({ name }) => name);
  const index = saysLatest(names) ? undefined : findOne(path, entries, INDEX, "indexes");
  if (index !== undefined) return { kind: "index", what: "a folder with an index of shards", ...index };
  const dcp = await findDcp(path, names);
  const ofDcp = "a folder of torch.distributed.checkpoint";
  if (dcp !== undefined) return { kind: "dcp", place: dcp, what: ofDcp, beside: [] };
  const isZero = isCheckpointFolder(names);
  const file = isZero ? undefined : findOne(path, entries, WEIGHTS_FILE, "files of weights");
  if (file !== undefined) return { kind: "file", what: "a folder with one file of weights", ...file };
  return { kind: "zero", place: path, what: "a ZeRO checkpoint", beside: [] };
}

/**
 * The names that libraries (transformers, diffusers, peft, and zero_to_fp32.py) give the one file of a model, and those of a variant
 * of it (`model.fp16.safetensors`), which counts where the other is not there.
 */
const WEIGHTS_FILE = [
  /^(?:(?:diffusion_)?pytorch_model|model|adapter_model)\.(?:bin|safetensors)$/,
  /^(?:(?:diffusion_)?pytorch_model|model)\.\w+\.(?:bin|safetensors)$/,
];
/** The same of an index. */
const INDEX = [/\.index\.json$/, /\.index\.\w+\.json$/];

/** The endings of files of weights, and what beside a model's has one of them: optimizers and the like, settings, data loaders. */
const WEIGHTS = /\.(?:safetensors|bin|pth?|ckpt)$/i;
const NO_WEIGHTS = /training_args|sampler|dl_state|loader/i;

/**
 * Returns the files of weights in a folder that were not taken, and a warning about them.
 * @param beside  as {@link FoundInput} has it
 */
export function notTaken(beside: readonly string[], taken: readonly string[]) {
  const names = new Set(taken.map(placeName));
  const left = beside.filter((name) => !names.has(name));
  const warning = `left out other files in this folder that may hold weights: ${firstNames(left)} (give one of them)`;
  return { left, warnings: left.length === 0 ? [] : [warning] };
}

/**
 * Finds the one file in a folder whose name has the first of these forms that any has; returns `undefined` where there is none.
 * @throws VistaError `AMBIGUOUS` for several
 */
function findOne(
  folder: string,
  entries: readonly Entry[],
  patterns: readonly RegExp[],
  what: string,
): Pick<FoundInput, "place" | "beside"> | undefined {
  const names = entries.map(({ name }) => name);
  const found = patterns
    .map((pattern) => names.filter((name) => pattern.test(name)).sort())
    .find(({ length }) => length > 0);
  if (found === undefined) return undefined;
  if (found.length === 1) {
    const files = entries.filter(({ isFolder, name }) => !isFolder && WEIGHTS.test(name) && isModel(name));
    const beside = files.map(({ name }) => name).filter((name) => !NO_WEIGHTS.test(name));
    return { place: joinPlace(folder, found[0]!), beside: beside.sort() };
  }
  throw new VistaError("AMBIGUOUS", `${found.length} ${what} in this folder: ${found.join(", ")}`, {
    path: folder,
    hint: "Give one of them.",
  });
}
