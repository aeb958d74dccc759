/** Says what a torch file holds that has no state dict, for errors: a module that was pickled whole, one tensor, a list. */
import { firstNames, shorten, VistaError } from "../../core/errors.js";
import { plural } from "../../core/text.js";
import type { TorchFile } from "./file.js";
import { asDict, asItems, keyText, PyObject, type PyValue } from "./objects.js";
import { storagesIn, walk } from "./storages.js";
import { isTensorLike, TorchTensor } from "./values.js";

/** What to do about a module that was pickled whole, as the end of a sentence. */
export const MODULE_HINT =
  "where the module's code can be imported and is trusted, save its state dict: " +
  "torch.save(torch.load(FILE, weights_only=False).state_dict(), OUT).";

/** Returns the first module in a value, such as torch.save(model) pickles; only its own code can name its tensors. */
export function moduleIn(value: PyValue): { path: string; id: string } | undefined {
  let found: { path: string; id: string } | undefined;
  walk(value, (current, at) => {
    if (found !== undefined || !(current instanceof PyObject)) return;
    const state = asDict(current.state);
    if (state?.has("_parameters") && state.has("_modules"))
      found = { path: at(), id: shorten(keyText(moduleClass(current)), 200) };
  });
  return found;
}

/** Returns the class of an object, which is called itself or is the first argument of `copyreg._reconstructor`. */
function moduleClass({ callable, args, id }: PyObject): PyValue {
  return id === "copyreg._reconstructor" ? (asItems(args)?.[0] ?? callable) : callable;
}

export function nothingThere(file: TorchFile): VistaError {
  const module = moduleIn(file.value);
  if (module !== undefined) {
    const where = module.path === "" ? "" : ` under ${module.path}`;
    return new VistaError(
      "WRONG_KIND",
      `it holds a whole module (${module.id})${where}, as torch.save(model) pickles it, and no state dict`,
      { path: file.file.path, hint: `${MODULE_HINT[0]!.toUpperCase()}${MODULE_HINT.slice(1)}` },
    );
  }
  const keys = [...(asDict(file.value)?.keys() ?? [])].map((name) => shorten(keyText(name), 80));
  const there = [...storagesIn(file.value, file.file.path).tensors.values()];
  const parts = [
    keys.length === 0 ? `it is ${kindOf(file.value)}` : `its keys: ${firstNames(keys, 10)}`,
    ...(there.length === 0 || file.value instanceof TorchTensor
      ? []
      : [`${plural(there.length, "tensor")} in it, under ${firstNames(there)}`]),
  ];
  return new VistaError("FORMAT", `no state dict in it; ${parts.join("; ")}`, {
    path: file.file.path,
    hint: "A state dict maps names to tensors.",
  });
}

/** Tells what a value is, for a message: `a list of 3`, `a __main__.Config`. */
function kindOf(value: PyValue): string {
  if (isTensorLike(value)) return "one tensor without a name";
  if (value instanceof PyObject) return `a ${shorten(value.id, 200)}`;
  const items = asItems(value);
  if (items !== undefined) return `a list of ${items.length}`;
  if (asDict(value) !== undefined) return "an empty dict";
  if (value === null) return "None";
  if (typeof value === "object") return "an object";
  return typeof value === "bigint" ? "a number" : `a ${typeof value}`;
}
