/** The handle on an opened checkpoint of any kind. */
import { VistaError } from "../core/errors.js";
import type { DcpInfo } from "./dcp/open.js";
import type { ShardIndex } from "./shard-index.js";
import type { StateDict, Tensor } from "./tensor/tensor.js";
import type { TensorValues } from "./tensor/typed-array.js";
import type { TorchFile } from "./torch/file.js";
import type { UnreadableTensor } from "./torch/open.js";
import type { OtherTensors } from "./torch/state-dicts.js";
import { type ReadOptions, readValues } from "./values.js";
import { PREFIX } from "./vista/prefix.js";
import type { CheckpointContent } from "./zero/open.js";
import type { ZeroInfo } from "./zero/plan.js";

/**
 * `zero` is a DeepSpeed ZeRO checkpoint folder, `dcp` a folder of torch.distributed.checkpoint, the two `-sharded` are files
 * with an index.
 */
export type CheckpointKind =
  | "torch"
  | "safetensors"
  | "torch-sharded"
  | "safetensors-sharded"
  | "zero"
  | "dcp";

/**
 * An opened checkpoint: what is in it, and its values on request. Close it when done, or take it with `await using`
 * (TypeScript from 5.2 and every bundler make that into code for Node 20; Node itself takes it from 24).
 */
export class Checkpoint implements AsyncDisposable {
  readonly kind!: CheckpointKind;
  /** As it was given. */
  readonly path!: string;
  /** The plan of all tensors: for transforms, and for `saveCheckpoint`. */
  readonly state!: StateDict;
  /** Names in the input that are no tensors, so not in {@link state}. */
  readonly leftOut!: readonly string[];
  /** Things worth knowing, each a sentence. */
  readonly warnings!: readonly string[];
  /** Metadata of a safetensors file. */
  readonly metadata!: ReadonlyMap<string, string> | undefined;
  /** Key under which a torch file holds the state dict, where it is not the file itself. */
  readonly key!: string | undefined;
  /** Tensors of a torch file outside of its state dict. */
  readonly others!: readonly OtherTensors[];
  /** Tensors of the state dict that only torch can rebuild; empty unless `unreadable: "list"` asks for them. */
  readonly unreadable!: readonly UnreadableTensor[];
  /** For kind `zero`: stage, ranks, groups, what was recovered … */
  readonly zero!: ZeroInfo | undefined;
  /** For kind `dcp`. */
  readonly dcp!: DcpInfo | undefined;
  /** @internal What the torch files hold; they are closed with {@link state}. */
  readonly torchFiles!: readonly TorchFile[];
  /** @internal For kind `zero`: what its pickles say. */
  readonly zeroContent!: CheckpointContent | undefined;
  /** @internal */
  readonly index!: ShardIndex | undefined;
  #closed = false;

  /** @internal */
  constructor(opened: Opened) {
    Object.assign(this, opened);
  }

  /** All tensors by name, in the order of the file (for ZeRO: of zero_to_fp32.py): dtype, shape, elements, bytes. */
  get tensors(): ReadonlyMap<string, Tensor> {
    return this.state.tensors;
  }

  /**
   * Reads the values of one tensor, or a part of them, as `readValues` does.
   *
   * @param name  as {@link tensors} has it; Lightning's `_forward_module.` at its beginning can be left out
   * @throws VistaError `NOT_FOUND` where no tensor has the name, `USAGE` after {@link close}, and what `readValues` throws
   */
  read(name: string, options: ReadOptions & { dtype: "F32" }): Promise<Float32Array>;
  read(name: string, options: ReadOptions & { dtype: "F16" | "BF16" }): Promise<Uint16Array>;
  read(name: string, options?: ReadOptions): Promise<TensorValues>;
  async read(name: string, options: ReadOptions = {}): Promise<TensorValues> {
    if (this.#closed) throw new VistaError("USAGE", "the checkpoint is closed", { path: this.path });
    const tensor = this.tensors.get(name) ?? this.tensors.get(PREFIX + name);
    if (tensor !== undefined) return readValues(tensor, options);
    const close = [...this.tensors.keys()].find((key) => key.endsWith(`.${name}`));
    throw new VistaError("NOT_FOUND", `no tensor has this name, of ${this.tensors.size}`, {
      path: this.path,
      record: name,
      hint: close === undefined ? undefined : `Did you mean ${close}?`,
    });
  }

  /** Closes the files; nothing can be read from it, or from states made of it, afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.state.close();
  }

  /** {@link close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** @internal What opening has found, of which the handle is made. */
export type Opened = Omit<Checkpoint, "tensors" | "read" | "close" | typeof Symbol.asyncDispose>;
