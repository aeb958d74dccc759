/** Rewrites a ZeRO checkpoint, its optimizer included, for another number of ranks. */
import { join } from "node:path";
import { isVistaError, throwIfAborted, VistaError } from "../core/errors.js";
import { readSmallFile } from "../core/io/open-source.js";
import { joinPlace } from "../core/io/places.js";
import { inPhase } from "../core/progress.js";
import { sum } from "../core/sum.js";
import {
  type FolderOptions,
  fileOfBytes,
  folderBeside,
  type PlannedFile,
  writeCheckpointFolder,
} from "./checkpoint-folder.js";
import { batchOf, type ReshardBatch } from "./zero/batch.js";
import { doubtsOf, openZeroOptimizer, type ZeroOptimizer } from "./zero/optimizer.js";
import { reshardedFiles } from "./zero/reshard.js";
import type { ReshardedGroup } from "./zero/reshard-tree.js";

export type { ReshardBatch } from "./zero/batch.js";
export type { ReshardedGroup } from "./zero/reshard-tree.js";

export interface ReshardOptions extends FolderOptions {
  /** The number of ranks (GPUs) that the new checkpoint is for, from 1 to 16,384. */
  ranks: number;
}

export interface Resharded {
  /** The checkpoint folder that was read; `tag` is the tag in it. */
  readonly folder: string;
  readonly tag: string;
  /** Whether the checkpoint was found below the folder that was given. */
  readonly foundBelow: boolean;
  /** The new checkpoint folder. */
  readonly output: string;
  readonly stage: 1 | 2 | 3;
  readonly ranksBefore: number;
  readonly ranks: number;
  readonly deepspeed: string | undefined;
  readonly lightning: string | undefined;
  readonly globalSteps: number | undefined;
  readonly groups: readonly ReshardedGroup[];
  /** The number of parameters of all groups; `elements` is the number of all their elements. */
  readonly parameters: number;
  readonly elements: number;
  /** The names of the optimizer's states that were moved with the parameters: `exp_avg`, `exp_avg_sq` … */
  readonly states: readonly string[];
  /** The files in their order, with paths relative to the output. */
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly bytes: number;
  readonly batch: ReshardBatch;
  /** The doubts whether the files of the checkpoint belong together, each in a sentence. */
  readonly warnings: readonly string[];
}

/**
 * The largest number of ranks that may be asked for: each has a file of its own, of which something is in memory at the same
 * time. Real checkpoints have up to 2,048.
 */
const MAX_RANKS = 16_384;

/**
 * The scripts that DeepSpeed and Lightning put beside the tag folder, which are copied; weights that were merged there are not.
 */
const COMPANIONS = ["zero_to_fp32.py", "zero_to_torch.py"];
/** The largest size of such a script in bytes; the real one has 30 kB. */
const MAX_COMPANION = 1_000_000;

/**
 * Returns the default output: for `last.ckpt` and 8 ranks it is `last-8ranks.ckpt` beside it. For a checkpoint at a URL it is in
 * the current folder.
 */
export function defaultReshardOutput(folder: string, ranks: number): string {
  return folderBeside(folder, `${ranks}ranks`);
}

/**
 * Rewrites a ZeRO checkpoint of stage 1, 2 or 3 so that DeepSpeed loads it on another number of ranks, with the names, keys and
 * values that it would have saved there. Everything that does not depend on the ranks is kept as it is. The bytes of the tensors
 * are streamed, so memory does not grow with the model. The original is only read.
 *
 * @param folder  a checkpoint folder (with `latest`), a tag folder, or a run folder with one checkpoint below
 * @param output  the new checkpoint folder, which appears whole or not at all; by default {@link defaultReshardOutput}
 * @throws VistaError `USAGE` for ranks below 1 or above 16,384, `UNSUPPORTED` for what cannot be resharded (tensor and pipeline
 *   parallel, mixture of experts, optimizers with blocks of their own, no ZeRO), `INCONSISTENT` for padding or sizes that
 *   contradict one another, `EXISTS`, `NO_SPACE`, `IO`, `CHECKSUM`, `ABORTED`, and what reading the files throws
 */
export async function reshardCheckpoint(
  folder: string,
  output: string | undefined,
  options: ReshardOptions,
): Promise<Resharded> {
  const { ranks, signal } = options;
  if (!Number.isSafeInteger(ranks) || ranks < 1 || ranks > MAX_RANKS) {
    throw new VistaError("USAGE", `${ranks} ranks: a checkpoint is for 1 to ${MAX_RANKS} of them`, {
      hint: "Give the number of GPUs that will go on with the training.",
    });
  }
  const { files, about, close } = await openResharding(folder, options);
  try {
    const target = output ?? defaultReshardOutput(about.folder, ranks);
    const planned: PlannedFile[] = [];
    for (const file of files) {
      throwIfAborted(signal);
      planned.push({ name: join(about.tag, file.name), content: await file.content() });
      options.onProgress?.({ phase: "plan", done: planned.length, total: files.length, unit: "files" });
    }
    const outputs = [...(await smallFiles(about.folder, about.tag)), ...planned];
    await writeCheckpointFolder(target, outputs, about.folder, inPhase(options, "reshard"));
    const written = planned.map(({ name, content }) => ({ path: name, bytes: content.length }));
    return {
      ...about,
      output: target,
      files: written,
      bytes: sum(written, ({ bytes }) => bytes),
    };
  } finally {
    await close();
  }
}

/** In a function of its own: of thousands of tensors, what was read to plan the files need not be in memory while they are written. */
async function openResharding(folder: string, options: ReshardOptions) {
  const { ranks } = options;
  const optimizer = await openZeroOptimizer(folder, options);
  try {
    const { files, groups } = await reshardedFiles(optimizer, ranks);
    const about = { ...describe(optimizer, ranks, groups), warnings: await doubtsOf(optimizer) };
    return { files, about, close: optimizer.close };
  } catch (error) {
    await optimizer.close();
    throw error;
  }
}

async function smallFiles(folder: string, tag: string): Promise<PlannedFile[]> {
  // The file ends without a line feed, as DeepSpeed writes it.
  const files = [fileOfBytes("latest", Buffer.from(tag))];
  for (const name of COMPANIONS) {
    try {
      files.push(fileOfBytes(name, await readSmallFile(joinPlace(folder, name), MAX_COMPANION)));
    } catch (error) {
      if (!isVistaError(error) || error.code !== "NOT_FOUND") throw error;
    }
  }
  return files;
}

function describe(
  optimizer: ZeroOptimizer,
  ranks: number,
  groups: readonly ReshardedGroup[],
): Omit<Resharded, "output" | "files" | "bytes" | "warnings"> {
  const { files, models } = optimizer;
  const parameters = optimizer.groups.flatMap((group) => group.parameters);
  return {
    folder: files.folder,
    tag: files.tag,
    foundBelow: files.foundBelow,
    stage: optimizer.stage,
    ranksBefore: optimizer.ranks,
    ranks,
    deepspeed: optimizer.deepspeed,
    lightning: models[0]!.lightningVersion,
    globalSteps: models[0]!.globalSteps,
    groups,
    parameters: parameters.length,
    elements: sum(parameters, ({ numel }) => numel),
    states: [...new Set(optimizer.groups.flatMap((group) => [...group.stateTypes.keys()]))],
    batch: batchOf(models[0]!, optimizer.ranks, ranks),
  };
}
