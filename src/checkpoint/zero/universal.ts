/**
 * Reads universal checkpoints, which ds_to_universal.py makes of ZeRO checkpoints. They have one folder a parameter, with its
 * whole tensors in files of their own, beside the model states of the ZeRO checkpoint, which have everything that is not trained.
 *
 * Source: deepspeed/checkpoint/ds_to_universal.py (merge_tp_slices, merge_zero3_slices), constants.py.
 */
import { fromReader, VistaError } from "../../core/errors.js";
import { openAll } from "../../core/io/open-all.js";
import { filesAtOnce, joinPlace, listFolder, parentPlace, placeName } from "../../core/io/places.js";
import type { RunOptions } from "../../core/progress.js";
import { numelOf } from "../tensor/dtype.js";
import { makeTensor, type Tensor } from "../tensor/tensor.js";
import type { TorchFile } from "../torch/file.js";
import { asDict, type PyValue } from "../torch/objects.js";
import { readTorchFile } from "../torch/read.js";
import { TorchTensor } from "../torch/values.js";
import { checkModelsTogether } from "./consistency.js";
import { isStage3ModelStates } from "./layout.js";
import { listedShapes } from "./param-shapes.js";
import { flatPieces } from "./pieces.js";
import { type CheckpointContent, closeAll } from "./states.js";

/** The name of the folder below the tag folder that holds the parameters' folders. */
export const UNIVERSAL_FOLDER = "zero";

/** The name of the file in that folder, beside the parameters', with what the optimizer has for all of them. */
export const COMMON_STATE = "optimizer_state.pt";

/** The keys of a parameter's file that leave its tensor whole; `cat_dim` says where tensor parallelism would cut it. */
const KNOWN_KEYS = new Set(["param", "cat_dim"]);

/** What a universal checkpoint keeps for one parameter. */
export interface UniversalParameter {
  readonly name: string;
  readonly fp32: Tensor;
  readonly states: ReadonlyMap<string, Tensor>;
  /** The values in the parameter's other files (`step`), each with the file that it is in. */
  readonly values: ReadonlyMap<string, { readonly value: PyValue; readonly file: TorchFile }>;
}

export interface Universal {
  readonly stage: 1 | 2 | 3;
  /** The trained parameters by param group, in the order of `param_shapes`. */
  readonly groups: readonly (readonly UniversalParameter[])[];
  readonly torchFiles: readonly TorchFile[];
}

/**
 * Opens the files of every parameter that the model states list.
 * @param what  whether only the `fp32.pt` of each is opened, or all of its files
 * @throws VistaError `NOT_FOUND` for a parameter without a file, `INCONSISTENT`, `UNSUPPORTED` for what was tensor or expert
 *   parallel, `FORMAT`, and what reading the files throws
 */
export async function readUniversal(
  content: CheckpointContent,
  what: "weights" | "optimizer",
  options: RunOptions & { verify?: boolean },
): Promise<Universal> {
  const { files, models } = content;
  const { tagFolder } = files;
  const [model] = models;
  // The names of the files say stage 3; else the config may say 1.
  const stage = isStage3ModelStates(files.modelStates[0]!.path) ? 3 : model.configuredStage === 1 ? 1 : 2;
  checkModelsTogether(content, stage);
  const shapes = listedShapes(model, undefined);
  const states = new Map<string, readonly string[]>();
  for (const name of shapes.flatMap((group) => [...group.keys()]))
    states.set(name, what === "weights" ? ["fp32"] : await statesOf(tagFolder, name));
  for (const shape of shapes) checkSameStates(tagFolder, [...shape.keys()], states);
  const paths = [...states].flatMap(([name, all]) =>
    all.map((state) => universalPath(tagFolder, name, state)),
  );
  const torchFiles = await openAll(
    paths,
    filesAtOnce(tagFolder),
    (path) => openFile(path, options),
    ({ file }) => file.close(),
    options,
  );
  try {
    let next = 0;
    const groups: UniversalParameter[][] = [];
    for (const shape of shapes) {
      const group: UniversalParameter[] = [];
      for (const [name, dimensions] of shape) {
        const fp32 = await tensorIn(torchFiles[next++]!, name, dimensions);
        const tensors = new Map<string, Tensor>();
        const values: Map<string, { value: PyValue; file: TorchFile }> = new Map();
        for (const state of states.get(name)!.slice(1)) {
          const file = torchFiles[next++]!;
          if (state === "step") values.set(state, { value: file.value, file });
          else tensors.set(state, await tensorIn(file, name, dimensions));
        }
        group.push({ name, fp32, states: tensors, values });
      }
      groups.push(group);
    }
    return { stage, groups, torchFiles };
  } catch (error) {
    await closeAll(torchFiles);
    throw error;
  }
}

/** Lists what a parameter has a file of, `fp32` first. */
async function statesOf(tagFolder: string, name: string): Promise<string[]> {
  const folder = parentPlace(universalPath(tagFolder, name, "fp32"));
  const found = await listFolder(folder).catch(() => []); // Where there is no folder, the error later names its fp32.pt.
  const other = found
    .filter((entry) => /^(?!fp32\.).*\.pt$/.test(entry.name))
    .map((entry) => entry.name.slice(0, -3));
  return ["fp32", ...other.sort()];
}

/**
 * Checks that the optimizer has each of its states for all parameters of a group.
 * @throws VistaError `NOT_FOUND` for one that a parameter lacks
 */
function checkSameStates(
  tagFolder: string,
  names: readonly string[],
  states: ReadonlyMap<string, readonly string[]>,
): void {
  const holders = new Map(names.flatMap((name) => states.get(name)!.map((state) => [state, name] as const)));
  for (const name of names) {
    const lacking = [...holders].find(([state]) => !states.get(name)!.includes(state));
    if (lacking === undefined) continue;
    const [state, holder] = lacking;
    throw incomplete(
      `the parameter ${name} has no ${state}.pt, ${holder} of its group has one`,
      parentPlace(universalPath(tagFolder, name, state)),
    );
  }
}

function incomplete(what: string, path: string, cause?: unknown): VistaError {
  const hint = "The universal checkpoint is incomplete: copy it again, or make it again.";
  return new VistaError("NOT_FOUND", what, { path, hint, cause });
}

/** Opens what the optimizer has for all parameters. @throws VistaError `NOT_FOUND`, and what reading it throws */
export function openCommonState(tagFolder: string, options: { verify?: boolean }): Promise<TorchFile> {
  return openFile(joinPlace(tagFolder, UNIVERSAL_FOLDER, COMMON_STATE), options);
}

async function openFile(path: string, options: { verify?: boolean }): Promise<TorchFile> {
  try {
    return await readTorchFile(path, { verify: options.verify });
  } catch (error) {
    if (error instanceof VistaError && error.code === "NOT_FOUND" && placeName(path) === "fp32.pt") {
      const name = placeName(parentPlace(path));
      throw incomplete(`the model states list the parameter ${name}, it has no fp32.pt`, path, error);
    }
    throw fromReader(error, path);
  }
}

/** Returns the path of one state of one parameter. @throws VistaError `FORMAT` for a name that is no name of a folder or file */
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

/**
 * Returns the tensor in a parameter's file, in the parameter's shape. Stages 1 and 2 have `{"param": tensor}`, stage 3 has a flat
 * tensor by itself.
 */
async function tensorIn(torchFile: TorchFile, name: string, shape: readonly number[]): Promise<Tensor> {
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
