/** Defines the handle on an opened checkpoint of any kind. */
import { VistaError } from "../core/errors.js";
import { suggest } from "../core/suggest.js";
import type { DcpInfo } from "./dcp/open.js";
import type { StateDict, Tensor } from "./tensor/tensor.js";
import type { TensorValues } from "./tensor/typed-array.js";
import type { OtherTensors } from "./torch/beside.js";
import type { TorchFile } from "./torch/file.js";
import type { UnreadableTensor } from "./torch/named-tensors.js";
import { type ReadOptions, readValues } from "./values.js";
import { PREFIX } from "./vista/prefix.js";
import type { ZeroInfo } from "./zero/plan.js";
import type { CheckpointContent } from "./zero/states.js";

/**
 * The kind of a checkpoint: `zero` is a DeepSpeed ZeRO checkpoint folder, `dcp` a folder of torch.distributed.checkpoint, and the
 * two `-sharded` are files with an index.
 */
export type CheckpointKind =
  | "torch"
  | "safetensors"
  | "torch-sharded"
  | "safetensors-sharded"
  | "zero"
  | "dcp";

/**
 * An opened checkpoint: it tells what is in it, and reads values on request. Close it when done, or take it with `await using`
 * (TypeScript from 5.2 and every bundler compile that for Node 20; Node itself knows it from 24).
 */
export class Checkpoint implements AsyncDisposable {
  readonly kind!: CheckpointKind;
  /** The path as it was given, or that of the weights file in a folder. */
  readonly path!: string;
  /** The plan of all tensors, which transforms and `saveCheckpoint` take. */
  readonly state!: StateDict;
  /** The names in the input that are no tensors and therefore not in {@link state}. */
  readonly leftOut!: readonly string[];
  /** The warnings: things worth knowing about the checkpoint, each in a sentence. */
  readonly warnings!: readonly string[];
  /** The metadata of a safetensors file; `undefined` for other kinds. */
  readonly metadata!: ReadonlyMap<string, string> | undefined;
  /** The keys, joined by dots, under which a torch file holds the state dict; `undefined` where the file itself is one. */
  readonly key!: string | undefined;
  /** The tensors of a torch file that are outside of its state dict, counted by key. */
  readonly others!: readonly OtherTensors[];
  /** The tensors of the state dict that only torch can rebuild; empty unless `unreadable: "list"` asks for them. */
  readonly unreadable!: readonly UnreadableTensor[];
  /** The facts of a ZeRO checkpoint (stage, ranks, groups, what was recovered …); `undefined` for other kinds. */
  readonly zero!: ZeroInfo | undefined;
  /** The facts of a distributed checkpoint; `undefined` for other kinds. */
  readonly dcp!: DcpInfo | undefined;
  /** @internal The contents of the torch files, which are closed with {@link state}. */
  readonly torchFiles!: readonly TorchFile[];
  /** @internal The contents of the pickles of a ZeRO checkpoint; `undefined` for other kinds. */
  readonly zeroContent!: CheckpointContent | undefined;
  #closed = false;

  /** @internal */
  constructor(opened: Opened) {
    Object.assign(this, opened);
  }

  /**
   * The tensors by name, with their dtype, shape, elements and bytes, in the order of the file (for ZeRO, in the order of
   * zero_to_fp32.py).
   */
  get tensors(): ReadonlyMap<string, Tensor> {
    return this.state.tensors;
  }

  /**
   * Reads the values of one tensor, or a part of them, as `readValues` does.
   *
   * @param name  the name as {@link tensors} has it; Lightning's `_forward_module.` at its beginning can be left out
   * @throws VistaError `NOT_FOUND` where no tensor has the name, `USAGE` after {@link close}, and what `readValues` throws
   */
  read(name: string, options: ReadOptions & { dtype: "F32" }): Promise<Float32Array>;
  read(name: string, options: ReadOptions & { dtype: "F16" | "BF16" }): Promise<Uint16Array>;
  read(name: string, options?: ReadOptions): Promise<TensorValues>;
  async read(name: string, options: ReadOptions = {}): Promise<TensorValues> {
    if (this.#closed) {
      const hint = "Open it again, or read before close() and the end of an `await using` block.";
      throw new VistaError("USAGE", "the checkpoint is closed", { path: this.path, hint });
    }
    const tensor = this.tensors.get(name) ?? this.tensors.get(PREFIX + name);
    if (tensor !== undefined) return readValues(tensor, options);
    const names = [...this.tensors.keys()];
    // A prefix that is left out makes every name too far from one that is misspelt.
    const close =
      names.find((key) => key.endsWith(`.${name}`)) ??
      suggest(
        String(name),
        names.flatMap((key) => [key, key.replace(PREFIX, "")]),
      );
    throw new VistaError("NOT_FOUND", `no tensor has this name, of ${this.tensors.size}`, {
      path: this.path,
      record: String(name),
      hint: close === undefined ? undefined : `Did you mean ${close}?`,
    });
  }

  /** Closes the files; afterwards nothing can be read from the checkpoint or from states made of it. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.state.close();
  }

  /** Closes the files at the end of an `await using` block, as {@link close} does. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** @internal The findings of opening a checkpoint, from which the handle is made. */
export type Opened = Omit<Checkpoint, "tensors" | "read" | "close" | typeof Symbol.asyncDispose>;
