/** One door for every input: torch files, safetensors, sharded ones of both, ZeRO checkpoint folders. */
import { cannot, firstNames, fromReader, shorten, throwIfAborted, VistaError } from "../core/errors.js";
import { mapOrdered } from "../core/io/map-ordered.js";
import { openSource } from "../core/io/open-source.js";
import { filesAtOnce, joinPlace, listFolder, lookAt, placeName } from "../core/io/places.js";
import { settleAll } from "../core/io/settle.js";
import type { SourceFile } from "../core/io/source.js";
import type { RunOptions } from "../core/progress.js";
import { Checkpoint, type Opened } from "./checkpoint.js";
import { findDcp, openDcp } from "./dcp/open.js";
import { looksLikeSafetensors, openSafetensors } from "./safetensors/read.js";
import { readShardIndex, type ShardIndex, type StatedShard, shardError } from "./shard-index.js";
import { StateDict, type Tensor } from "./tensor/tensor.js";
import type { TorchFile } from "./torch/file.js";
import { torchForm } from "./torch/form.js";
import { asDict, keyText, type PyDict } from "./torch/objects.js";
import { tensorsOf, type UnreadableTensor } from "./torch/open.js";
import { HEAD, otherFile } from "./torch/other-kinds.js";
import { readTorchFile, wholeCrc32 } from "./torch/read.js";
import { type FoundStateDict, findStateDict, type OtherTensors } from "./torch/state-dicts.js";
import { TorchTensor, unsupportedTensor } from "./torch/values.js";
import { isCheckpointFile, saysLatest } from "./zero/layout.js";
import { openZeroCheckpoint } from "./zero/open.js";

export interface OpenOptions extends RunOptions {
  /** For a ZeRO checkpoint: the tag (sub-folder); default: what `latest` says. */
  tag?: string;
  /** For a ZeRO checkpoint: leave out what it lists as frozen. Default false. */
  excludeFrozen?: boolean;
  /**
   * Where the state dict is in a torch file (in a ZeRO checkpoint: in its model states): keys joined by dots, `.` for the file
   * itself. Default: the usual place with the most tensors.
   */
  key?: string;
  /** What is done with tensors that only torch can rebuild (sparse, quantised …). Default `refuse`. */
  unreadable?: "refuse" | "list";
  /** For a ZeRO checkpoint: recover orphans, tensors that only `module` has. Default true. */
  recover?: boolean;
  /** Check the CRC-32 of the pickles. Default true. */
  verify?: boolean;
}

/**
 * Opens a checkpoint of any kind as a state dict; no weight is read. What it is, is seen from its content, not its name.
 *
 * @param path  a torch file (also Lightning's .ckpt), a safetensors file, a `*.index.json` or the folder with it, a ZeRO
 *   checkpoint folder or a run folder with one below
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `FORMAT`, `AMBIGUOUS`, and what reading the files throws
 */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<Checkpoint> {
  return new Checkpoint(await openAny(path, options));
}

async function openAny(path: string, options: OpenOptions): Promise<Opened> {
  if ((await lookAt(path)).isFolder) return openFolder(path, options);
  if (options.tag !== undefined) {
    throw new VistaError("USAGE", "a tag is a folder of a ZeRO checkpoint, and this is a file", { path });
  }
  if (placeName(path).endsWith(".json")) return openSharded(path, options);
  return openFile(path, options);
}

const NOTHING_ELSE = {
  leftOut: [],
  warnings: [],
  metadata: undefined,
  key: undefined,
  others: [],
  unreadable: [],
  torchFiles: [],
  index: undefined,
  dcp: undefined,
  zeroContent: undefined,
};

async function openFolder(path: string, options: OpenOptions): Promise<Opened> {
  const index = await findIndex(path);
  if (index !== undefined) return { ...(await openSharded(index, options)), path };
  const dcp = await findDcp(path);
  if (dcp !== undefined) {
    const { state, info, leftOut, others, warnings } = await openDcp(dcp, options);
    const own = { kind: "dcp", path, state, leftOut, others, warnings, key: info.key, dcp: info } as const;
    return { ...NOTHING_ELSE, ...own, zero: undefined };
  }
  const file = await findWeightsFile(path);
  if (file !== undefined) return openFile(file, options);
  const { state, info, torchFiles, content, unreadable, others } = await openZeroCheckpoint(path, options);
  return {
    ...NOTHING_ELSE,
    kind: "zero",
    path,
    state,
    warnings: [...info.warnings, ...aboutOthers(others)],
    others,
    unreadable,
    torchFiles,
    zero: info,
    zeroContent: content,
  };
}

/**
 * The index in a folder of shards; `undefined` where there is none, and in a ZeRO checkpoint folder.
 * @throws VistaError `AMBIGUOUS` for several
 */
export function findIndex(folder: string): Promise<string | undefined> {
  return findOne(folder, /\.index\.json$/, "indexes", saysLatest);
}

/** What libraries call the one file of a model: transformers, diffusers, peft, and zero_to_fp32.py. */
const WEIGHTS_FILE = /^(?:(?:diffusion_)?pytorch_model|model|adapter_model)\.(?:bin|safetensors)$/;

/**
 * The one file with a model's weights in a folder; `undefined` where there is none, and in a ZeRO checkpoint folder.
 * @throws VistaError `AMBIGUOUS` for several
 */
export function findWeightsFile(folder: string): Promise<string | undefined> {
  const isZero = (names: readonly string[]) => saysLatest(names) || names.some(isCheckpointFile);
  return findOne(folder, WEIGHTS_FILE, "files of weights", isZero);
}

async function findOne(
  folder: string,
  pattern: RegExp,
  what: string,
  isZero: (names: readonly string[]) => boolean,
): Promise<string | undefined> {
  const entries = await listFolder(folder).catch(cannot("list the folder", folder));
  const names = entries.map(({ name }) => name);
  const found = names.filter((name) => pattern.test(name)).sort();
  if (found.length === 0 || isZero(names)) return undefined;
  if (found.length === 1) return joinPlace(folder, found[0]!);
  throw new VistaError("AMBIGUOUS", `${found.length} ${what} in this folder: ${found.join(", ")}`, {
    path: folder,
    hint: "Give one of them.",
  });
}

/** @param stated  what the index of its set says of it */
async function openFile(path: string, options: OpenOptions, stated?: StatedShard): Promise<Opened> {
  const zero = undefined;
  if (await isSafetensors(path)) {
    if (options.key !== undefined) throw noKeys(path, "a safetensors file");
    const { state, metadata } = await openSafetensors(
      path,
      stated && { crc32: stated.crc32, mismatch: (found) => shardError(path, stated, found) },
    );
    return { ...NOTHING_ELSE, kind: "safetensors", path, state, metadata, zero };
  }
  const torchFile = await readTorchFile(path, { verify: options.verify ?? true });
  try {
    if (stated !== undefined && options.verify !== false) await checkShard(torchFile, stated);
    const { dict, key, others } = findWeights(torchFile, options.key);
    const unreadable: UnreadableTensor[] = [];
    const tensors = await tensorsOf(torchFile, dict, options.unreadable === "list" ? unreadable : undefined);
    const state = new StateDict(tensors, [torchFile.file]);
    const top = asDict(torchFile.value);
    const leftOut = [...dict]
      .filter(([, value]) => !(value instanceof TorchTensor) && unsupportedTensor(value) === undefined)
      .map(([name]) => keyText(name));
    return {
      ...NOTHING_ELSE,
      kind: "torch",
      path,
      state,
      leftOut,
      warnings: [...checkModule(path, top, dict, state), ...aboutOthers(others)],
      key,
      others,
      unreadable,
      torchFiles: [torchFile],
      zero,
    };
  } catch (error) {
    await torchFile.file.close();
    throw fromReader(error, path);
  }
}

/**
 * Whether a torch file is the one that its index was written for, from the checksums of its records and from what is between
 * them: the records are compared with theirs when they are read.
 */
async function checkShard(torchFile: TorchFile, stated: StatedShard): Promise<void> {
  const found = await wholeCrc32(torchFile);
  if (found !== undefined && found !== stated.crc32) throw shardError(torchFile.file.path, stated, found);
}

async function isSafetensors(path: string): Promise<boolean> {
  const file = await openSource(path);
  try {
    return (await detectFormat(file)) === "safetensors";
  } finally {
    await file.close();
  }
}

/**
 * What a file begins like; where that says nothing, what it is called like.
 * @throws VistaError `WRONG_KIND` for a file that is called safetensors and begins like something else
 */
export async function detectFormat(file: SourceFile): Promise<"zip" | "legacy" | "safetensors" | "unknown"> {
  const head = Buffer.alloc(Math.min(16, file.size));
  await file.read(head, 0);
  const form = torchForm(head);
  if (form === "zip") return form;
  if (looksLikeSafetensors(head)) return "safetensors";
  if (form !== undefined) return form;
  if (!file.path.toLowerCase().endsWith(".safetensors")) return "unknown";
  const more = Buffer.alloc(Math.min(HEAD, file.size));
  await file.read(more, 0);
  const other = otherFile(file.path, more, "a safetensors file");
  if (other !== undefined) throw other;
  return "safetensors";
}

/** @throws VistaError `WRONG_KIND` for an optimizer shard, and what {@link findStateDict} throws */
function findWeights(file: TorchFile, key: string | undefined): FoundStateDict {
  if (key === undefined && isOptimizerShard(asDict(file.value))) {
    throw new VistaError(
      "WRONG_KIND",
      "one rank's optimizer shard: it has no names and only a part of the weights",
      {
        path: file.file.path,
        hint: "Give the checkpoint folder (the one that holds `latest`).",
      },
    );
  }
  return findStateDict(file, key);
}

/** Many training loops save an `optimizer_state_dict` beside the model; a shard of DeepSpeed has partitions in it. */
function isOptimizerShard(top: PyDict | undefined): boolean {
  const optimizer = asDict(top?.get("optimizer_state_dict"));
  return (
    optimizer?.has("partition_count") === true || optimizer?.has("single_partition_of_fp32_groups") === true
  );
}

/** Tensors of models that were left out are said; an optimizer's are where everyone expects them. */
function aboutOthers(others: readonly OtherTensors[]): string[] {
  const shown = others.filter(({ model, key }) => model || key === ".");
  if (shown.length === 0) return [];
  const named = shown.map(({ key, tensors }) =>
    key === "." ? `${tensors} beside the state dict` : `${tensors} under ${shorten(key, 80)}`,
  );
  return [`left out tensors that are not in the state dict: ${firstNames(named)} (--key takes another)`];
}

/**
 * DeepSpeed's model states given as a file: what `module` holds is not always the weights.
 * @throws VistaError `WRONG_KIND` for stage 3, where it holds placeholders
 */
function checkModule(path: string, top: PyDict | undefined, dict: PyDict, state: StateDict): string[] {
  if (top === undefined || dict !== asDict(top.get("module")) || !top.has("param_shapes")) return [];
  if (top.get("param_shapes") === null) return [];
  const empty = [...state.tensors].filter(([, { numel }]) => numel === 0);
  if (empty.length > 0) {
    throw new VistaError(
      "WRONG_KIND",
      `model states of ZeRO stage 3: ${empty.length} of ${state.tensors.size} tensors are placeholders of size 0`,
      { path, hint: "Give the checkpoint folder (the one that holds `latest`)." },
    );
  }
  return [
    "these are DeepSpeed's model states, whose weights may be 16-bit copies; the checkpoint folder has the fp32 weights",
  ];
}

function noKeys(path: string, what: string): VistaError {
  return new VistaError("USAGE", `--key names a place in a torch file, and this is ${what}`, {
    path,
    hint: "Leave --key out.",
  });
}

async function openSharded(path: string, options: OpenOptions): Promise<Opened> {
  if (options.key !== undefined) throw noKeys(path, "an index of shards");
  const index = await readShardIndex(path);
  const opened = new Map<string, Opened>();
  /** Those whose turn has not come as well. */
  const all: Opened[] = [];
  try {
    const opening = mapOrdered(index.shards, filesAtOnce(path), async ([shard, place]) => {
      throwIfAborted(options.signal);
      const one = await openFile(place, options, index.stated.get(shard));
      all.push(one);
      return { shard, one };
    });
    for await (const { shard, one } of opening) {
      opened.set(shard, one);
      options.onProgress?.({ phase: "open", done: opened.size, total: index.shards.size, unit: "files" });
    }
    const tensors = new Map<string, Tensor>();
    for (const [name, shard] of index.weightMap) {
      const tensor = opened.get(shard)!.state.tensors.get(name);
      if (tensor === undefined) {
        throw new VistaError("INCONSISTENT", `the index says that ${name} is in it, it is not`, {
          path: index.shards.get(shard)!,
          hint: "The index and the shards are of two checkpoints: copy them again.",
        });
      }
      tensors.set(name, tensor);
    }
    const shards = [...opened.values()];
    const kinds = new Set(shards.map(({ kind }) => kind));
    if (kinds.size > 1)
      throw new VistaError("INCONSISTENT", "some shards are torch files, others safetensors", { path });
    const torchFiles = shards.flatMap((shard) => shard.torchFiles);
    const { warnings, extra } = notInIndex(index, opened);
    return {
      kind: kinds.has("torch") ? "torch-sharded" : "safetensors-sharded",
      path,
      state: new StateDict(
        tensors,
        shards.flatMap(({ state }) => state.files),
      ),
      leftOut: shards.flatMap((shard) => shard.leftOut),
      warnings,
      metadata: shards[0]!.metadata,
      key: undefined,
      others: [...shards.flatMap(({ others }) => others), ...extra],
      unreadable: shards.flatMap(({ unreadable }) => unreadable),
      torchFiles,
      index,
      zero: undefined,
      dcp: undefined,
      zeroContent: undefined,
    };
  } catch (error) {
    await settleAll(all.map(({ state }) => state.close()));
    throw fromReader(error, path);
  }
}

function notInIndex(
  index: ShardIndex,
  opened: ReadonlyMap<string, Opened>,
): { warnings: string[]; extra: OtherTensors[] } {
  const warnings: string[] = [];
  const tensors: OtherTensors[] = [];
  for (const [shard, { state }] of opened) {
    const extra = [...state.tensors.keys()].filter((name) => index.weightMap.get(name) !== shard);
    if (extra.length > 0) {
      warnings.push(
        `left out ${extra.length} tensors of ${shard} that the index does not place there: ${extra.slice(0, 3).join(", ")}`,
      );
      tensors.push({ key: shard, tensors: extra.length, model: true });
    }
  }
  return { warnings, extra: tensors };
}
