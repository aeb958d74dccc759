/** Reads which parameters a checkpoint trains, with their shapes, and which param group each is in. */
import { VistaError } from "../../core/errors.js";
import { sum } from "../../core/sum.js";
import { numelOf } from "../tensor/dtype.js";
import { contradiction } from "./consistency.js";
import type { CheckpointContent, ModelState, Shapes, ShardState } from "./states.js";

/**
 * Returns the shapes as the model states of rank 0 list them or, before DeepSpeed 0.6.0, a shard: by param group, in stage 3 by
 * sub-group, before 0.5.4 in one dict for all.
 * @param shard  the first shard; a universal checkpoint has none
 * @throws VistaError `FORMAT` where neither lists any, `INCONSISTENT` for a name that is listed twice, as one of the two would be lost
 */
export function listedShapes(model: ModelState, shard: ShardState | undefined): readonly Shapes[] {
  const { path } = model;
  const shapes = model.paramShapes ?? shard?.paramShapes;
  if (shapes === undefined) {
    const where =
      shard === undefined ? "the model states have no" : "neither the model states nor the shards have";
    throw new VistaError("FORMAT", `${where} param_shapes, which name the parameters`, {
      path,
      hint:
        shard === undefined
          ? "Copy the model states of the ZeRO checkpoint that this was made from."
          : "DeepSpeed before 0.3.14 did not save the names; load it in DeepSpeed and save it again.",
    });
  }
  const seen = new Set<string>();
  const twice = shapes
    .flatMap((group) => [...group.keys()])
    .find((name) => seen.size === seen.add(name).size);
  if (twice === undefined) return shapes;
  throw new VistaError("INCONSISTENT", `${twice} is listed twice, in two param groups`, {
    path,
    hint: "DeepSpeed lists each parameter once: copy the checkpoint again.",
  });
}

/** A param group of stage 1 or 2. */
export interface FlatGroup {
  readonly shapes: Shapes;
  /** The elements that each rank's shard holds of it, by rank. */
  readonly sizes: readonly number[];
}

/**
 * Returns the param groups of a checkpoint of stage 1 or 2.
 * @throws VistaError as {@link listedShapes} does, `INCONSISTENT` where the shards hold another number of groups
 */
export function flatGroups({ files, models, shards }: CheckpointContent): FlatGroup[] {
  const sizes = shards[0]!.groups.map((_, g) => shards.map(({ groups }) => numelOf(groups[g]!.shape) ?? 0));
  const listed = listedShapes(models[0], shards[0]);
  const shapes =
    listed.length === 1 && sizes.length > 1
      ? splitShapes(
          listed[0]!,
          sizes.map((group) => sum(group)),
        )
      : listed;
  if (shapes.length === sizes.length) return shapes.map((group, g) => ({ shapes: group, sizes: sizes[g]! }));
  throw contradiction(
    `the model states list ${shapes.length} param groups, the optimizer shards hold ${sizes.length}`,
    files.tagFolder,
  );
}

/**
 * Cuts the one dict that before DeepSpeed 0.5.4 lists the parameters of all groups, group after group, where a group is full.
 * @param available  the elements that the shards hold of each group
 */
function splitShapes(shapes: Shapes, available: readonly number[]): Shapes[] {
  const entries = [...shapes];
  let i = 0;
  return available.map((room, group) => {
    const part = new Map<string, readonly number[]>();
    for (let used = 0; i < entries.length; i++) {
      const [name, shape] = entries[i]!;
      used += numelOf(shape) ?? Infinity;
      if (used > room && group < available.length - 1) break;
      part.set(name, shape);
    }
    return part;
  });
}
