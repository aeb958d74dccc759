/**
 * Opens every kind of input: torch files, safetensors, sharded ones of both, distributed checkpoints and ZeRO checkpoint folders.
 */
import { firstNames, fromReader, shorten, throwIfAborted, VistaError } from "../core/errors.js";
import { openAll } from "../core/io/open-all.js";
import { openSource } from "../core/io/open-source.js";
import { filesAtOnce } from "../core/io/places.js";
import { settleAll } from "../core/io/settle.js";
import type { SourceFile } from "../core/io/source.js";
import type { RunOptions } from "../core/progress.js";
import { sum } from "../core/sum.js";
import { Checkpoint, type Opened } from "./checkpoint.js";
import { findInput, notTaken } from "./find-input.js";
import { looksLikeSafetensors } from "./safetensors/form.js";
import { readShardIndex, type ShardIndex, type StatedShard, shardError } from "./shard-index.js";
import { StateDict, type Tensor } from "./tensor/tensor.js";
import type { OtherTensors } from "./torch/beside.js";
import type { TorchFile } from "./torch/file.js";
import { torchForm } from "./torch/form.js";
import { tensorsOf, type UnreadableTensor } from "./torch/named-tensors.js";
import { asDict, type PyDict } from "./torch/objects.js";
import { HEAD, otherFile } from "./torch/other-kinds.js";
import { readOpenTorchFile, wholeCrc32 } from "./torch/read.js";
import { type FoundStateDict, findStateDict } from "./torch/state-dicts.js";
import { namesOfOthers } from "./torch/values.js";
import { openZeroCheckpoint } from "./zero/open.js";

export interface OpenOptions extends RunOptions {
  /** The tag (sub-folder) of a ZeRO checkpoint; by default the one that `latest` names. */
  tag?: string | undefined;
  /** Whether tensors that a ZeRO checkpoint lists as frozen are left out; false by default. */
  excludeFrozen?: boolean | undefined;
  /**
   * The place of the state dict in a torch file (in a ZeRO checkpoint: in its model states), as keys joined by dots, or `.` for
   * the file itself; by default the usual place with the most tensors.
   */
  key?: string | undefined;
  /** Whether tensors that only torch can rebuild (sparse, quantised …) are refused, which is the default, or listed. */
  unreadable?: "refuse" | "list" | undefined;
  /** Whether orphans of a ZeRO checkpoint, tensors that only `module` has, are recovered; true by default. */
  recover?: boolean | undefined;
  /** Whether the CRC-32 of the pickles is checked; true by default. */
  verify?: boolean | undefined;
}

/**
 * Opens a checkpoint of any kind as a state dict; no weight is read. Its kind is told from its content, not from its name.
 *
 * @param path  a torch file (also Lightning's .ckpt), a safetensors file, a `*.index.json` or the folder with it, a folder of
 *   torch.distributed.checkpoint, a ZeRO checkpoint folder or a run folder with one below
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `FORMAT`, `AMBIGUOUS`, and what reading the files throws
 */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<Checkpoint> {
  return new Checkpoint(await openAny(path, options));
}

async function withBeside(opening: Promise<Opened>, beside: readonly string[]): Promise<Opened> {
  const opened = await opening;
  const taken = opened.state.files.map(({ path }) => path);
  const { left, warnings } = notTaken(beside, taken);
  const others = left.map((key) => ({ key, tensors: 0, model: true, file: true }) as const);
  return { ...opened, warnings: [...opened.warnings, ...warnings], others: [...opened.others, ...others] };
}

const NOTHING_ELSE = {
  leftOut: [],
  warnings: [],
  metadata: undefined,
  key: undefined,
  others: [],
  unreadable: [],
  torchFiles: [],
  zero: undefined,
  dcp: undefined,
  zeroContent: undefined,
};

async function openAny(path: string, options: OpenOptions): Promise<Opened> {
  throwIfAborted(options.signal);
  const { kind, place, what, beside } = await findInput(path);
  if (kind !== "zero") onlyForZero(path, what, options);
  if (kind === "file") return withBeside(openFile(place, options), beside);
  if (kind === "index") return { ...(await withBeside(openSharded(place, options), beside)), path };
  if (kind === "dcp") {
    const { openDcp } = await import("./dcp/open.js");
    const { state, info, leftOut, others, warnings } = await openDcp(place, options);
    return { ...NOTHING_ELSE, kind, path, state, leftOut, others, warnings, key: info.key, dcp: info };
  }
  const { state, info, torchFiles, content, unreadable, others } = await openZeroCheckpoint(path, options);
  return {
    ...NOTHING_ELSE,
    kind,
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

/** Refuses options that nothing would come of. @throws VistaError `USAGE` */
function onlyForZero(path: string, what: string, { tag, excludeFrozen, recover }: OpenOptions): void {
  const refuse = (option: string, why: string) => {
    throw new VistaError("USAGE", `${why} of a ZeRO checkpoint, and this is ${what}`, {
      path,
      hint: `Leave ${option} out.`,
    });
  };
  if (tag !== undefined) refuse("--tag", "a tag is a folder");
  if (excludeFrozen) refuse("--exclude-frozen", "what is frozen is said by the files");
  if (recover === false) refuse("--no-recover", "orphans are tensors");
}

/** Opens a single file. @param stated  what the index of its set says of the file */
async function openFile(path: string, options: OpenOptions, stated?: StatedShard): Promise<Opened> {
  const file = await openSource(path);
  try {
    if ((await detectFormat(file)) === "safetensors") {
      if (options.key !== undefined) throw noKeys(path, "a safetensors file");
      const { readSafetensors } = await import("./safetensors/read.js");
      const { state, metadata } = await readSafetensors(
        file,
        stated && { crc32: stated.crc32, mismatch: (found) => shardError(path, stated, found) },
      );
      return { ...NOTHING_ELSE, kind: "safetensors", path, state, metadata };
    }
    const torchFile = await readOpenTorchFile(file, { verify: options.verify });
    if (stated !== undefined && options.verify !== false) await checkShard(torchFile, stated);
    const { dict, key, others } = findWeights(torchFile, options.key);
    const unreadable: UnreadableTensor[] = [];
    const tensors = await tensorsOf(torchFile, dict, options.unreadable === "list" ? unreadable : undefined);
    const state = new StateDict(tensors, [file]);
    const top = asDict(torchFile.value);
    return {
      ...NOTHING_ELSE,
      kind: "torch",
      path,
      state,
      leftOut: namesOfOthers(dict),
      warnings: [...checkModule(path, top, dict, state), ...aboutOthers(others)],
      key,
      others,
      unreadable,
      torchFiles: [torchFile],
    };
  } catch (error) {
    await file.close();
    throw fromReader(error, path);
  }
}

/**
 * Checks that a torch file is the one for which its index was written. Its CRC-32 is computed from the checksums of its records,
 * which are themselves checked when they are read, and from the bytes between them.
 * @throws VistaError `INCONSISTENT`
 */
async function checkShard(torchFile: TorchFile, stated: StatedShard): Promise<void> {
  const found = await wholeCrc32(torchFile);
  if (found !== undefined && found !== stated.crc32) throw shardError(torchFile.file.path, stated, found);
}

/**
 * Tells the format of a file from its first bytes or, where they say nothing, from its name.
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

const GIVE_FOLDER = "Give the checkpoint folder (the one that holds `latest`).";

/**
 * Finds the state dict in a torch file.
 * @throws VistaError `WRONG_KIND` for an optimizer shard, and what {@link findStateDict} throws
 */
function findWeights(file: TorchFile, key: string | undefined): FoundStateDict {
  if (key === undefined && isOptimizerShard(asDict(file.value))) {
    const what = "one rank's optimizer shard: it has no names and only a part of the weights";
    throw new VistaError("WRONG_KIND", what, { path: file.file.path, hint: GIVE_FOLDER });
  }
  return findStateDict(file, key);
}

/**
 * Tells whether a file is an optimizer shard of DeepSpeed, which holds partitions: many training loops save an
 * `optimizer_state_dict` beside the model.
 */
function isOptimizerShard(top: PyDict | undefined): boolean {
  const optimizer = asDict(top?.get("optimizer_state_dict"));
  return (
    optimizer?.has("partition_count") === true || optimizer?.has("single_partition_of_fp32_groups") === true
  );
}

/**
 * Returns a warning about tensors of models that are left out. Those of an optimizer are not mentioned: everyone expects them
 * beside the model; numpy's arrays and extra states are among what is no tensor.
 */
function aboutOthers(others: readonly OtherTensors[]): string[] {
  const shown = others.filter(
    ({ model, key, numpy, extraState }) => (model && !numpy && !extraState) || key === ".",
  );
  if (shown.length === 0) return [];
  const named = shown.map(({ key, tensors }) =>
    key === "." ? `${tensors} beside the state dict` : `${tensors} under ${shorten(key, 80)}`,
  );
  return [`left out tensors that are not in the state dict: ${firstNames(named)} (--key takes another)`];
}

/**
 * Checks DeepSpeed's model states that are given as a file: what `module` holds is not always the weights.
 * @returns warnings
 * @throws VistaError `WRONG_KIND` for stage 3, where it holds placeholders
 */
function checkModule(path: string, top: PyDict | undefined, dict: PyDict, state: StateDict): string[] {
  if (top === undefined || dict !== asDict(top.get("module")) || (top.get("param_shapes") ?? null) === null)
    return [];
  const empty = [...state.tensors].filter(([, { numel }]) => numel === 0);
  if (empty.length > 0) {
    const placeholders = `${empty.length} of ${state.tensors.size} tensors are placeholders of size 0`;
    throw new VistaError("WRONG_KIND", `model states of ZeRO stage 3: ${placeholders}`, {
      path,
      hint: GIVE_FOLDER,
    });
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
  const shards = await openAll(
    [...index.shards],
    filesAtOnce(path),
    ([shard, place]) => openFile(place, options, index.stated.get(shard)),
    ({ state }) => state.close(),
    options,
  );
  try {
    const opened = new Map([...index.shards.keys()].map((shard, i) => [shard, shards[i]!]));
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
    const kinds = new Set(shards.map(({ kind }) => kind));
    if (kinds.size > 1)
      throw new VistaError("INCONSISTENT", "some shards are torch files, others safetensors", {
        path,
        hint: "The index names shards of two checkpoints: copy it again with its own shards.",
      });
    const files = shards.flatMap(({ state }) => state.files);
    const { warnings, extra } = notInIndex(index, opened);
    const { metadata, differing } = metadataOf(shards);
    const bytes = sum(tensors.values(), ({ byteLength }) => byteLength);
    // Of torch files it counts whole storages, which have more bytes than their tensors.
    if (kinds.has("safetensors") && bytes !== (index.totalSize ?? bytes))
      warnings.push(`the index says a total_size of ${index.totalSize} bytes, its tensors have ${bytes}`);
    return {
      ...NOTHING_ELSE,
      kind: kinds.has("torch") ? "torch-sharded" : "safetensors-sharded",
      path,
      state: new StateDict(tensors, files),
      leftOut: [...shards.flatMap((shard) => shard.leftOut), ...differing],
      warnings,
      metadata,
      others: [...shards.flatMap(({ others }) => others), ...extra],
      unreadable: shards.flatMap(({ unreadable }) => unreadable),
      torchFiles: shards.flatMap(({ torchFiles }) => torchFiles),
    };
  } catch (error) {
    await settleAll(shards.map(({ state }) => state.close()));
    throw fromReader(error, path);
  }
}

/** Returns the metadata that no two shards give in two ways, and the names of the others. */
function metadataOf(shards: readonly Opened[]): Pick<Opened, "metadata"> & { differing: string[] } {
  if (shards.every(({ metadata }) => metadata === undefined)) return { metadata: undefined, differing: [] };
  const all = shards.flatMap(({ metadata }) => [...(metadata ?? [])]);
  const metadata = new Map(all);
  const differing = new Set(all.filter(([key, value]) => metadata.get(key) !== value).map(([key]) => key));
  for (const key of differing) metadata.delete(key);
  return { metadata, differing: [...differing].map((key) => `__metadata__.${key}`) };
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
