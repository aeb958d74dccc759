/** Opens a ZeRO checkpoint: finds its files, reads what they say, checks that they belong together and plans the state dict. */
import { fromReader } from "../../core/errors.js";
import { openAll } from "../../core/io/open-all.js";
import { filesAtOnce } from "../../core/io/places.js";
import type { RunOptions } from "../../core/progress.js";
import { StateDict } from "../tensor/tensor.js";
import type { OtherTensors } from "../torch/beside.js";
import type { TorchFile } from "../torch/file.js";
import { type UnreadableTensor, unreadableError } from "../torch/named-tensors.js";
import { readTorchFile } from "../torch/read.js";
import { tensorsBeside } from "../torch/state-dicts.js";
import { checkTogether } from "./consistency.js";
import { findCheckpoint, listCheckpointFiles } from "./layout.js";
import { type ZeroInfo, ZeroPlan } from "./plan.js";
import {
  type CheckpointContent,
  closeAll,
  type ModelFile,
  type ModelStates,
  readModelState,
  readShardState,
  type ShardState,
  withoutTree,
} from "./states.js";

export interface ReadCheckpointOptions extends RunOptions {
  /** The tag, the name of a sub-folder. The default is what `latest` says. */
  tag?: string;
  /** The keys to the module's own state dict in the model states, joined by dots. The default is `module`, DeepSpeed's. */
  key?: string;
  /** Whether the CRC-32 of the pickles is checked. The default is true. */
  verify?: boolean;
  /**
   * Whether shards of DeepSpeed's BF16_Optimizer, which do not say their stage, are taken as stage 1. The default is false: they
   * are refused.
   */
  bf16Optimizer?: boolean;
}

export interface OpenZeroOptions extends Omit<ReadCheckpointOptions, "bf16Optimizer"> {
  /** Whether parameters that the checkpoint lists as frozen are left out. The default is false. */
  excludeFrozen?: boolean;
  /** Whether orphans, which are tensors that only `module` has, are recovered or left out. The default is true. */
  recover?: boolean;
  /**
   * Whether to refuse the checkpoint, or to list them, where tensors of `module` cannot be rebuilt without torch and nothing else
   * supplies them. The default is `refuse`.
   */
  unreadable?: "refuse" | "list";
}

export interface ZeroCheckpoint {
  readonly state: StateDict;
  readonly info: ZeroInfo;
  /** The files that were read: model states, then shards or a universal checkpoint's files. */
  readonly torchFiles: readonly TorchFile[];
  readonly content: CheckpointContent;
  /** The tensors of `module` that the state lacks, since only torch can rebuild them or their key is no name. */
  readonly unreadable: readonly UnreadableTensor[];
  /** The tensors of the model states that are neither in the module's state dict nor frozen, as a client state brings them. */
  readonly others: readonly OtherTensors[];
}

/**
 * Opens a ZeRO checkpoint (stage 0 to 3, or a universal one that was made of stage 1 to 3) and plans its fp32 state dict.
 * No weight is read, but for the samples by which parameters with another name in `module` are matched.
 *
 * @param path  a checkpoint folder (with `latest`), a tag folder, or a run folder with one checkpoint below
 * @returns the plan, in the order of the reference: buffers, frozen, trained, shared, then recovered orphans; the caller
 *   closes its `state` when done
 * @throws VistaError `NOT_FOUND`, `AMBIGUOUS`, `INCONSISTENT`, `UNSUPPORTED`, `INCOMPLETE` (orphans of stage 3), and what
 *   reading the files throws
 */
export async function openZeroCheckpoint(
  path: string,
  options: OpenZeroOptions = {},
): Promise<ZeroCheckpoint> {
  const content = await readCheckpointFiles(path, options);
  const { files, models, shards } = content;
  const torchFiles = [...content.torchFiles];
  try {
    const { excludeFrozen = false, recover = true, unreadable: whatTo = "refuse" } = options;
    const plan = new ZeroPlan(content, { excludeFrozen, recover });
    if (files.universal) {
      const { readUniversal } = await import("./universal.js");
      const universal = await readUniversal(content, "weights", options);
      torchFiles.push(...universal.torchFiles);
      await plan.universal(universal);
    } else if (shards.length === 0) await plan.stage0();
    else await plan.sharded();
    const [model] = models;
    const hasOptimizer = files.universal || shards.length > 0;
    const isOrphan = (name: string) => hasOptimizer && !model.bufferNames.has(name);
    // The copy in `module` is not needed where the optimizer or the frozen fragments supply the tensor.
    const unreadable = model.unreadable.filter(
      ({ name, isName }) => !isName || (!plan.tensors.has(name) && (recover || !isOrphan(name))),
    );
    if (whatTo === "refuse" && unreadable.length > 0)
      throw unreadableError(unreadable[0]!, { path: model.path, record: "module" });
    const sources = torchFiles.map(({ file }) => file);
    const state = new StateDict(plan.tensors, sources);
    const others = tensorsBeside(model.torchFile, model.dict, options.key ?? "module");
    return {
      state,
      info: plan.info(),
      torchFiles,
      content,
      unreadable,
      others: others.filter(({ key }) => key !== "frozen_param_fragments"),
    };
  } catch (error) {
    await closeAll(torchFiles);
    throw error;
  }
}

/**
 * Finds the files of a ZeRO checkpoint, reads their pickles and checks that shards and model states belong together; a universal one
 * has no shards, and is checked where its other files are read.
 * @throws VistaError `NOT_FOUND`, `AMBIGUOUS`, `INCONSISTENT`, `UNSUPPORTED`, and what reading the files throws
 */
export async function readCheckpointFiles(
  path: string,
  options: ReadCheckpointOptions = {},
): Promise<CheckpointContent> {
  const files = await listCheckpointFiles(await findCheckpoint(path, options.tag));
  const { verify = true, key, bf16Optimizer } = options;
  const otherModels = new SameStates((file) => withoutTree(readModelState(file, key)));
  const otherShards = new SameStates((file) => {
    const shard = readShardState(file, bf16Optimizer);
    return { ...shard, torchFile: file.slim() };
  });
  const last = files.modelStates.length;
  const read = async (path: string, i: number) => {
    if (i > 0 && i < last) return otherModels.open(path, verify);
    if (i > last) return otherShards.open(path, verify);
    // The first of each kind stays as it was read.
    return closedOnError(await readTorchFile(path, { verify }), (file) =>
      i === 0 ? readModelState(file, key) : readShardState(file, bf16Optimizer),
    );
  };
  const paths = [...files.modelStates, ...files.shards].map((file) => file.path);
  const states: (ModelFile | ShardState)[] = await openAll(
    paths,
    filesAtOnce(path),
    (path, i) =>
      read(path, i).catch((error: unknown) => {
        throw fromReader(error, path);
      }),
    ({ torchFile }) => torchFile.file.close(),
    options,
  );
  const models = states.slice(0, last) as unknown as ModelStates;
  const shards = states.slice(last) as ShardState[];
  const torchFiles = states.map(({ torchFile }) => torchFile);
  const content = { files, models, shards, torchFiles };
  try {
    if (shards.length > 0) await checkTogether(content);
    return content;
  } catch (error) {
    await closeAll(torchFiles);
    throw error;
  }
}

/** The largest number of different pickles that are kept for others that are the same. */
const KEPT = 16;

/**
 * The states of files whose pickles are often the same byte for byte: all ranks of stage 3 save the same, but for the first one's
 * `shared_params` and for the GPU that a rank's tensors were on, of which a machine has eight or so.
 */
class SameStates<State extends ModelFile | ShardState> {
  readonly #known: { readonly pickle: Buffer; readonly state: State }[] = [];

  /** @param read  returns what a file says, without the contents of its pickle */
  constructor(private readonly read: (file: TorchFile) => State) {}

  async open(path: string, verify: boolean): Promise<State> {
    let own: Buffer | undefined;
    let same: State | undefined;
    const file = await readTorchFile(path, {
      verify,
      like: (pickle) => {
        own = pickle;
        same = this.#known.find((known) => known.pickle.equals(pickle))?.state;
        return same?.torchFile;
      },
    });
    if (same !== undefined) return { ...same, path, torchFile: file };
    const state = await closedOnError(file, this.read);
    if (own !== undefined) this.#known.unshift({ pickle: own, state });
    this.#known.splice(KEPT);
    return state;
  }
}

async function closedOnError<Result>(file: TorchFile, read: (file: TorchFile) => Result): Promise<Result> {
  try {
    return read(file);
  } catch (error) {
    await file.file.close();
    throw error;
  }
}
