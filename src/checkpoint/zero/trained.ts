/**
 * Cuts the trained parameters of a ZeRO checkpoint from the flat vectors of its optimizer shards: in stages 1 and 2 each param
 * group is one vector over all ranks, in stage 3 every rank has a part of every parameter.
 */
import { sum } from "../../core/sum.js";
import { numelOf } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict, asItems } from "../torch/objects.js";
import { contradiction, sizeMismatch } from "./consistency.js";
import { findLayout } from "./flat-layout.js";
import { flatGroups } from "./param-shapes.js";
import { cutFlatGroup, isMismatch } from "./partition.js";
import { joinParts, piecesByRank } from "./pieces.js";
import { doubtsOfSameShards } from "./same-shards.js";
import type { CheckpointContent, ShardState } from "./states.js";
import { placeParameters, readSubGroups, type SubGroup } from "./sub-groups.js";

/** The sizes of a param group: its parameters, their elements, and those that the shards hold, padding included. */
export interface GroupSizes {
  readonly parameters: number;
  readonly numel: number;
  readonly saved: number;
}

export interface TrainedParameters {
  readonly tensors: readonly (readonly [name: string, tensor: Tensor])[];
  readonly groups: readonly GroupSizes[];
  /** Doubts whether the shards belong together; there are none in stage 1 and 2, whose shards say whose they are. */
  readonly doubts: readonly string[];
}

/**
 * Cuts all trained parameters.
 * @throws VistaError `FORMAT`, `INCONSISTENT` where names, shapes and shards contradict one another, `UNSUPPORTED`
 */
export async function cutTrained(content: CheckpointContent): Promise<TrainedParameters> {
  return content.shards[0]!.stage === 3 ? cutStage3(content) : cutStage12(content);
}

async function cutStage12(content: CheckpointContent): Promise<TrainedParameters> {
  const { files, shards } = content;
  const flat = flatGroups(content);
  const saysMapping = ({ dict }: ShardState) =>
    asItems(dict.get("param_slice_mappings"))?.some((mapping) => asDict(mapping)?.size) === true;
  // What a shard says of its parameters tells where it is another rank's, copied or renamed.
  if (shards.some(saysMapping)) findLayout(content, flat);
  const tensors: (readonly [string, Tensor])[] = [];
  const groups: GroupSizes[] = [];
  for (const [g, { shapes, sizes }] of flat.entries()) {
    const partition = sizes[0]!;
    const refuseOdd = (isOdd: (size: number, rank: number) => boolean) => {
      const odd = sizes.findIndex(isOdd);
      if (odd < 0) return;
      throw contradiction(
        `in param group ${g}, rank ${odd} holds ${sizes[odd]} elements and rank 0 ${partition}; ` +
          "partitions are equal, the last ones may be shorter",
        shards[odd]!.path,
      );
    };
    refuseOdd((size) => size > partition);
    const numels = [...shapes.values()].map((shape) => numelOf(shape) ?? Infinity);
    const starts = cutFlatGroup(sizes, numels, gapsOf(shards[0]!, g, shapes.size));
    if (isMismatch(starts)) throw sizeMismatch(files, starts, `param group ${g}`, shapes.size);
    refuseOdd((size, rank) => size < Math.min(partition, starts.at(-1)! - rank * partition));
    groups.push({ parameters: shapes.size, numel: sum(numels), saved: sum(sizes) });
    const { dtype } = shards[0]!.groups[g]!;
    const held = await piecesByRank(shards, (shard) => shard.groups[g]!);
    for (const [i, [name, shape]] of [...shapes].entries()) {
      const type = numels[i] === 0 ? "F32" : dtype;
      tensors.push([name, joinParts(held, type, shape, { at: 0, length: partition }, starts[i]!)]);
    }
  }
  return { tensors, groups, doubts: [] };
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
  throw contradiction(
    `param group ${group} has ${parameters} parameters, param_alignment_paddings has ${gaps?.length ?? "none"} for it`,
    path,
  );
}

async function cutStage3(content: CheckpointContent): Promise<TrainedParameters> {
  const subGroups = await readSubGroups(content.shards);
  const parameters = placeParameters(content, subGroups);
  const numel = sum(parameters, (parameter) => parameter.numel);
  const saved = sum(subGroups, ({ size }) => size) * content.shards.length;
  const tensors = parameters.map(({ name, shape, subGroup, part }) => {
    const { held, dtype } = part.length === 0 ? NOTHING : subGroups[subGroup]!;
    return [name, joinParts(held, dtype, shape, part)] as const;
  });
  const groups = [{ parameters: parameters.length, numel, saved }];
  return { tensors, groups, doubts: await doubtsOfSameShards(subGroups) };
}

/** The sub-group of a parameter without elements, which lies in none. */
const NOTHING: Pick<SubGroup, "held" | "dtype"> = { held: [], dtype: "F32" };
