/** Summarizes the optimizer of a ZeRO checkpoint for people: its states, its steps, its learning rates and its loss scale. */
import { readTensor } from "../copy/read-tensor.js";
import type { DType } from "../tensor/dtype.js";
import { castTensor } from "../tensor/tensor.js";
import { typedArrayOf } from "../tensor/typed-array.js";
import type { TorchFile } from "../torch/file.js";
import { asDict, asItems, PyLatin1, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { TorchTensor } from "../torch/values.js";
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

/** Returns a number, also where a tensor of one element or a numpy float64 holds it; `undefined` for anything else. */
export async function numberIn(value: PyValue | undefined, file: TorchFile): Promise<number | undefined> {
  if (typeof value === "number") return value;
  if (value instanceof PyObject) return numpyNumber(value);
  if (!(value instanceof TorchTensor)) return undefined;
  const tensor = await file.tensor(value);
  if (tensor.numel !== 1) return undefined;
  const single = tensor.dtype === "F16" || tensor.dtype === "BF16" ? castTensor(tensor, "F32") : tensor;
  return Number(typedArrayOf(await readTensor(single), single.dtype)[0]);
}

/** Reads numpy's float64 as its pickle spells it, `scalar(dtype('f8'), eight bytes)`: schedulers leave such learning rates. */
function numpyNumber({ id, args }: PyObject): number | undefined {
  const [dtype, value] = args instanceof PyTuple ? args.items : [];
  const isFloat64 = dtype instanceof PyObject && asItems(dtype.args)?.[0] === "f8";
  if (!/^numpy\._?core\.multiarray\.scalar$/.test(id) || !isFloat64) return undefined;
  const bytes = value instanceof PyLatin1 ? value.bytes : value;
  if (!(bytes instanceof Uint8Array) || bytes.byteLength !== 8) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
}

/** Returns `cur_scale` of DeepSpeed's LossScaler, which has 1 where nothing is scaled, or of its DynamicLossScaler. */
export function lossScaleOf(scaler: PyValue | undefined): OptimizerSummary["lossScale"] {
  if (!(scaler instanceof PyObject)) return undefined;
  const state = asDict(scaler.state);
  const value = state?.get("cur_scale");
  if (typeof value !== "number") return undefined;
  return { value, dynamic: state?.get("dynamic") === true };
}
