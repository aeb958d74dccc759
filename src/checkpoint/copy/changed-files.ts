/** The check that what a state dict was read from is still what it was when it was opened. */
import type { SourceFile } from "../../core/io/source.js";
import type { StateDict, Tensor } from "../tensor/tensor.js";
import { dependencyOrder } from "./computed.js";

/**
 * Checks that nothing wrote to the files behind a plan. They are those of its tensors: a state dict that a program made of the
 * tensors of checkpoints has none of its own.
 *
 * @throws VistaError `INCONSISTENT`
 */
export async function checkUnchanged(state: StateDict): Promise<void> {
  const files = new Set(state.files);
  const known = new Set(files);
  for (const tensor of dependencyOrder(state.tensors.values()))
    for (const { region } of placesOf(tensor)) {
      // A checkpoint brings all of its files, and of stage 3 a tensor may have a thousand places in them.
      if (known.has(region.file)) break;
      files.add(region.file);
    }
  for (const file of files) await file.checkUnchanged();
}

function placesOf({ source }: Tensor): Iterable<{ readonly region: { readonly file: SourceFile } }> {
  if (source.kind === "pieces") return source.pieces;
  if (source.kind === "boxes") return source.boxes;
  return source.kind === "strided" ? [source] : [];
}
