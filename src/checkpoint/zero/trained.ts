/**
 * Cuts the trained parameters of a ZeRO checkpoint from the flat vectors of its optimizer shards: in stages 1 and 2 each param
 * group is one vector over all ranks, in stage 3 every rank has a part of every parameter.
 */
import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { dtypeInfo, numelOf } from "../tensor/dtype.js";
import { makeTensor, piecesBetween, type Tensor } from "../tensor/tensor.js";
import type { CheckpointFiles } from "./layout.js";
import { cutFlatGroup, cutParameters, isMismatch, type Mismatch } from "./partition.js";
import { flatPieces, splitShapes, sum } from "./pieces.js";
import type { ModelState, Shapes, ShardState } from "./states.js";
import { joinParts, readSubGroups, type SubGroup } from "./sub-groups.js";

/** The sizes of a param group: its parameters, their elements, and those that the shards hold, padding included. */
export interface GroupSizes {
  readonly parameters: number;
  readonly numel: number;
  readonly saved: number;
}

export interface TrainedParameters {
  /** The parameters in order; in stages 1 and 2 a name comes twice where two groups list it. */
  readonly tensors: readonly (readonly [name: string, tensor: Tensor])[];
  readonly shapes: Shapes;
  readonly groups: readonly GroupSizes[];
}

/**
 * Cuts all trained parameters.
 * @param model  the model states of rank 0
 * @throws VistaError `FORMAT`, `INCONSISTENT` where names, shapes and shards contradict one another, `UNSUPPORTED`
 */
export async function cutTrained(
  files: CheckpointFiles,
  model: ModelState,
  shards: readonly ShardState[],
): Promise<TrainedParameters> {
  const shapes = model.paramShapes ?? shards[0]!.paramShapes;
  if (shapes === undefined) {
    throw new VistaError("FORMAT", "neither the model states nor the shards have param_shapes", {
      path: model.path,
      hint: "DeepSpeed before 0.3.14 did not save the names; load it in DeepSpeed and save it again.",
    });
  }
  return shards[0]!.stage === 3 ? cutStage3(files, model, shards, shapes) : cutStage12(files, shards, shapes);
}

async function cutStage12(
  files: CheckpointFiles,
  shards: readonly ShardState[],
  shapes: readonly Shapes[],
): Promise<TrainedParameters> {
  const count = shards[0]!.groups.length;
  const sizesOf = (group: number) => shards.map((shard) => numelOf(shard.groups[group]!.shape) ?? 0);
  const perGroup =
    shapes.length === 1 && count > 1
      ? splitShapes(
          shapes[0]!,
          Array.from({ length: count }, (_, g) => sum(sizesOf(g))),
        )
      : shapes;
  if (perGroup.length !== count) {
    throw new VistaError(
      "INCONSISTENT",
      `the model states list ${perGroup.length} param groups, the optimizer shards hold ${count}`,
      { path: files.tagFolder, hint: "The files are of two runs: copy the checkpoint again." },
    );
  }
  const tensors: (readonly [string, Tensor])[] = [];
  const groups: GroupSizes[] = [];
  for (const [g, groupShapes] of perGroup.entries()) {
    const sizes = sizesOf(g);
    const grows = sizes.findIndex((size, rank) => rank > 0 && size > sizes[rank - 1]!);
    if (grows > 0) {
      throw new VistaError(
        "INCONSISTENT",
        `in param group ${g}, rank ${grows} holds ${sizes[grows]} elements and rank ${grows - 1} only ${sizes[grows - 1]}; ` +
          "partitions are equal, the last ones may be shorter",
        { path: shards[grows]!.path, hint: "The shards are of two runs: copy the checkpoint again." },
      );
    }
    const numels = [...groupShapes.values()].map((shape) => numelOf(shape) ?? Infinity);
    const spans = cutFlatGroup(sizes, numels, gapsOf(shards[0]!, g, groupShapes.size));
    if (isMismatch(spans)) throw mismatch(files, spans, `param group ${g}`, groupShapes.size);
    groups.push({ parameters: groupShapes.size, numel: sum(numels), saved: sum(sizes) });
    const dtype = shards[0]!.groups[g]!.dtype;
    const flats: (readonly Piece[])[] = [];
    for (const shard of shards) flats.push(await flatPieces(shard.torchFile, shard.groups[g]!));
    const width = dtypeInfo(dtype).bits / 8;
    for (const [i, [name, shape]] of [...groupShapes].entries()) {
      const pieces = spans[i]!.flatMap(({ rank, start, length }) =>
        piecesBetween(flats[rank]!, start * width, length * width),
      );
      tensors.push([
        name,
        makeTensor(pieces.length === 0 ? "F32" : dtype, shape, { kind: "pieces", pieces }),
      ]);
    }
  }
  return { tensors, shapes: new Map(perGroup.flatMap((group) => [...group])), groups };
}

/**
 * Returns the elements between the parameters of a group.
 * @throws VistaError `INCONSISTENT` where they are not those of these parameters
 */
function gapsOf(
  { alignmentPaddings, path }: ShardState,
  group: number,
  parameters: number,
): readonly number[] {
  if (alignmentPaddings === undefined) return [];
  const gaps = alignmentPaddings[group];
  if (gaps?.length === parameters) return gaps;
  throw new VistaError(
    "INCONSISTENT",
    `param group ${group} has ${parameters} parameters, param_alignment_paddings has ${gaps?.length ?? "none"} for it`,
    { path, hint: "The model states and the shards are of two runs: copy the checkpoint again." },
  );
}

async function cutStage3(
  files: CheckpointFiles,
  model: ModelState,
  shards: readonly ShardState[],
  perGroup: readonly Shapes[],
): Promise<TrainedParameters> {
  const names = perGroup.flatMap((group) => [...group.keys()]);
  const shapes: Shapes = new Map(perGroup.flatMap((group) => [...group]));
  if (names.length > shapes.size) {
    const seen = new Set<string>();
    const twice = names.find((name) => seen.size === seen.add(name).size);
    throw new VistaError("INCONSISTENT", `${twice} is listed twice, in two param groups`, {
      path: model.path,
      hint: "DeepSpeed lists each parameter once: copy the checkpoint again.",
    });
  }
  const subGroups = await readSubGroups(shards);
  const sizes = subGroups.map(({ size }) => size);
  const numels = [...shapes.values()].map((shape) => numelOf(shape) ?? Infinity);
  const places = cutParameters(sizes, shards.length, numels);
  if (isMismatch(places)) throw mismatch(files, places, "the parameters", shapes.size);
  const groups = [{ parameters: shapes.size, numel: sum(numels), saved: sum(sizes) * shards.length }];
  const tensors = [...shapes].map(([name, shape], i) => {
    const { subGroup, start, part } = places[i]!;
    const { held, dtype } = part === 0 ? NOTHING : subGroups[subGroup]!;
    return [name, joinParts(held, dtype, shape, start, part)] as const;
  });
  return { tensors, shapes, groups };
}

/** The sub-group of a parameter without elements, which lies in none. */
const NOTHING: Pick<SubGroup, "held" | "dtype"> = { held: [], dtype: "F32" };

function mismatch(
  { tagFolder }: CheckpointFiles,
  { needed, available }: Mismatch,
  what: string,
  parameters: number,
): VistaError {
  return new VistaError(
    "INCONSISTENT",
    `${what}: ${parameters} parameters need ${needed} elements, the ranks hold ${available}`,
    {
      path: tagFolder,
      hint: "The model states and the shards are of two runs, or a shard is stale: copy the checkpoint again.",
    },
  );
}
