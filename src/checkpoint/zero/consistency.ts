/** Checks that the files of one checkpoint belong together: their ranks, stages, versions, steps, dtypes and paddings. */
import { basename } from "node:path";
import { VistaError } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { asDict, asInteger, PyObject } from "../torch/objects.js";
import type { CheckpointFiles, RankFile } from "./layout.js";
import { numberIn } from "./number-in.js";
import type { Mismatch } from "./partition.js";
import type { CheckpointContent, ModelState, ShardState } from "./states.js";

/**
 * Compares what every shard and every model-states file says of the whole checkpoint.
 * @throws VistaError `INCONSISTENT`, `NOT_FOUND` for missing ranks
 */
export async function checkTogether({ files, shards, models }: CheckpointContent): Promise<void> {
  refuseMics(files, shards[0]!, models[0]!);
  same(files, shards, "the number of ranks that saved", (shard) => shard.ranks);
  same(files, shards, "the ZeRO stage", (shard) => shard.stage);
  same(files, [...shards, ...models], "the DeepSpeed version", (state) => state.dsVersion);
  same(files, shards, "the number of param groups", (shard) => shard.groups.length);
  for (let g = 0; g < shards[0]!.groups.length; g++) {
    same(files, shards, `the dtype of group ${g}`, ({ groups }) =>
      groups[g]!.shape[0] === 0 ? undefined : groups[g]!.dtype,
    );
  }
  same(files, shards, "param_alignment_paddings", ({ alignmentPaddings }) =>
    alignmentPaddings === undefined ? "none" : JSON.stringify(alignmentPaddings),
  );
  checkRanks(files, shards[0]!.ranks, "optimizer shards", files.shards);
  if (shards[0]!.stage === 3) {
    checkRanks(files, shards[0]!.ranks, "model states", files.modelStates);
    same(files, models, "global_steps", (model) => model.globalSteps);
  }
  const ranks = models[0]!.ranks;
  // The two are comparable, since dp_world_size counts data-parallel ranks, as partition_count does.
  if (ranks !== undefined && ranks !== shards[0]!.ranks) {
    throw contradiction(
      `${basename(models[0]!.path)} was saved by ${ranks} ranks, the optimizer shards by ${shards[0]!.ranks}`,
      files.tagFolder,
    );
  }
  same(files, shards, "the steps that the loss scaler counts", scaledSteps);
  const steps = new Map<ShardState, number | undefined>();
  for (const shard of shards) steps.set(shard, await numberIn(shard.step, shard.torchFile));
  same(files, shards, "the optimizer's step", (shard) => steps.get(shard));
}

/**
 * Returns the `cur_iter` of DeepSpeed's DynamicLossScaler, which all ranks count on in every step, also in those that overflow.
 *
 * Source: deepspeed/runtime/fp16/loss_scaler.py (update_scale), zero/stage3.py and stage_1_and_2.py (step).
 */
function scaledSteps({ dict }: ShardState): number | undefined {
  const scaler = dict.get("loss_scaler");
  return scaler instanceof PyObject ? asInteger(asDict(scaler.state)?.get("cur_iter")) : undefined;
}

/**
 * Compares what the model states of a universal checkpoint say of it.
 * @throws VistaError `INCONSISTENT`, `NOT_FOUND` for missing ranks of stage 3
 */
export function checkModelsTogether({ files, models }: CheckpointContent, stage: 1 | 2 | 3): void {
  same(files, models, "the DeepSpeed version", (model) => model.dsVersion);
  same(files, models, "global_steps", (model) => model.globalSteps);
  same(files, models, "the number of ranks that saved", (model) => model.ranks);
  if (stage !== 3) return;
  const last = Math.max(...files.modelStates.map(({ rank }) => rank));
  checkRanks(files, models[0]!.ranks ?? last + 1, "model states", files.modelStates);
}

/**
 * Refuses a checkpoint of MiCS (DeepSpeed 0.9.3 to 0.18). MiCS is stage 3 within groups of ranks, and only the first group saves
 * its shards.
 * @throws VistaError `UNSUPPORTED`
 */
function refuseMics(files: CheckpointFiles, shard: ShardState, model: ModelState): void {
  const { micsShardSize, ranks } = model;
  if (micsShardSize === undefined || ranks === shard.ranks) return;
  throw new VistaError(
    "UNSUPPORTED",
    `a MiCS checkpoint: ${ranks ?? "an unknown number of"} ranks in groups of ${micsShardSize} (mics_shard_size), each with a copy of the weights`,
    {
      path: files.tagFolder,
      hint:
        "Load it in DeepSpeed with the same mics_shard_size and save the weights with engine.save_16bit_model: " +
        "`vista-ckpt to-st` reads that file.",
    },
  );
}

/** Checks that all states that say anything say the same. @throws VistaError `INCONSISTENT` */
function same<T extends { path: string }>(
  files: CheckpointFiles,
  states: readonly T[],
  what: string,
  value: (state: T) => number | string | undefined,
): void {
  const said = new Map<number | string, T[]>();
  for (const state of states) {
    const saying = value(state);
    if (saying !== undefined) remember(said, saying, () => []).push(state);
  }
  if (said.size <= 1) return;
  const shown = [...said].map(([saying, sayers]) => {
    const more = sayers.length > 1 ? ` and ${sayers.length - 1} more` : "";
    return `${saying} in ${basename(sayers[0]!.path)}${more}`;
  });
  throw contradiction(`the files differ in ${what}: ${shown.join(", ")}`, files.tagFolder);
}

function checkRanks(files: CheckpointFiles, ranks: number, what: string, of: readonly RankFile[]): void {
  const found = of.map(({ rank }) => rank);
  const there = new Set(found);
  const missing = Array.from({ length: ranks }, (_, rank) => rank).filter((rank) => !there.has(rank));
  const surplus = found.filter((rank) => rank >= ranks);
  const counts = `${ranks} ranks saved this checkpoint, ${found.length} ${what} are here`;
  if (missing.length > 0) {
    throw new VistaError("NOT_FOUND", `${counts}; missing: rank ${enumerate(missing)}`, {
      path: files.tagFolder,
      hint: "With node-local disks each node keeps the shards of its own ranks: copy them all into this folder.",
    });
  }
  if (surplus.length > 0)
    throw contradiction(`${counts}; surplus: rank ${enumerate(surplus)}`, files.tagFolder);
}

function enumerate(ranks: readonly number[]): string {
  return ranks.length > 8 ? `${ranks.slice(0, 8).join(", ")} and ${ranks.length - 8} more` : ranks.join(", ");
}

/** Returns the error for parameters whose sizes are not those of what the ranks hold. */
export function sizeMismatch(
  { tagFolder }: CheckpointFiles,
  { needed, available }: Mismatch,
  what: string,
  parameters: number,
): VistaError {
  return contradiction(
    `${what}: ${parameters} parameters need ${needed} elements, the ranks hold ${available}`,
    tagFolder,
  );
}

/** Returns the error for what files say that contradicts what others, or the names and shapes, say. */
export function contradiction(what: string, path: string): VistaError {
  return new VistaError("INCONSISTENT", what, {
    path,
    hint:
      "Files of two runs or two moments lie in this folder, or one is damaged: copy the checkpoint again, or move the files of the " +
      "other run away.",
  });
}
