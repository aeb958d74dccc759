/** Writes a ZeRO checkpoint as a universal one, which DeepSpeed loads on any number of ranks. */
import { basename, join } from "node:path";
import { throwIfAborted } from "../core/errors.js";
import { sum } from "../core/sum.js";
import { type FolderOptions, fileOfBytes, folderBeside, writeCheckpointFolder } from "./checkpoint-folder.js";
import { TorchTensor } from "./torch/values.js";
import { zeroConfig } from "./zero/flat-layout.js";
import { doubtsOf, openZeroOptimizer, type ZeroOptimizer } from "./zero/optimizer.js";
import { type UniversalFile, universalFiles } from "./zero/universal-files.js";

export interface WrittenUniversal {
  /** The checkpoint folder that was read; `tag` is the tag in it. */
  readonly folder: string;
  readonly tag: string;
  /** The new checkpoint folder; `universalTag` is the tag in it, which `latest_universal` names. */
  readonly output: string;
  readonly universalTag: string;
  readonly stage: 1 | 2 | 3;
  readonly ranks: number;
  readonly deepspeed: string | undefined;
  readonly globalSteps: number | undefined;
  /** The number of trained parameters; `elements` is the number of all their elements. */
  readonly parameters: number;
  readonly elements: number;
  /** The names of the states that were written for each parameter beside its weights: `exp_avg`, `exp_avg_sq` … */
  readonly states: readonly string[];
  /**
   * The names of the values other than its step that the optimizer keeps once for a whole group (`mu`, `eta` …), for which stages
   * 1 and 2 have no file.
   */
  readonly leftOut: readonly string[];
  /**
   * What DeepSpeed's loader (0.14.2 to 0.19.8) makes of this one otherwise than it was, mostly without an error: a sentence each.
   */
  readonly cautions: readonly string[];
  /** The doubts whether the files of the checkpoint belong together, each in a sentence. */
  readonly warnings: readonly string[];
  readonly files: number;
  readonly bytes: number;
}

/** Returns the default output: beside `last.ckpt` it is `last-universal.ckpt`. */
export function defaultUniversalOutput(folder: string): string {
  return folderBeside(folder, "universal");
}

/**
 * Writes what ds_to_universal.py makes of a ZeRO checkpoint of stage 1, 2 or 3: the whole tensors of every parameter, in files of
 * its own. The bytes are streamed, so memory does not grow with the model. The original is only read.
 *
 * @param folder  a checkpoint folder (with `latest`), a tag folder, or a run folder with one checkpoint below
 * @param output  the new checkpoint folder, which appears whole or not at all; by default {@link defaultUniversalOutput}
 * @throws VistaError `UNSUPPORTED` for what has no such form (tensor and pipeline parallel, mixture of experts, no ZeRO, elastic
 *   checkpoints), `INCONSISTENT`, `EXISTS`, `NO_SPACE`, `IO`, `CHECKSUM`, `ABORTED`, and what reading the files throws
 */
export async function writeUniversal(
  folder: string,
  output: string | undefined,
  options: FolderOptions = {},
): Promise<WrittenUniversal> {
  const optimizer = await openZeroOptimizer(folder, options);
  try {
    const { files, groups, models } = optimizer;
    const warnings = await doubtsOf(optimizer);
    const target = output ?? defaultUniversalOutput(files.folder);
    const universalTag = `${basename(files.tag)}_universal`;
    const planned: UniversalFile[] = [];
    for await (const file of universalFiles(optimizer, options.verify ?? true)) {
      throwIfAborted(options.signal);
      planned.push(file);
    }
    const bytes = sum(planned, ({ content }) => content.length);
    const outputs = [
      ...planned.map(({ name, content }) => ({ name: join(universalTag, name), content })),
      // The file ends without a line feed, as ds_to_universal.py writes it.
      fileOfBytes("latest_universal", Buffer.from(universalTag)),
    ];
    await writeCheckpointFolder(target, outputs, files.folder, options);
    const parameters = groups.flatMap((group) => group.parameters);
    const kept = groups.flatMap(({ values }) => [...values].filter(([, value]) => value !== null));
    const ofGroups = new Set(kept.map(([name]) => name));
    ofGroups.delete("step");
    return {
      folder: files.folder,
      tag: files.tag,
      output: target,
      universalTag,
      stage: optimizer.stage,
      ranks: optimizer.ranks,
      deepspeed: optimizer.deepspeed,
      globalSteps: models[0]!.globalSteps,
      parameters: parameters.length,
      elements: sum(parameters, ({ numel }) => numel),
      states: [...new Set(groups.flatMap((group) => [...group.stateTypes.keys()]))],
      cautions: cautionsFor(optimizer),
      warnings,
      leftOut: optimizer.stage === 3 ? [] : [...ofGroups],
      files: planned.length + 1,
      bytes: bytes + universalTag.length,
    };
  } finally {
    await optimizer.close();
  }
}

/**
 * Returns what the loader does otherwise than one would think.
 *
 * Source: deepspeed/runtime/zero/stage3.py (load_hp_checkpoint_state_from_checkpoint_dir_stage3), and what real runs show.
 */
function cautionsFor(optimizer: ZeroOptimizer): string[] {
  const { partitions, groups } = optimizer;
  const cautions: string[] = [];
  if (partitions.kind === "flat") {
    if (zeroConfig(optimizer)?.get("round_robin_gradients") === true)
      cautions.push(
        "switch round_robin_gradients off to load it: with it, DeepSpeed mixes the parameters up",
      );
    return cautions;
  }
  const kept = groups.map(({ stateTypes, values }) => [...stateTypes.keys(), ...values.keys()].sort().join());
  if (kept.some((names) => names !== "exp_avg,exp_avg_sq,step"))
    cautions.push("DeepSpeed loads of stage 3 no optimizer but Adam with its two moments: use reshard");
  if (groups.length > 1) cautions.push("DeepSpeed gives every param group the hyperparameters of the first");
  const subGroups = partitions.subGroups.flat().length;
  if (subGroups > 1 && groups[0]!.values.get("step") instanceof TorchTensor) {
    cautions.push(
      `DeepSpeed gives all sub-groups one step, which torch's optimizers then count on once for each of them (here ${subGroups})`,
    );
  }
  return cautions;
}
