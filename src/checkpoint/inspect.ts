/** Describes what a checkpoint is and what is in it, without reading a weight. */
import { isVistaError } from "../core/errors.js";
import { isFile } from "../core/io/places.js";
import { remember } from "../core/maps.js";
import type { RunOptions } from "../core/progress.js";
import type { Checkpoint, CheckpointKind } from "./checkpoint.js";
import { openCheckpoint } from "./open.js";
import type { DType } from "./tensor/dtype.js";
import { type StateDict, sharedNames, type Tensor } from "./tensor/tensor.js";
import type { OtherTensors } from "./torch/beside.js";
import type { TorchFile } from "./torch/file.js";
import { isKnownGlobal, unknownGlobals } from "./torch/known-globals.js";
import type { UnreadableTensor } from "./torch/named-tensors.js";
import { asDict, asInteger, asString, type PyValue } from "./torch/objects.js";
import { readTorchFile } from "./torch/read.js";
import { storagesIn, walk } from "./torch/storages.js";
import { unsupportedTensor } from "./torch/values.js";
import { isEmaCounter, isShadow, parametersByShadow } from "./vista/ema.js";
import { adapterNames, type MergedAdapter } from "./vista/lora.js";
import { PREFIX } from "./vista/prefix.js";
import { planOptimizer } from "./zero/optimizer.js";
import { type OptimizerSummary, summarizeOptimizer } from "./zero/optimizer-summary.js";
import type { GroupSizes } from "./zero/trained.js";

export type TensorTag = "lora" | "ema" | "frozen" | "shared" | "orphan";

export interface InspectedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly bytes: number;
  readonly tags: readonly TensorTag[];
}

export interface Inspection {
  readonly path: string;
  /**
   * The kind of the checkpoint. `torch-other` is a torch file without a state dict, whose tensors are named by their place in the
   * pickle.
   */
  readonly kind: CheckpointKind | "torch-other";
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly deepspeed: string | undefined;
  readonly lightning: string | undefined;
  readonly step: number | undefined;
  readonly epoch: number | undefined;
  /** The facts of a ZeRO checkpoint; `undefined` for other kinds. */
  readonly zero:
    | {
        readonly folder: string;
        readonly tag: string;
        readonly stage: number;
        readonly ranks: number;
        /** Whether it is a universal checkpoint. */
        readonly universal: boolean;
        readonly groups: readonly GroupSizes[];
        readonly buffers: number;
        /** A summary of the states beside the weights; `undefined` without ZeRO and for a universal checkpoint. */
        readonly optimizer: OptimizerSummary | undefined;
      }
    | undefined;
  /** The keys, joined by dots, of the state dict in a torch file; `undefined` where the file itself is one. */
  readonly key: string | undefined;
  readonly metadata: Readonly<Record<string, string>> | undefined;
  readonly tensors: readonly InspectedTensor[];
  /** The number of elements; shared tensors count once, here and in the bytes. */
  readonly elements: number;
  readonly bytes: number;
  readonly dtypes: Readonly<Partial<Record<DType, { tensors: number; elements: number; bytes: number }>>>;
  /** The number of names with `_forward_module.`. */
  readonly prefixed: number;
  /**
   * The names of each down adapter with its up adapter and base; `missing` holds those of the other two that the checkpoint
   * lacks.
   */
  readonly lora: readonly (MergedAdapter & { readonly missing: readonly string[] })[];
  /** The number of EMA shadows, and the names of those without a parameter. */
  readonly ema: { readonly shadows: number; readonly unmatched: readonly string[] };
  readonly frozen: readonly string[];
  /** The aliases, each with the name whose tensor it shares. */
  readonly shared: readonly (readonly [alias: string, source: string])[];
  /** The names of tensors that only `module` has. */
  readonly orphans: readonly string[];
  /** The names in the input that are no tensors. */
  readonly leftOut: readonly string[];
  /** The tensors that only torch can rebuild, with what they are. */
  readonly unreadable: readonly UnreadableTensor[];
  /** The tensors of a torch file that are not in its state dict, counted by key. */
  readonly others: readonly OtherTensors[];
  /** The names of all globals that the pickles mention, by whether they are known. */
  readonly globals: { readonly known: readonly string[]; readonly unknown: readonly string[] };
  readonly warnings: readonly string[];
}

export interface InspectOptions extends RunOptions {
  /** The tag (sub-folder) of a ZeRO checkpoint; by default the one that `latest` names. */
  tag?: string | undefined;
  /** The keys of the state dict in a torch file, joined by dots; see `OpenOptions`. */
  key?: string | undefined;
}

/**
 * Describes a checkpoint of any kind, also a torch file without a state dict.
 * @throws VistaError what {@link openCheckpoint} throws
 */
export async function inspectCheckpoint(path: string, options: InspectOptions = {}): Promise<Inspection> {
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(path, { ...options, unreadable: "list" });
  } catch (error) {
    const codes: readonly string[] = ["WRONG_KIND", "FORMAT", "AMBIGUOUS"];
    const other = isVistaError(error) && options.key === undefined && codes.includes(error.code);
    if (!other || !(await isFile(path))) throw error;
    return inspectOther(path, error);
  }
  try {
    const { state } = checkpoint;
    const files = state.files.map(({ path, size }) => ({ path, bytes: size }));
    const { optimizer, warnings } = await optimizerOf(checkpoint);
    return await describe({ ...checkpoint, warnings, state: state.tensors, files, optimizer });
  } finally {
    await checkpoint.state.close();
  }
}

/** Summarizes the optimizer. One that cannot be resharded is only a warning, since the weights are there. */
async function optimizerOf({ zeroContent, zero, warnings }: Checkpoint) {
  if (zeroContent === undefined || zeroContent.shards.length === 0 || zero === undefined) return { warnings };
  try {
    return { warnings, optimizer: await summarizeOptimizer(await planOptimizer(zeroContent)) };
  } catch (error) {
    if (!isVistaError(error)) throw error;
    return { warnings: [...warnings, `the optimizer is not shown: ${error.message}`] };
  }
}

/**
 * Describes a torch file without weights by name, such as an optimizer shard.
 * @throws the error that opening it gave, where it is no torch file
 */
async function inspectOther(path: string, reason: unknown): Promise<Inspection> {
  const torchFile = await readTorchFile(path).catch(() => {
    throw reason;
  });
  try {
    const tensors = new Map<string, Tensor>();
    for (const [description, place] of storagesIn(torchFile.value, path).tensors) {
      tensors.set(place, await torchFile.tensor(description));
    }
    return await describe({
      kind: "torch-other",
      path,
      state: tensors,
      warnings:
        isVistaError(reason) && ["AMBIGUOUS", "WRONG_KIND"].includes(reason.code) ? [reason.message] : [],
      unreadable: unreadableIn(torchFile.value, path),
      torchFiles: [torchFile],
      files: [{ path: torchFile.file.path, bytes: torchFile.file.size }],
    });
  } finally {
    await torchFile.file.close();
  }
}

/** A checkpoint of any kind, or a torch file without a state dict, which has less to tell. */
interface Described
  extends Pick<Checkpoint, "path" | "unreadable" | "warnings" | "torchFiles">,
    Partial<Pick<Checkpoint, "leftOut" | "others" | "metadata" | "key" | "zero">> {
  readonly kind: Inspection["kind"];
  readonly state: StateDict["tensors"];
  readonly files: Inspection["files"];
  readonly optimizer?: OptimizerSummary | undefined;
}

async function describe(checkpoint: Described): Promise<Inspection> {
  const { path, kind, state, leftOut = [], unreadable, others = [], warnings } = checkpoint;
  const { metadata, key, torchFiles, zero, files } = checkpoint;
  const shared = sharedNames(state);
  const { frozen, recovered: orphans } = zero ?? { frozen: [], recovered: [] };
  const tags = tagger({ frozen, orphans, shared });
  const tensors = [...state].map(([name, { dtype, shape, numel, byteLength }]) => {
    return { name, dtype, shape, elements: numel, bytes: byteLength, tags: tags(name) };
  });
  const dtypes = new Map<DType, { tensors: number; elements: number; bytes: number }>();
  let elements = 0;
  let bytes = 0;
  for (const { dtype, numel, byteLength } of new Set(state.values())) {
    const sum = remember(dtypes, dtype, () => ({ tensors: 0, elements: 0, bytes: 0 }));
    sum.tensors++;
    sum.elements += numel;
    sum.bytes += byteLength;
    elements += numel;
    bytes += byteLength;
  }
  return {
    path,
    kind,
    files,
    ...writerOf(torchFiles, zero),
    zero: zero && {
      folder: zero.folder,
      tag: zero.tag,
      stage: zero.stage,
      ranks: zero.ranks,
      universal: zero.universal,
      groups: zero.groups,
      buffers: zero.counts.buffers,
      optimizer: checkpoint.optimizer,
    },
    key,
    metadata: metadata && Object.fromEntries(metadata),
    tensors,
    elements,
    bytes,
    dtypes: Object.fromEntries(dtypes),
    prefixed: tensors.filter(({ name }) => name.includes(PREFIX)).length,
    ...vistaParts([...state.keys()]),
    frozen,
    shared,
    orphans,
    leftOut,
    unreadable,
    others,
    globals: globalsOf(torchFiles),
    warnings,
  };
}

function unreadableIn(value: PyValue, path: string): UnreadableTensor[] {
  const found: UnreadableTensor[] = [];
  const note = (current: object, at: () => string) => {
    const what = unsupportedTensor(current);
    if (what !== undefined) found.push({ name: at(), what, isName: true });
  };
  walk(value, note, path);
  return found;
}

function tagger({ frozen, orphans, shared }: Pick<Inspection, "frozen" | "orphans" | "shared">) {
  const isFrozen = new Set(frozen);
  const isOrphan = new Set(orphans);
  const isShared = new Set(shared.flat());
  return (name: string): TensorTag[] => {
    const bare = name.replaceAll(PREFIX, "");
    const tags: TensorTag[] = [];
    if (/adapter_(?:down|up)|lora_(?:A|B|down|up)\b/.test(bare)) tags.push("lora");
    if (isShadow(bare) || isEmaCounter(bare)) tags.push("ema");
    if (isFrozen.has(name)) tags.push("frozen");
    if (isShared.has(name)) tags.push("shared");
    if (isOrphan.has(name)) tags.push("orphan");
    return tags;
  };
}

/** Finds LoRA adapters and EMA shadows by Vista's names, and what their steps would miss. */
function vistaParts(names: readonly string[]): Pick<Inspection, "lora" | "ema"> {
  const bare = new Set(names.map((name) => name.replaceAll(PREFIX, "")));
  const lora = [...bare].flatMap((name) => {
    const adapter = name.includes("adapter_down") ? adapterNames(name) : undefined;
    if (adapter === undefined) return [];
    return [{ ...adapter, missing: [adapter.up, adapter.base].filter((needed) => !bare.has(needed)) }];
  });
  const shadows = [...bare].filter(isShadow);
  const parameters = parametersByShadow(bare);
  const unmatched = shadows.filter((name) => !parameters.has(name));
  return { lora, ema: { shadows: shadows.length, unmatched } };
}

function writerOf(torchFiles: readonly TorchFile[], zero: Described["zero"]) {
  const top = asDict(torchFiles[0]?.value);
  return {
    deepspeed: zero?.deepspeed ?? asString(top?.get("ds_version")),
    lightning: zero?.lightning ?? asString(top?.get("pytorch-lightning_version")),
    step: zero?.globalSteps ?? asInteger(top?.get("global_step")) ?? asInteger(top?.get("global_steps")),
    epoch: asInteger(top?.get("epoch")),
  };
}

function globalsOf(torchFiles: readonly TorchFile[]): Inspection["globals"] {
  const all = torchFiles.flatMap(({ globals }) => globals);
  const known = new Set(all.filter(isKnownGlobal).map(({ id }) => id));
  return { known: [...known].sort(), unknown: unknownGlobals(all) };
}
