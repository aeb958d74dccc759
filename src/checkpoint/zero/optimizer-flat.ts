/** Reads the optimizer of ZeRO stage 1 and 2, in which each rank holds one equal part of every flat param group. */
import type { Piece } from "../../core/io/source.js";
import { sum } from "../../core/sum.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict } from "../torch/objects.js";
import { type GroupLayout, heldParameters, lengthWithoutPadding, paddingOf } from "./flat-group.js";
import { type FoundLayouts, findLayout, zeroConfig } from "./flat-layout.js";
import {
  type BaseState,
  type OptimizerGroup,
  type OptimizerParameter,
  readBaseStates,
  readStates,
} from "./optimizer-states.js";
import { flatGroups } from "./param-shapes.js";
import { joinParts, piecesByRank } from "./pieces.js";
import type { CheckpointContent } from "./states.js";

export interface FlatPartitions extends Omit<FoundLayouts, "names"> {
  readonly kind: "flat";
  readonly groups: readonly OptimizerGroup[];
  /** Whether the states are saved without padding, as a list of one dict a group (`elastic_checkpoint`). */
  readonly elastic: boolean;
}

/**
 * Reads how the ranks share the optimizer of stage 1 or 2, and plans its parameters.
 * @throws VistaError `INCONSISTENT`, `UNSUPPORTED`, `FORMAT`
 */
export async function readFlatPartitions(content: CheckpointContent): Promise<FlatPartitions> {
  const { shards } = content;
  const first = shards[0]!;
  const flat = flatGroups(content);
  const bases = await readBaseStates(shards, flat.length);
  const { names, ...found } = findLayout(content, flat);
  const { conventions, layouts } = found;
  const { paramGroups } = bases[0]!;
  const elastic = paramGroups === undefined;
  const groups: OptimizerGroup[] = [];
  const wholes = layouts.map((_, g) => keepsWholeStates(content, bases[0]!, g));
  const lengths = layouts.map((layout, g) =>
    shards.map((_, rank) => {
      if (wholes[g]) return sum(heldParameters(layout, rank), ({ length }) => length);
      if (!elastic) return layout.partition;
      return lengthWithoutPadding(layout.partition, paddingOf(layout, rank, conventions.rule));
    }),
  );
  const states = await readStates(shards, bases, lengths, "param group");
  for (const [g, layout] of layouts.entries()) {
    const { types, values, pieces } = states[g]!;
    const wholeStates = wholes[g]! && types.size > 0;
    const held = await piecesByRank(shards, (shard) => shard.groups[g]!);
    const parameters = names[g]!.map((name, index): OptimizerParameter => {
      const shape = flat[g]!.shapes.get(name)!;
      const cut = (held: readonly (readonly Piece[])[], dtype: Tensor["dtype"]) =>
        joinParts(held, dtype, shape, { at: 0, length: layout.partition }, layout.offsets[index]!);
      const ofState = (state: string, dtype: Tensor["dtype"]) =>
        wholeStates
          ? cutWhole(pieces.get(state)!, dtype, shape, index, layout)
          : cut(pieces.get(state)!, dtype);
      const ownStates = [...types].map(([state, dtype]) => [state, ofState(state, dtype)] as const);
      const fp32 = cut(held, first.groups[g]!.dtype);
      return { name, shape, numel: fp32.numel, fp32, states: new Map(ownStates) };
    });
    groups.push({ parameters, values, hyperparameters: paramGroups?.[g], stateTypes: types, wholeStates });
  }
  return { kind: "flat", groups, elastic, ...found };
}

/**
 * Returns whether the optimizer keeps its states of a group whole for each parameter, as Muon does where it is not offloaded: it
 * makes its matrices orthogonal before they are cut into partitions.
 *
 * Source: deepspeed/runtime/zero/stage_1_and_2.py (_muon_momentum_buffer, _apply_muon_updates_cpu_offload).
 */
function keepsWholeStates(content: CheckpointContent, base: BaseState, g: number): boolean {
  const device = asDict(zeroConfig(content)?.get("offload_optimizer"))?.get("device");
  const offloaded = device !== undefined && device !== "none";
  return base.paramGroups?.[g]?.get("use_muon") === true && !offloaded;
}

/** Takes a parameter's state from the first rank that holds a part of the parameter, and all of its state. */
function cutWhole(
  held: readonly (readonly Piece[])[],
  dtype: Tensor["dtype"],
  shape: readonly number[],
  parameter: number,
  layout: GroupLayout,
): Tensor {
  const rank = Math.floor(layout.offsets[parameter]! / layout.partition);
  const place = heldParameters(layout, rank).find((each) => each.parameter === parameter);
  const { start: at, length } = place ?? { start: 0, length: 0 };
  return joinParts(held.slice(rank, rank + 1), dtype, shape, { at, length });
}
