/**
 * Compares the copies of trained weights in `module` with the optimizer's weights. After every step DeepSpeed makes the one from the
 * other (stage 1 and 2), so copies that differ tell of files of two moments, which nothing else may tell, and of weights that were
 * changed or replaced after DeepSpeed took them.
 */
import { firstNames } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { plural } from "../../core/text.js";
import { canCast } from "../tensor/cast.js";
import { dtypeInfo } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict, asInteger } from "../torch/objects.js";
import { numberIn } from "./number-in.js";
import { isCopy } from "./renames.js";
import type { CheckpointContent, ModelState } from "./states.js";

/**
 * The bounds on the number of places that are looked at. Each rank's shard has one, up to the larger; no other weight is read to plan
 * a merge, so there are not more.
 */
const PLACES = { least: 16, most: 64 };
/** The number of elements that are compared at one place. */
const SAMPLE = 256;

/**
 * Returns the doubt that trained parameters raise whose copy in `module` differs, of those that lie at places at equal distances;
 * nothing where none does. Files at a URL are not looked at.
 * @param ranks  the number of the files that the parameters come from
 * @param which  the words that say which of the two counts
 */
export async function doubtOfCopies(
  trained: readonly (readonly [name: string, tensor: Tensor])[],
  { models: [model], shards }: Pick<CheckpointContent, "models" | "shards">,
  ranks: number,
  which: string,
): Promise<string[]> {
  if (await isBeforeFirstStep(model, shards)) return [];
  const differing = await differingCopies(trained, model, ranks);
  if (differing.length === 0) return [];
  return [
    `${plural(differing.length, "trained parameter")}, of a few that were looked at, with other weights in \`module\` than in the ` +
      `optimizer: the files are of two moments, or the weights were changed behind DeepSpeed; ${which}: ${firstNames(differing)}`,
  ];
}

/**
 * Tells whether no step was taken yet. DeepSpeed up to 0.10 at least makes the optimizer's states by a step without gradients, in which
 * weight decay changes the optimizer's weights alone; the copies become theirs in the first step. Shards that count more are of another
 * moment.
 */
async function isBeforeFirstStep(
  { globalSteps, torchFile }: ModelState,
  [shard]: CheckpointContent["shards"],
): Promise<boolean> {
  const skipped = asInteger(asDict(torchFile.value)?.get("skipped_steps")) ?? 0;
  if (globalSteps === undefined || globalSteps > skipped) return false;
  const step = shard === undefined ? undefined : await numberIn(shard.step, shard.torchFile);
  return step === undefined || step <= 1;
}

async function differingCopies(
  trained: readonly (readonly [name: string, tensor: Tensor])[],
  { module, torchFile }: ModelState,
  ranks: number,
): Promise<string[]> {
  if (!torchFile.file.isLocal) return [];
  const places = Math.min(Math.max(ranks, PLACES.least), PLACES.most);
  const total = sum(trained, ([, tensor]) => tensor.numel);
  const differing: string[] = [];
  let start = 0;
  let place = 0;
  for (const [name, tensor] of trained) {
    const ranges: [number, number][] = [];
    for (; place < places; place++) {
      const from = Math.floor(((place + 0.5) * total) / places) - start;
      if (from >= tensor.numel) break;
      ranges.push([from, Math.min(from + SAMPLE, tensor.numel)]);
    }
    start += tensor.numel;
    const copy = ranges.length === 0 ? undefined : module.get(name);
    if (copy === undefined || !isComparable(copy, tensor)) continue;
    if (!(await isCopy(await torchFile.tensor(copy), tensor, ranges))) differing.push(name);
  }
  return differing;
}

/** Tells whether a copy can be made again: not from weights that the optimizer keeps in fewer bits. */
function isComparable(copy: Pick<Tensor, "dtype" | "shape">, { dtype, shape }: Tensor): boolean {
  const isWider = dtypeInfo(dtype).bits >= dtypeInfo(copy.dtype).bits;
  return isWider && canCast(dtype, copy.dtype) && String(copy.shape) === String(shape);
}
