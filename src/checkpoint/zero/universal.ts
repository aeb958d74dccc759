/**
 * Universal checkpoints: what ds_to_universal.py makes of a ZeRO checkpoint. One folder a parameter, with its whole tensors in
 * files of their own, beside the model states of the ZeRO checkpoint, which have everything that is not trained.
 *
 * Source: deepspeed/checkpoint/ds_to_universal.py (merge_tp_slices, merge_zero3_slices), constants.py.
 */
import { fromReader, throwIfAborted, VistaError } from "../../core/errors.js";
import { joinPlace } from "../../core/io/places.js";
import { settleAll } from "../../core/io/settle.js";
import type { RunOptions } from "../../core/progress.js";
import { numelOf } from "../tensor/dtype.js";
import { makeTensor, type Tensor } from "../tensor/tensor.js";
import { asDict } from "../torch/objects.js";
import { readTorchFile, type TorchFile } from "../torch/read.js";
import { TorchTensor } from "../torch/values.js";
import { checkModelsTogether } from "./consistency.js";
import { type CheckpointFiles, isStage3ModelStates } from "./layout.js";
import { flatPieces } from "./pieces.js";
import type { ModelState, Shapes } from "./states.js";

/** Below the tag folder. */
export const UNIVERSAL_FOLDER = "zero";

/** Files opened side by side. */
const AT_ONCE = 16;

/** Keys beside `param` that leave the tensor whole; `cat_dim` says how tensor parallelism would cut it. */
const KNOWN_KEYS = new Set(["param", "cat_dim"]);

export interface UniversalWeights {
  readonly stage: 1 | 2 | 3;
  /** The fp32 tensor of each trained parameter, in the order of `param_shapes`. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly torchFiles: readonly TorchFile[];
}

/**
 * Opens `fp32.pt` of every parameter that the model states list.
 * @throws VistaError `NOT_FOUND` for a parameter without a file, `INCONSISTENT`, `UNSUPPORTED` for what was tensor or expert
 *   parallel, `FORMAT`, and what reading the files throws
 */
export async function readUniversalWeights(
  files: CheckpointFiles,
  models: readonly ModelState[],
  options: RunOptions & { verify?: boolean },
): Promise<UniversalWeights> {
  const [model] = models;
  const stage = stageOf(files, model!);
  checkModelsTogether(files, models, stage);
  if (model!.paramShapes === undefined) {
    throw new VistaError("FORMAT", "the model states have no param_shapes, which names the parameters", {
      path: model!.path,
      hint: "Copy the model states of the ZeRO checkpoint that this was made from.",
    });
  }
  const shapes = model!.paramShapes.flatMap((group) => [...group]);
  const torchFiles: TorchFile[] = [];
  const weights = new Map<string, Tensor>();
  try {
    while (torchFiles.length < shapes.length) {
      throwIfAborted(options.signal);
      const batch = shapes.slice(torchFiles.length, torchFiles.length + AT_ONCE);
      const outcomes = await Promise.allSettled(batch.map(([name]) => open(files, name, options)));
      for (const outcome of outcomes) if (outcome.status === "fulfilled") torchFiles.push(outcome.value);
      for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
      const opened = torchFiles.slice(-batch.length);
      for (const [i, [name, shape]] of batch.entries()) {
        if (weights.has(name)) throw twice(name, model!);
        weights.set(name, await weightIn(opened[i]!, name, shape));
      }
      options.onProgress?.({ phase: "open", done: torchFiles.length, total: shapes.length, unit: "files" });
    }
    return { stage, weights, torchFiles };
  } catch (error) {
    await settleAll(torchFiles.map(({ file }) => file.close()));
    throw error;
  }
}

/** What the config says, where it fits the names of the files; else what those say. */
function stageOf(files: CheckpointFiles, model: ModelState): 1 | 2 | 3 {
  if (isStage3ModelStates(files.modelStates[0]!.path)) return 3;
  return model.configuredStage === 1 ? 1 : 2;
}

async function open(files: CheckpointFiles, name: string, options: { verify?: boolean }): Promise<TorchFile> {
  const path = universalPath(files.tagFolder, name, "fp32");
  try {
    return await readTorchFile(path, { verify: options.verify ?? true });
  } catch (error) {
    if (error instanceof VistaError && error.code === "NOT_FOUND") {
      throw new VistaError("NOT_FOUND", `the model states list the parameter ${name}, it has no fp32.pt`, {
        path,
        hint: "The universal checkpoint is incomplete: copy it again, or make it again.",
        cause: error,
      });
    }
    throw fromReader(error, path);
  }
}

/** The file of one state of one parameter. @throws VistaError `FORMAT` for a name that is no name of a folder */
export function universalPath(tagFolder: string, name: string, state: string): string {
  for (const part of [name, state]) {
    if (/[/\\\0]/.test(part) || part === "" || part === "." || part === "..") {
      throw new VistaError("FORMAT", `the name ${JSON.stringify(part)} is no name of a folder or file`, {
        path: tagFolder,
        hint: "In a universal checkpoint every parameter has a folder of its own name.",
      });
    }
  }
  return joinPlace(tagFolder, UNIVERSAL_FOLDER, name, `${state}.pt`);
}

/** Stages 1 and 2 have `{"param": tensor}`, stage 3 a flat tensor by itself. */
async function weightIn(torchFile: TorchFile, name: string, shape: Shape): Promise<Tensor> {
  const { path } = torchFile.file;
  const dict = asDict(torchFile.value);
  const foreign = [...(dict?.keys() ?? [])].find((key) => !KNOWN_KEYS.has(String(key)));
  if (foreign !== undefined && dict!.has("param")) {
    throw new VistaError(
      "UNSUPPORTED",
      `the parameter ${name} was saved with tensor or expert parallelism: its file has the key ${String(foreign)}`,
      {
        path,
        hint: "Load it in DeepSpeed with the code that saved it and save the weights with torch.save.",
      },
    );
  }
  const value = dict === undefined ? torchFile.value : dict.get("param");
  if (!(value instanceof TorchTensor)) {
    throw new VistaError("FORMAT", "is neither a tensor nor a dict with a tensor under `param`", {
      path,
      hint: "Make the universal checkpoint again.",
    });
  }
  if (String(value.shape) === String(shape)) return torchFile.tensor(value);
  if (value.shape.length !== 1 || value.shape[0] !== numelOf(shape)) {
    throw new VistaError(
      "INCONSISTENT",
      `the parameter ${name} has the shape [${value.shape.join(", ")}], the model states say [${shape.join(", ")}]`,
      { path, hint: "The files are of two checkpoints: make the universal checkpoint again." },
    );
  }
  return makeTensor(value.dtype, shape, { kind: "pieces", pieces: await flatPieces(torchFile, value) });
}

type Shape = Shapes extends ReadonlyMap<string, infer S> ? S : never;

function twice(name: string, model: ModelState): VistaError {
  return new VistaError("INCONSISTENT", `${name} is listed twice, in two param groups`, {
    path: model.path,
    hint: "DeepSpeed lists each parameter once: copy the checkpoint again.",
  });
}
