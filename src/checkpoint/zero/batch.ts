/** What another number of ranks means for the effective batch. */
import { asDict, asInteger } from "../torch/objects.js";
import type { ModelState } from "./states.js";

export interface ReshardBatch {
  /** `train_micro_batch_size_per_gpu` of the DeepSpeed config; `undefined` where it does not say (or says `auto`). */
  readonly perRank: number | undefined;
  /** `gradient_accumulation_steps`, 1 where it does not say. */
  readonly accumulation: number;
  /** Samples of one step: per rank × accumulation × ranks, on the old and on the new number of ranks. */
  readonly before: number | undefined;
  readonly after: number | undefined;
  /** The accumulation that keeps the old number of samples a step on the new ranks, where a whole number does. */
  readonly keepAccumulation: number | undefined;
}

export function batchOf(model: ModelState, before: number, after: number): ReshardBatch {
  const config = asDict(asDict(model.torchFile.value)?.get("ds_config"));
  const positive = (key: string) => {
    const value = asInteger(config?.get(key));
    return value !== undefined && value > 0 ? value : undefined;
  };
  const accumulation = positive("gradient_accumulation_steps") ?? 1;
  const perRank = positive("train_micro_batch_size_per_gpu");
  const keep = (accumulation * before) / after;
  return {
    perRank,
    accumulation,
    before: perRank === undefined ? undefined : perRank * accumulation * before,
    after: perRank === undefined ? undefined : perRank * accumulation * after,
    keepAccumulation: Number.isInteger(keep) ? keep : undefined,
  };
}
