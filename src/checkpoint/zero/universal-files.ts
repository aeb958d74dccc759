/**
 * Makes the files of a universal checkpoint from the optimizer of a ZeRO checkpoint, each as parts to be written.
 *
 * Source: deepspeed/checkpoint/ds_to_universal.py of 0.19.8 (merge_tp_slices, merge_zero3_slices, _save_optimizer_state and
 * _save_optimizer_state_stage3).
 */
import { basename } from "node:path";
import { VistaError } from "../../core/errors.js";
import { contentOf, type FileContent, isCopied, lengthOf } from "../copy/parts.js";
import { canCast } from "../tensor/cast.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { castTensor, contiguousStrides, type Tensor } from "../tensor/tensor.js";
import type { TorchFile } from "../torch/file.js";
import { asDict, PyFloat, PyGlobal, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { tensorsAt, wholeCrc32 } from "../torch/read.js";
import { NewStorage, planNewFile, planRewrittenFile, wholeRegion } from "../torch/rewrite-file.js";
import { TorchTensor } from "../torch/values.js";
import type { ZeroOptimizer } from "./optimizer.js";
import { refuse } from "./optimizer-states.js";
import { COMMON_STATE, UNIVERSAL_FOLDER, universalPath } from "./universal.js";

/** A file of a universal checkpoint; its name is the path below the tag folder. */
export interface UniversalFile {
  readonly name: string;
  readonly content: FileContent;
}

const PROTOCOL = 2;

/** The keys of optimizer_state_dict with a rank's own part, which `optimizer_state.pt` of stages 1 and 2 leaves out. */
const SHARDED = new Set(["base_optimizer_state", "param_slice_mappings", "single_partition_of_fp32_groups"]);

/**
 * Yields the files in this order: the trained parameters, in stages 1 and 2 everything else that `module` has as float32, the
 * optimizer's common state, and the model states as they are.
 * @param verify  whether the model states, which are copied whole, are checked
 * @throws VistaError `UNSUPPORTED` for an elastic checkpoint and for a tensor that float32 cannot hold, `FORMAT` for a name that
 *   is no name of a folder, and what reading the files throws
 */
export async function* universalFiles(
  optimizer: ZeroOptimizer,
  verify: boolean,
): AsyncGenerator<UniversalFile> {
  const { models, shards, stage, groups } = optimizer;
  const source = shards[0]!.torchFile;
  const written = new Set<string>();
  for (const { parameters, values, hyperparameters, wholeStates } of groups) {
    if (wholeStates) {
      // Its loader makes partitions of them, where Muon expects whole matrices and then reads another parameter's momentum.
      throw refuse(
        "Muon's momentum in ZeRO stage 1 or 2, which DeepSpeed does not load from a universal checkpoint",
        {
          path: shards[0]!.path,
          hint: "`vista-ckpt reshard` makes a checkpoint of it for another number of ranks.",
        },
      );
    }
    if (hyperparameters === undefined) {
      throw refuse("an elastic checkpoint, which does not save the optimizer's param_groups", {
        path: shards[0]!.path,
        hint: "Save it once without elastic_checkpoint.",
      });
    }
    const step = values.get("step");
    // The script writes no step for stage 3.
    const stepTensor = stage !== 3 && step instanceof TorchTensor ? await source.tensor(step) : undefined;
    for (const parameter of parameters) {
      written.add(parameter.name);
      for (const [state, tensor] of [["fp32", parameter.fp32] as const, ...parameter.states]) {
        yield newFile(universalPath("", parameter.name, state), [tensor], () =>
          stage === 3 ? tensorNode(tensor, [tensor.numel]) : cutNode(tensor),
        );
      }
      if (stepTensor !== undefined)
        yield newFile(universalPath("", parameter.name, "step"), [stepTensor], () => tensorNode(stepTensor));
      else if (stage !== 3 && step !== undefined)
        yield newFile(universalPath("", parameter.name, "step"), [], () =>
          typeof step === "number" && !Number.isInteger(step) ? new PyFloat(step) : step,
        );
    }
  }
  if (stage !== 3) {
    const { module, torchFile } = models[0]!;
    const rest = [...module].filter(([name]) => !written.has(name));
    const tensors = await tensorsAt(
      torchFile,
      rest.map(([, description]) => description),
    );
    for (const [i, [name]] of rest.entries()) {
      const tensor = asFloat(name, tensors[i]!, torchFile);
      yield newFile(
        universalPath("", name, "fp32"),
        [tensor],
        () => new Map([["param", tensorNode(tensor)]]),
      );
    }
  }
  const common = await planCommonState(source, stage);
  yield { name: `${UNIVERSAL_FOLDER}/${COMMON_STATE}`, content: contentOf(common) };
  for (const { torchFile } of models) yield await copyOf(torchFile, verify);
}

/**
 * Returns a file whose plan is made anew each time that it is asked for, since there are thousands.
 * @param tensors  the tensors in what `node` returns
 */
function newFile(name: string, tensors: readonly Tensor[], node: () => PyValue): UniversalFile {
  const plan = () => planNewFile({ value: node(), protocol: PROTOCOL }, name);
  return {
    name,
    content: { length: lengthOf(plan()), tensors, copied: tensors.every(isCopied), parts: plan },
  };
}

/** Converts a tensor that is not trained to float32, as the script does with `.float()`. */
function asFloat(name: string, tensor: Tensor, { file }: TorchFile): Tensor {
  if (canCast(tensor.dtype, "F32")) return castTensor(tensor, "F32");
  throw new VistaError("UNSUPPORTED", `${name} is ${tensor.dtype}, which float32 cannot hold`, {
    path: file.path,
    record: "module",
    hint: "Universal checkpoints have everything as float32: leave this tensor out of the module's state.",
  });
}

/** Returns a parameter's tensor as stages 1 and 2 have it, with the dimension in which tensor parallelism would cut it. */
function cutNode(tensor: Tensor): PyValue {
  return new Map<PyValue, PyValue>([
    ["cat_dim", 0],
    ["param", tensorNode(tensor)],
  ]);
}

/**
 * Returns the call that rebuilds a contiguous tensor: `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad,
 * backward_hooks)`.
 * @param shape  its shape there: in stage 3 a parameter's tensor is flat
 */
function tensorNode(tensor: Tensor, shape = tensor.shape): PyValue {
  const { storage } = dtypeInfo(tensor.dtype);
  if (storage === undefined) {
    throw new VistaError(
      "UNSUPPORTED",
      `optimizer states of dtype ${tensor.dtype} in a universal checkpoint`,
      { hint: "Convert the checkpoint with DeepSpeed's ds_to_universal.py." },
    );
  }
  const id = new PyTuple(["storage", new PyGlobal("torch", storage), "0", "cpu", tensor.numel]);
  return new PyObject(
    new PyGlobal("torch._utils", "_rebuild_tensor_v2"),
    new PyTuple([
      new NewStorage(id, [tensor]),
      0,
      new PyTuple(shape),
      new PyTuple(contiguousStrides(shape)),
      false,
      new PyObject(new PyGlobal("collections", "OrderedDict"), new PyTuple([])),
    ]),
  );
}

/** Plans rank 0's optimizer_state_dict with `param_groups`, without what the parameters' files have (stage 3 leaves it in). */
async function planCommonState(source: TorchFile, stage: 1 | 2 | 3) {
  const { value, protocol } = await source.exact();
  const node = asDict(value)!.get("optimizer_state_dict")!;
  const state = asDict(node)!;
  const base = asDict(state.get(stage === 3 ? "optimizer_state_dict" : "base_optimizer_state"));
  const paramGroups = base!.get("param_groups")!;
  if (stage !== 3) {
    for (const key of SHARDED) state.delete(key);
    // The script cuts the paddings off, so it says that there are none.
    const paddings = state.get("group_paddings");
    if (Array.isArray(paddings)) paddings.fill(0);
  }
  state.set("param_groups", paramGroups);
  return planRewrittenFile(source, { value: node, protocol }, COMMON_STATE);
}

/** Returns a copy of a file, which is checked as a whole; over a network its headers would be thousands of requests. */
async function copyOf(torchFile: TorchFile, verify: boolean): Promise<UniversalFile> {
  const { file } = torchFile;
  const name = basename(file.path);
  const tensor = wholeRegion({
    file,
    name,
    offset: 0,
    length: file.size,
    crc32: verify && file.isLocal ? await wholeCrc32(torchFile) : undefined,
    mismatch: () =>
      new VistaError(
        "CHECKSUM",
        "the bytes are not those of the checksums of its records: they are damaged",
        {
          path: file.path,
          hint:
            "Copy the file again from where it was saved (`vista-ckpt verify` names the record); --no-verify goes on with the " +
            "damaged bytes.",
        },
      ),
  });
  return { name, content: contentOf([{ kind: "tensor", tensor }]) };
}
