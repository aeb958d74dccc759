/**
 * Builds the state dict of a ZeRO checkpoint step by step, in the reference's order: buffers, frozen, trained, shared.
 * After these come the orphans, which the reference loses.
 *
 * Source: deepspeed/utils/zero_to_fp32.py, 0.3.14 to 0.19.8.
 */
import { firstNames, VistaError } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { plural } from "../../core/text.js";
import type { DType } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict, keyText } from "../torch/objects.js";
import { tensorsAt } from "../torch/read.js";
import { Float32Casts, isFloat } from "./float32.js";
import { readFrozen } from "./frozen.js";
import { doubtOfCopies } from "./module-copies.js";
import { findOrphans } from "./orphans.js";
import { endings, unwrapped } from "./renames.js";
import { float32Rounds } from "./rounding.js";
import { type CheckpointContent, type ModelState, type Shapes, versionOf } from "./states.js";
import { cutTrained, type GroupSizes, type TrainedParameters } from "./trained.js";
import type { Universal } from "./universal.js";
import { isVersion } from "./version.js";

/** The facts of a ZeRO checkpoint and of the plan that was made of it. */
export interface ZeroInfo {
  readonly folder: string;
  readonly tag: string;
  /** True where the checkpoint was found below the folder that was given. */
  readonly foundBelow: boolean;
  readonly stage: 0 | 1 | 2 | 3;
  readonly ranks: number;
  /** True for a universal checkpoint: stage and ranks are those of the ZeRO checkpoint that it was made from. */
  readonly universal: boolean;
  readonly deepspeed: string | undefined;
  readonly lightning: string | undefined;
  readonly globalSteps: number | undefined;
  /** The param groups in order, in elements; `saved` includes padding. */
  readonly groups: readonly GroupSizes[];
  /** The number of names of each kind in the state dict. */
  readonly counts: {
    readonly buffers: number;
    readonly frozen: number;
    readonly trained: number;
    readonly shared: number;
    readonly renamed: number;
    readonly orphans: number;
    /** The number of all names in stage 0, else 0. */
    readonly whole: number;
  };
  /** The names of frozen parameters, in order. */
  readonly frozen: readonly string[];
  /** The names that share one tensor, as pairs of alias and source. */
  readonly shared: readonly (readonly [alias: string, source: string])[];
  /**
   * The names in `module` of parameters that the optimizer has under another name, since a wrapper or a hook renamed them, each
   * with that other name; both stand for the optimizer's tensor.
   */
  readonly renamed: readonly (readonly [name: string, source: string])[];
  /** The names of tensors that were recovered from `module`, in order. */
  readonly recovered: readonly string[];
  /** The names of tensors that only `module` has and that were left out on request. */
  readonly leftOut: readonly string[];
  /** The number of tensors that were converted to float32, by the dtype they had. */
  readonly converted: Readonly<Partial<Record<DType, number>>>;
  readonly warnings: readonly string[];
  /** Those of the warnings that tell that the files may not belong together. */
  readonly doubts: readonly string[];
}

/** The choice of what the plan leaves out. */
export interface PlanOptions {
  readonly excludeFrozen: boolean;
  readonly recover: boolean;
}

/** The plan: one call of {@link stage0}, {@link sharded} or {@link universal} gives it {@link tensors} and {@link info}. */
export class ZeroPlan {
  readonly tensors = new Map<string, Tensor>();
  readonly #model: ModelState;
  readonly #groups: GroupSizes[] = [];
  readonly #counts = { buffers: 0, trained: 0, whole: 0 };
  readonly #frozen = new Set<string>();
  readonly #shared: [string, string][] = [];
  readonly #renamed: [string, string][] = [];
  readonly #recovered: string[] = [];
  readonly #leftOut: string[] = [];
  readonly #warnings: string[] = [];
  readonly #doubts: string[] = [];
  readonly #dsVersion: string | undefined;
  #stage: 0 | 1 | 2 | 3;
  #trainedShapes: Shapes = new Map();
  readonly #casts: Float32Casts;

  constructor(
    private readonly content: CheckpointContent,
    private readonly options: PlanOptions,
  ) {
    this.#model = content.models[0];
    this.#stage = content.shards[0]?.stage ?? 0;
    this.#dsVersion = versionOf(content);
    this.#casts = new Float32Casts(this.#dsVersion);
    if (this.#model.notTensors.length > 0) {
      this.#warnings.push(
        `left out of the module's state, since no tensors: ${firstNames(this.#model.notTensors)}`,
      );
    }
  }

  info(): ZeroInfo {
    const { folder, tag, foundBelow, universal } = this.content.files;
    return {
      folder,
      tag,
      foundBelow,
      stage: this.#stage,
      ranks: this.content.shards[0]?.ranks ?? this.#model.ranks ?? 1,
      universal,
      deepspeed: this.#dsVersion,
      lightning: this.#model.lightningVersion,
      globalSteps: this.#model.globalSteps,
      groups: this.#groups,
      counts: {
        buffers: this.#counts.buffers,
        frozen: this.#frozen.size,
        trained: this.#counts.trained,
        shared: this.#shared.length,
        renamed: this.#renamed.length,
        orphans: this.#recovered.length,
        whole: this.#counts.whole,
      },
      frozen: [...this.#frozen],
      shared: this.#shared,
      renamed: this.#renamed,
      recovered: this.#recovered,
      leftOut: this.#leftOut,
      converted: this.#casts.converted,
      warnings: this.#warnings,
      doubts: this.#doubts,
    };
  }

  /** Adds the weights of a checkpoint without ZeRO, which are whole in `module`. */
  async stage0(): Promise<void> {
    const { configuredStage, paramShapes } = this.#model;
    if (paramShapes !== undefined || (configuredStage !== undefined && configuredStage > 0)) {
      const ranks = this.#model.ranks;
      throw new VistaError(
        "NOT_FOUND",
        `no *_optim_states.pt here, but these model states belong to ZeRO stage ${configuredStage ?? "1 to 3"}` +
          (ranks === undefined ? "" : `, saved by ${ranks} ranks`),
        {
          path: this.content.files.tagFolder,
          hint: "Copy the optimizer shards of all ranks into this folder.",
        },
      );
    }
    const first = new Map<Tensor, string>();
    const whole = await tensorsAt(this.#model.torchFile, this.#model.module.values());
    for (const [i, name] of [...this.#model.module.keys()].entries()) {
      const tensor = this.#casts.widened(whole[i]!);
      this.tensors.set(name, tensor);
      const source = first.get(tensor);
      if (source !== undefined && tensor.numel > 0) this.#shared.push([name, source]);
      else first.set(tensor, name);
    }
    this.#counts.whole = this.tensors.size;
    this.#warnOfMasters();
  }

  /** Warns of the fp32 weights that DeepSpeed's optimizers of 16 bits keep in stage 0: they are lists, without names. */
  #warnOfMasters(): void {
    if (Object.keys(this.#casts.converted).length === 0) return;
    const optimizer = asDict(asDict(this.#model.torchFile.value)?.get("optimizer"));
    const key = ["fp32_groups", "fp32_groups_flat"].find((each) => optimizer?.has(each) === true);
    if (key === undefined) return;
    this.#warnings.push(
      `the optimizer has fp32 weights of its own (optimizer.${key}), without names: these are the 16-bit weights of the module`,
    );
  }

  async sharded(): Promise<void> {
    await this.#addAll(() => cutTrained(this.content));
  }

  #doubt(texts: readonly string[]): void {
    this.#warnings.push(...texts);
    this.#doubts.push(...texts);
  }

  /** Adds the tensors of a universal checkpoint, whose trained parameters are whole in files of their own. */
  async universal({ stage, groups }: Universal): Promise<void> {
    this.#stage = stage;
    const tensors = groups.flat().map(({ name, fp32 }) => [name, fp32] as const);
    const sizes = groups.map((group) => {
      const numel = sum(group, ({ fp32 }) => fp32.numel);
      return { parameters: group.length, numel, saved: numel };
    });
    await this.#addAll(async () => ({ tensors, groups: sizes, doubts: [] }));
  }

  async #addAll(trained: () => Promise<TrainedParameters>): Promise<void> {
    await this.#addBuffers();
    this.#warnOfAbsentBuffers();
    if (!this.options.excludeFrozen) {
      for (const [name, tensor] of await readFrozen(this.content.models, this.#stage)) {
        this.#add(name, tensor);
        this.#frozen.add(name);
      }
    }
    await this.#addTrained(await trained());
    for (const [alias, source] of this.#model.sharedParams) {
      const tensor = this.tensors.get(source);
      if (tensor === undefined) continue;
      this.tensors.set(alias, tensor);
      this.#shared.push([alias, source]);
    }
    await this.#addOrphans();
  }

  async #addTrained({ tensors, groups, doubts }: TrainedParameters): Promise<void> {
    for (const [name, tensor] of tensors) {
      // What was frozen when the optimizer had it already is listed as both; the optimizer's weights count, as in the reference.
      if (this.#frozen.delete(name)) this.tensors.set(name, tensor);
      else this.#add(name, tensor);
    }
    this.#trainedShapes = new Map(tensors.map(([name, { shape }]) => [name, shape]));
    this.#groups.push(...groups);
    this.#counts.trained = tensors.length;
    this.#doubt(doubts);
    // In stage 3 `module` has no copies.
    if (this.#stage === 3) return;
    const { length } = this.content.shards;
    this.#doubt(await doubtOfCopies(tensors, this.content, length, "taken from the optimizer"));
  }

  async #addBuffers(): Promise<void> {
    const buffers = [...this.#model.module].filter(([name]) => this.#model.bufferNames.has(name));
    const tensors = await tensorsAt(
      this.#model.torchFile,
      buffers.map(([, description]) => description),
    );
    const kept: string[] = [];
    const rounded: string[] = [];
    for (const [i, [name]] of buffers.entries()) {
      const tensor = tensors[i]!;
      const converted = this.#casts.asReference(tensor);
      this.#add(name, converted);
      if (converted !== tensor && (await float32Rounds(tensor))) rounded.push(name);
      if (!isVersion(this.#dsVersion) && !isFloat(tensor.dtype)) kept.push(name);
    }
    this.#counts.buffers = buffers.length;
    if (rounded.length > 0) {
      this.#warnings.push(
        `${plural(rounded.length, "buffer")} with values that float32 cannot hold, made float32 as zero_to_fp32 of ` +
          `DeepSpeed ${this.#dsVersion ?? "of any version"} does: ${firstNames(rounded)}`,
      );
    }
    if (kept.length > 0) {
      this.#warnings.push(
        `no file says the version of DeepSpeed: ${plural(kept.length, "buffer")} of integers and the like ` +
          `kept, of which zero_to_fp32 before 0.19.8 makes float32: ${firstNames(kept)}`,
      );
    }
  }

  /**
   * Warns of listed buffers that `module` has under no name, not even with what a wrapper or a hook put before it: the reference
   * drops them without a word.
   */
  #warnOfAbsentBuffers(): void {
    const { dict, bufferNames } = this.#model;
    const elsewhere = [...bufferNames].filter((name) => !dict.has(name));
    if (elsewhere.length === 0) return;
    const there = new Set([...dict.keys()].flatMap((name) => endings(unwrapped(keyText(name)))));
    const absent = elsewhere.filter((name) => !there.has(unwrapped(name)));
    if (absent.length === 0) return;
    this.#warnings.push(
      `${plural(absent.length, "buffer")} listed in buffer_names and not in \`module\`, so not in this state dict: ${firstNames(absent)}`,
    );
  }

  /** Adds a tensor. @throws VistaError `INCONSISTENT` for a name that is there already, as one of the two would be lost */
  #add(name: string, tensor: Tensor): void {
    if (this.tensors.has(name)) {
      throw new VistaError("INCONSISTENT", `${name} is listed twice, as a buffer and as a parameter`, {
        path: this.#model.path,
        hint: "DeepSpeed lists each once: copy the checkpoint again.",
      });
    }
    this.tensors.set(name, tensor);
  }

  /** Adds the tensors that only `module` has, or leaves them out on request. */
  async #addOrphans(): Promise<void> {
    const { module } = this.#model;
    const names = [...module.keys()].filter((name) => !this.tensors.has(name) && !this.#isExcluded(name));
    if (!this.options.recover) {
      this.#leftOut.push(...names);
      return;
    }
    const { found, unnamed } = await findOrphans(names, {
      model: this.#model,
      stage: this.#stage,
      trainedShapes: this.#trainedShapes,
      merged: this.tensors,
    });
    for (const orphan of found) {
      const { name, kind } = orphan;
      if (kind === "recovered") {
        this.tensors.set(name, this.#casts.widened(orphan.tensor));
        this.#recovered.push(name);
      } else {
        this.tensors.set(name, this.tensors.get(orphan.source)!);
        (kind === "shared" ? this.#shared : this.#renamed).push([name, orphan.source]);
      }
    }
    if (unnamed.length === 0) return;
    this.#warnings.push(
      `${unnamed.length} names of \`module\` have only placeholders and are no names of the optimizer, which has as many names ` +
        `that are not in \`module\`: taken for the same parameters, merged under the optimizer's names: ${firstNames(unnamed)}`,
    );
  }

  /** Tells whether a name is that of a frozen parameter, or an alias of one, that is left out on request. */
  #isExcluded(name: string): boolean {
    if (!this.options.excludeFrozen) return false;
    const { frozenShapes, sharedParams } = this.#model;
    return frozenShapes.has(name) || frozenShapes.has(sharedParams.get(name) ?? "");
  }
}
