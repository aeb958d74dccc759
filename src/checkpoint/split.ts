/**
 * Splits a state dict into files of a largest size.
 *
 * Source: huggingface_hub, serialization/_base.py (split_state_dict_into_shards_factory).
 */
import type { StateDict, Tensor } from "./tensor/tensor.js";

/**
 * Fills files greedily, in the order of the names. A tensor above the limit gets a file of its own.
 *
 * @param maxSize  the largest number of bytes of tensors in one file
 * @param shared  true where names with one tensor share its bytes (torch files): the bytes count once and the names stay together
 * @returns the names of each file; one file where everything fits
 */
export function splitState(state: StateDict, maxSize: number, shared: boolean): string[][] {
  if (maxSize === Infinity) return [[...state.tensors.keys()]];
  const files: string[][] = [];
  const fileOf = new Map<Tensor, string[]>();
  const aliases: [string, Tensor][] = [];
  let current: string[] = [];
  let size = 0;
  for (const [name, tensor] of state.tensors) {
    if (shared && fileOf.has(tensor)) {
      aliases.push([name, tensor]);
      continue;
    }
    if (tensor.byteLength > maxSize) {
      const own = [name];
      fileOf.set(tensor, own);
      files.push(own);
      continue;
    }
    if (size + tensor.byteLength > maxSize) {
      files.push(current);
      current = [];
      size = 0;
    }
    current.push(name);
    fileOf.set(tensor, current);
    size += tensor.byteLength;
  }
  if (current.length > 0 || files.length === 0) files.push(current);
  // A single file keeps the order of the names, those of shared tensors included.
  if (files.length === 1) return [[...state.tensors.keys()]];
  for (const [name, tensor] of aliases) fileOf.get(tensor)!.push(name);
  return files;
}
