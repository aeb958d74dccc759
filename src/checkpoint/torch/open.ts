/** A torch file as a state dict. */
import { shorten, VistaError } from "../../core/errors.js";
import { StateDict, type Tensor } from "../tensor/tensor.js";
import { asDict, keyText, type PyDict } from "./objects.js";
import { type ReadTorchOptions, readTorchFile, type TorchFile, tensorsAt } from "./read.js";
import { TorchTensor, unsupportedTensor } from "./values.js";

/** Where training code puts the state dict: Lightning, DeepSpeed's model states, many others. */
const USUAL_KEYS = ["state_dict", "module", "model"];

export interface OpenTorchOptions extends ReadTorchOptions {
  /** The key of the state dict in the file; default: the file itself, else `state_dict`, `module` or `model`. */
  key?: string;
}

/**
 * Opens a file of torch.save (zip or legacy) as a state dict; no weight is read. Entries that are no tensors are left
 * out. Close the state dict when done.
 *
 * @throws VistaError `FORMAT` where there is no state dict in it, `UNSUPPORTED` for tensors that only torch can rebuild,
 *   and what {@link readTorchFile} throws
 */
export async function openTorchFile(path: string, options: OpenTorchOptions = {}): Promise<StateDict> {
  const file = await readTorchFile(path, options);
  try {
    const tensors = await tensorsOf(file, findStateDict(file, options.key));
    return new StateDict(tensors, [file.file]);
  } catch (error) {
    await file.file.close();
    throw error;
  }
}

/** The dict that holds tensors. @throws VistaError `FORMAT` */
export function findStateDict(file: TorchFile, key?: string): PyDict {
  const top = asDict(file.value);
  const places =
    key === undefined ? [top, ...USUAL_KEYS.map((name) => asDict(top?.get(name)))] : [asDict(top?.get(key))];
  const found = places.find(
    (dict) => dict !== undefined && [...dict.values()].some((value) => value instanceof TorchTensor),
  );
  if (found !== undefined) return found;
  const keys =
    top === undefined
      ? ""
      : `; its keys: ${[...top.keys()]
          .slice(0, 10)
          .map((key) => shorten(keyText(key), 80))
          .join(", ")}`;
  throw new VistaError(
    "FORMAT",
    `no state dict in it${key === undefined ? "" : ` under ${JSON.stringify(key)}`}${keys}`,
    {
      path: file.file.path,
      hint: "A state dict maps names to tensors.",
    },
  );
}

/** @throws VistaError `UNSUPPORTED`, `FORMAT` */
export async function tensorsOf(file: TorchFile, dict: PyDict): Promise<Map<string, Tensor>> {
  const descriptions = new Map<string, TorchTensor>();
  for (const [name, value] of dict) {
    if (value instanceof TorchTensor) {
      descriptions.set(keyText(name), value);
      continue;
    }
    const kind = unsupportedTensor(value);
    if (kind !== undefined) {
      throw new VistaError("UNSUPPORTED", `a tensor that only torch can rebuild (${kind})`, {
        path: file.file.path,
        record: keyText(name),
      });
    }
  }
  const tensors = await tensorsAt(file, descriptions.values());
  return new Map([...descriptions.keys()].map((name, i) => [name, tensors[i]!]));
}
