/**
 * Compares the copies of trained weights in `module` with the optimizer's weights. After every step DeepSpeed makes the one from the
 * other (stage 1 and 2), so copies that differ tell of files of two moments, which nothing else may tell, and of weights that were
 * changed or replaced after DeepSpeed took them.
 */
import { sum } from "../../core/sum.js";
import { canCast } from "../tensor/cast.js";
import { dtypeInfo } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { isCopy } from "./renames.js";
import type { ModelState } from "./states.js";

/** The number of places that are looked at: a shard of up to so many ranks has at least one. It is bounded, as no weight is read otherwise. */
const PLACES = 64;
/** The number of elements that are compared at one place. */
const SAMPLE = 256;

/**
 * Returns the names of trained parameters whose copy in `module` differs, of those that lie at places at equal distances. Files at a
 * URL are not looked at.
 */
export async function differingCopies(
  trained: readonly (readonly [name: string, tensor: Tensor])[],
  { module, torchFile }: ModelState,
): Promise<string[]> {
  if (!torchFile.file.isLocal) return [];
  const both = trained.flatMap(([name, tensor]) => {
    const copy = module.get(name);
    if (copy === undefined || String(copy.shape) !== String(tensor.shape)) return [];
    // A copy cannot be made again from weights that the optimizer keeps in fewer bits.
    const isWider = dtypeInfo(tensor.dtype).bits >= dtypeInfo(copy.dtype).bits;
    return isWider && canCast(tensor.dtype, copy.dtype) ? [{ name, tensor, copy }] : [];
  });
  const total = sum(both, ({ tensor }) => tensor.numel);
  const differing: string[] = [];
  let start = 0;
  let place = 0;
  for (const { name, tensor, copy } of both) {
    const ranges: [number, number][] = [];
    for (; place < PLACES; place++) {
      const from = Math.floor(((place + 0.5) * total) / PLACES) - start;
      if (from >= tensor.numel) break;
      ranges.push([from, Math.min(from + SAMPLE, tensor.numel)]);
    }
    start += tensor.numel;
    if (ranges.length > 0 && !(await isCopy(await torchFile.tensor(copy), tensor, ranges)))
      differing.push(name);
  }
  return differing;
}
