/**
 * Finds what the tensors are that only `module` has, as they are neither in the optimizer nor frozen (Vista's phase 2 gives the
 * optimizer just the adapters). zero_to_fp32 drops them without a word.
 */
import { firstNames, VistaError } from "../../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";
import { tensorsAt } from "../torch/read.js";
import { endings, findRenames, findSecondNames, unwrapped } from "./renames.js";
import type { ModelState, Shapes } from "./states.js";

/** A name that only `module` has: a second name of a tensor, another name of a parameter of the optimizer, or a tensor of its own. */
export type Orphan =
  | { readonly name: string; readonly kind: "shared" | "renamed"; readonly source: string }
  | { readonly name: string; readonly kind: "recovered"; readonly tensor: Tensor };

export interface Orphans {
  /** The orphans in their order in the state dict; a source is in the merged state dict, or comes before. */
  readonly found: readonly Orphan[];
  /** The placeholders of stage 3 that must be parameters of the optimizer, while it cannot be said which is which. */
  readonly unnamed: readonly string[];
}

/** What is known of a checkpoint before its orphans are. */
export interface WithoutOrphans {
  readonly model: ModelState;
  readonly stage: 0 | 1 | 2 | 3;
  readonly trainedShapes: Shapes;
  /** The merged state dict so far; frozen parameters that are left out are absent from it. */
  readonly merged: ReadonlyMap<string, Tensor>;
}

/**
 * Finds what the orphans are. Where a wrapper or a hook gave a parameter another name in `module`, that name stands for the
 * parameter of the optimizer, not for the copy in `module`, which may have 16 bits.
 * @param names  the names of `module` that the merged state dict does not have
 * @throws VistaError `INCOMPLETE` where the values of one are not in the checkpoint
 */
export async function findOrphans(names: readonly string[], known: WithoutOrphans): Promise<Orphans> {
  const { model, stage, merged } = known;
  const { module } = model;
  const second =
    stage === 3 ? findSecondNames(names, module, merged, model.frozenShapes) : new Map<string, string>();
  const found: Orphan[] = [];
  // A second name of a frozen parameter that is left out on request is left out with it.
  const leftOut = new Set([...model.frozenShapes.keys()].filter((name) => !merged.has(name)));
  const addName = (name: string, kind: "shared" | "renamed", source: string) => {
    if (leftOut.has(source)) leftOut.add(name);
    else found.push({ name, kind, source });
  };
  for (const [name, source] of second) addName(name, "shared", source);
  const left = names.filter((name) => !second.has(name));
  if (left.length === 0) return { found, unnamed: [] };
  const views = await tensorsAt(model.torchFile, module.values());
  const viewOf = new Map([...module.keys()].map((name, i) => [name, views[i]!]));
  const absent = [...new Set([...merged.keys(), ...model.frozenShapes.keys()])].filter(
    (name) => !module.has(name),
  );
  // A buffer in a wrapped module has another name in `module` too; buffers are never partitioned, so an empty one is itself.
  const buffers = new Set([...model.bufferNames].map(unwrapped));
  // A hook that puts a prefix before all names does so with those of buffers, whose zeros would pass for those of a bias.
  const absentBuffers = new Set([...buffers].filter((name) => !module.has(name)));
  const isBuffer = (name: string) =>
    buffers.has(unwrapped(name)) ||
    (absentBuffers.size > 0 &&
      viewOf.get(name)!.numel > 0 &&
      endings(unwrapped(name)).some((ending) => absentBuffers.has(ending)));
  const isPlaceholder = placeholders(known);
  const orphans = new Map(left.filter((name) => !isBuffer(name)).map((name) => [name, viewOf.get(name)!]));
  const { renamed, unnamed } = await findRenames(orphans, absent, merged, isPlaceholder);
  for (const [name, source] of renamed) addName(name, "renamed", source);
  // Before DeepSpeed 0.9.0 tied weights were not listed: the alias is a second name of one storage in `module`.
  const there = new Set([
    ...merged.keys(),
    ...model.frozenShapes.keys(),
    ...second.keys(),
    ...renamed.keys(),
  ]);
  const nameOfView = new Map<Tensor, string>();
  for (const [name, view] of viewOf) if (there.has(name)) nameOfView.set(view, name);
  const isUnnamed = new Set(unnamed);
  const lost: string[] = [];
  for (const name of left) {
    if (renamed.has(name) || isUnnamed.has(name)) continue;
    const tensor = viewOf.get(name)!;
    const source = tensor.numel > 0 ? nameOfView.get(tensor) : undefined;
    if (source !== undefined) {
      addName(name, "shared", source);
    } else if (!isBuffer(name) && isPlaceholder(tensor)) {
      lost.push(name);
    } else {
      nameOfView.set(tensor, name);
      found.push({ name, kind: "recovered", tensor });
    }
  }
  if (lost.length === 0) return { found, unnamed };
  throw new VistaError(
    "INCOMPLETE",
    `${lost.length} tensors are in no shard, and in stage 3 \`module\` has only placeholders for them: ${firstNames(lost)}`,
    {
      path: model.path,
      hint:
        "The files list them neither as trained nor as frozen (DeepSpeed's exclude_frozen_parameters leaves frozen ones out), and their " +
        "values are not in this checkpoint; --no-recover merges the rest.",
    },
  );
}

/**
 * Returns what tells whether a tensor of `module` only stands for a parameter that stage 3 has partitioned. It is then empty or, in
 * older versions (0.5 at least), of a single element. The shapes that the trained parameters have there tell which.
 */
function placeholders({ model, stage, trainedShapes }: WithoutOrphans): (tensor: Tensor) => boolean {
  if (stage !== 3) return () => false;
  const shapes = new Set<string>();
  for (const [name, { shape }] of model.module) {
    const real = trainedShapes.get(name);
    if (real !== undefined && String(shape) !== String(real)) shapes.add(String(shape));
  }
  return ({ numel, shape }) => numel === 0 || shapes.has(String(shape));
}
