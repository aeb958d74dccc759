/** The effective batch of a checkpoint, and what another number of ranks makes of it. */
import { asDict } from "../torch/objects.js";
import { type ModelState, positive } from "./states.js";

export interface ReshardBatch {
  /** The `train_micro_batch_size_per_gpu` of the DeepSpeed config; `undefined` where it is no positive number (`auto`). */
  readonly perRank: number | undefined;
  /** The `gradient_accumulation_steps` of the DeepSpeed config; 1 where it does not give a positive number. */
  readonly accumulation: number;
  /** The samples of one step on the old number of ranks: per rank × accumulation × ranks. */
  readonly before: number | undefined;
  /** The samples of one step on the new number of ranks. */
  readonly after: number | undefined;
  /** The accumulation that keeps the samples of a step on the new ranks; `undefined` where no whole number does. */
  readonly keepAccumulation: number | undefined;
}

export function batchOf(model: ModelState, before: number, after: number): ReshardBatch {
  const config = asDict(asDict(model.torchFile.value)?.get("ds_config"));
  const accumulation = positive(config?.get("gradient_accumulation_steps")) ?? 1;
  const perRank = positive(config?.get("train_micro_batch_size_per_gpu"));
  const keep = (accumulation * before) / after;
  return {
    perRank,
    accumulation,
    before: perRank === undefined ? undefined : perRank * accumulation * before,
    after: perRank === undefined ? undefined : perRank * accumulation * after,
    keepAccumulation: Number.isInteger(keep) ? keep : undefined,
  };
}
