/**
 * Plans the optimizer of a ZeRO checkpoint: each parameter gets its fp32 master weights and each state of the optimizer as
 * tensors over byte ranges of the shards, each param group gets what is not a tensor of that size. No weight is read.
 *
 * Source: deepspeed/runtime/zero/stage_1_and_2.py and stage3.py (state_dict, _load_legacy_checkpoint), bf16_optimizer.py.
 */

import { settleAll } from "../../core/io/settle.js";
import type { PyValue } from "../torch/objects.js";
import { doubtOfCopies } from "./module-copies.js";
import { type ReadCheckpointOptions, readCheckpointFiles } from "./open.js";
import { type FlatPartitions, readFlatPartitions } from "./optimizer-flat.js";
import { readSplitPartitions, type SplitPartitions } from "./optimizer-split.js";
import { type OptimizerGroup, refuse } from "./optimizer-states.js";
import { doubtsOfSameShards } from "./same-shards.js";
import { type CheckpointContent, versionOf } from "./states.js";
import { readSubGroups } from "./sub-groups.js";

export interface ZeroOptimizer extends CheckpointContent {
  readonly stage: 1 | 2 | 3;
  readonly ranks: number;
  readonly deepspeed: string | undefined;
  readonly groups: readonly OptimizerGroup[];
  /** DeepSpeed's object for the loss scale, where there is one: its state has `cur_scale`. */
  readonly lossScaler: PyValue | undefined;
  /** The way in which the ranks share the optimizer. */
  readonly partitions: FlatPartitions | SplitPartitions;
  close(): Promise<void>;
}

/**
 * Opens the optimizer of a ZeRO checkpoint of stage 1, 2 or 3. The caller closes it when done.
 *
 * @param path  a checkpoint folder (with `latest`), a tag folder, or a run folder with one checkpoint below
 * @throws VistaError `NOT_FOUND`, `AMBIGUOUS`, `INCONSISTENT` (padding or sizes that contradict one another), `UNSUPPORTED` (a
 *   checkpoint without ZeRO, a state that is neither one value nor of the partition's size), and what reading the files throws
 */
export async function openZeroOptimizer(
  path: string,
  options: Omit<ReadCheckpointOptions, "key" | "bf16Optimizer"> = {},
): Promise<ZeroOptimizer> {
  const content = await readCheckpointFiles(path, { ...options, bf16Optimizer: true });
  // The function names the files alone: what their pickles say would stay in memory until they are closed.
  const sources = content.torchFiles.map(({ file }) => file);
  const close = async () => {
    await settleAll(sources.map((file) => file.close()));
  };
  try {
    return { ...(await planOptimizer(content)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Plans the optimizer of files that are open. @throws VistaError as {@link openZeroOptimizer} does */
export async function planOptimizer(content: CheckpointContent): Promise<Omit<ZeroOptimizer, "close">> {
  const { files, shards } = content;
  const [first] = shards;
  if (files.universal) {
    throw refuse("a universal checkpoint, which has no shards", {
      path: files.tagFolder,
      hint: "DeepSpeed loads it on any number of ranks with load_universal; or give the ZeRO checkpoint that it was made from.",
    });
  }
  if (first === undefined) {
    throw refuse("a checkpoint without optimizer shards (no ZeRO, or only the model states were copied)", {
      path: files.tagFolder,
      hint: "DeepSpeed without ZeRO loads on any number of ranks; else copy the *_optim_states.pt files too.",
    });
  }
  const partitions = await (first.stage === 3 ? readSplitPartitions(content) : readFlatPartitions(content));
  return {
    ...content,
    stage: first.stage,
    ranks: first.ranks,
    deepspeed: versionOf(content),
    groups: partitions.groups,
    lossScaler: first.dict.get("loss_scaler"),
    partitions,
  };
}

/** Returns the doubts whether the files of a checkpoint belong together that a merge of it has, too. */
export async function doubtsOf(optimizer: ZeroOptimizer): Promise<string[]> {
  const { partitions, groups, shards, ranks } = optimizer;
  if (partitions.kind === "split") return doubtsOfSameShards(await readSubGroups(shards));
  // In the order of the flat groups, of which each shard has a part.
  const trained = partitions.layouts.flatMap(({ order }, g) =>
    order.map((place) => {
      const { name, fp32 } = groups[g]!.parameters[place]!;
      return [name, fp32] as const;
    }),
  );
  return doubtOfCopies(trained, optimizer, ranks, "DeepSpeed goes on with the optimizer's");
}
