/**
 * The keys of a shard's `optimizer_state_dict`, as the versions of DeepSpeed wrote them. A key that is not among them may say
 * that the flat vectors are laid out in a way that is not known here, as `param_alignment_paddings` did when it was new. Reading
 * on regardless would give every parameter another's elements.
 *
 * Source: `state_dict` and `_rigid_state_dict` in deepspeed/runtime/zero/stage1.py, stage2.py, stage3.py, stage_1_and_2.py and
 * bf16_optimizer.py of 0.3.16, 0.5.3, 0.5.10, 0.6.0, 0.7.7, 0.9.0, 0.10.1, 0.14.5, 0.16.9 and 0.19.8.
 */
import { oneLine, VistaError } from "../../core/errors.js";
import type { PyDict, PyValue } from "../torch/objects.js";

/** The keys that are known, each with the first of the versions above that wrote it. */
const KNOWN_KEYS: Readonly<Record<string, string>> = {
  // These hold the flat vectors and say how they are cut.
  single_partition_of_fp32_groups: "0.3.16",
  fp32_flat_groups: "0.3.16",
  zero_stage: "0.3.16",
  partition_count: "0.3.16",
  param_shapes: "0.3.16",
  group_paddings: "0.6.0",
  param_alignment_paddings: "0.19.8",
  // These hold the optimizer's own state, and numbers that have no part in the layout.
  base_optimizer_state: "0.3.16",
  base_optimizer_state_step: "0.14.5",
  optimizer_state_dict: "0.3.16",
  loss_scaler: "0.3.16",
  dynamic_loss_scale: "0.3.16",
  overflow: "0.3.16",
  ds_version: "0.5.3",
  clip_grad: "0.6.0",
  param_slice_mappings: "0.7.7",
  universal_checkpoint_info: "0.19.8",
};

/** The keys that are known to mean another layout, each with what it stands for. */
const OTHER_LAYOUTS: Readonly<Record<string, string>> = {
  local_sub_partitions_of_fp32_groups: "the sub-partitions of ZeRO stage 1 before DeepSpeed 0.3.17",
  ds_zero_partition_groups: "expert parameters that are partitioned over groups of their own (AutoEP)",
};

const WAY_OUT =
  "Merge it with the zero_to_fp32.py of the DeepSpeed that saved it; `vista-ckpt to-st` reads its output.";

/**
 * Checks that a shard has no key that may change how its vectors are laid out.
 * @throws VistaError `UNSUPPORTED` for a key that is not empty and either unknown or known to mean another layout
 */
export function checkLayoutKeys(state: PyDict, path: string, dsVersion: string | undefined): void {
  const where = { path, record: "optimizer_state_dict", hint: WAY_OUT };
  const writer = dsVersion === undefined ? "an unknown DeepSpeed" : `DeepSpeed ${oneLine(dsVersion)}`;
  for (const [key, value] of state) {
    const name = typeof key === "string" ? key : String(typeof key);
    if (Object.hasOwn(KNOWN_KEYS, name) || saysNothing(value)) continue;
    if (Object.hasOwn(OTHER_LAYOUTS, name)) {
      throw new VistaError("UNSUPPORTED", `${name}: ${OTHER_LAYOUTS[name]}`, where);
    }
    throw new VistaError(
      "UNSUPPORTED",
      `the shard of ${writer} has the key ${JSON.stringify(name)}, which may change how its vectors are laid out`,
      where,
    );
  }
}

function saysNothing(value: PyValue): boolean {
  if (value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  return (value instanceof Map || value instanceof Set) && value.size === 0;
}
