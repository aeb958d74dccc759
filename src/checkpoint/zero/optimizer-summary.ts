/** Summarizes the optimizer of a ZeRO checkpoint for people: its states, its steps, its learning rates and its loss scale. */
import type { DType } from "../tensor/dtype.js";
import { asDict, PyObject, type PyValue } from "../torch/objects.js";
import { numberIn } from "./number-in.js";
import type { ZeroOptimizer } from "./optimizer.js";

export interface OptimizerSummary {
  /** The dtypes of the states that have the size of their parameter (`exp_avg` …), by name; empty for plain SGD. */
  readonly states: Readonly<Record<string, DType>>;
  readonly groups: readonly OptimizerGroupSummary[];
  /** The loss scale of mixed precision; `undefined` where the checkpoint has none. */
  readonly lossScale: { readonly value: number; readonly dynamic: boolean } | undefined;
}

export interface OptimizerGroupSummary {
  readonly parameters: number;
  /** The number of steps that were taken; `undefined` where the optimizer does not count them. */
  readonly step: number | undefined;
  readonly learningRate: number | undefined;
  readonly weightDecay: number | undefined;
}

/**
 * Summarizes an optimizer. Of its tensors it reads only those of one number: step counts and hyperparameters.
 * @throws VistaError what reading the file throws
 */
export async function summarizeOptimizer(optimizer: Omit<ZeroOptimizer, "close">): Promise<OptimizerSummary> {
  const first = optimizer.shards[0]!.torchFile;
  const groups: OptimizerGroupSummary[] = [];
  for (const { parameters, values, hyperparameters } of optimizer.groups) {
    const step = values.get("step") ?? hyperparameters?.get("step");
    groups.push({
      parameters: parameters.length,
      step: await numberIn(step, first),
      learningRate: await numberIn(hyperparameters?.get("lr"), first),
      weightDecay: await numberIn(hyperparameters?.get("weight_decay"), first),
    });
  }
  return {
    states: Object.fromEntries(optimizer.groups.flatMap(({ stateTypes }) => [...stateTypes])),
    groups,
    lossScale: lossScaleOf(optimizer.lossScaler),
  };
}

/** Returns `cur_scale` of DeepSpeed's LossScaler, which has 1 where nothing is scaled, or of its DynamicLossScaler. */
export function lossScaleOf(scaler: PyValue | undefined): OptimizerSummary["lossScale"] {
  if (!(scaler instanceof PyObject)) return undefined;
  const state = asDict(scaler.state);
  const value = state?.get("cur_scale");
  if (typeof value !== "number") return undefined;
  return { value, dynamic: state?.get("dynamic") === true };
}
