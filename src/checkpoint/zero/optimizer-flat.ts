/**
 * Reads the optimizer of ZeRO stage 1 and 2, in which each rank holds one equal part of every flat param group. How the ranks
 * share a group is worked out from what the shards say of themselves, and all that they say must agree with it.
 */
import type { Piece } from "../../core/io/source.js";
import { sum } from "../../core/sum.js";
import { dtypeInfo, numelOf } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { asDict, asInteger, asItems, type PyDict, PyObject, type PyValue } from "../torch/objects.js";
import { contradiction } from "./consistency.js";
import {
  type GroupLayout,
  type GroupOptions,
  heldParameters,
  layOutGroup,
  lengthWithoutPadding,
  type PaddingRule,
  paddingOf,
  placesOf,
  sliceMappingOf,
} from "./flat-group.js";
import { type CheckpointContent, versionOf } from "./open.js";
import {
  type BaseState,
  type OptimizerGroup,
  type OptimizerParameter,
  oneValueStates,
  readBaseStates,
  readFlatStates,
} from "./optimizer-states.js";
import { flatGroups } from "./param-shapes.js";
import { joinParts, piecesByRank } from "./pieces.js";
import type { Shapes, ShardState } from "./states.js";
import { isVersion, versionAtLeast } from "./version.js";

/** The conventions by which a version of DeepSpeed pads and saves its partitions. */
export interface Conventions {
  readonly rule: PaddingRule;
  /** Whether `single_partition_of_fp32_groups` is saved without the rank's padding. */
  readonly stripped: boolean;
  /** The factor of the padding: a group is padded to a multiple of this number times the ranks. */
  readonly factor: 1 | 2;
}

export interface FlatPartitions {
  readonly kind: "flat";
  readonly groups: readonly OptimizerGroup[];
  readonly conventions: Conventions;
  /** Whether the states are saved without padding, as a list of one dict a group (`elastic_checkpoint`). */
  readonly elastic: boolean;
  readonly roundRobin: boolean;
  /** The number at whose multiples the parameters of each group begin, in elements. */
  readonly alignments: readonly number[];
}

/** The first version in which every rank that holds padding says so in `group_paddings`; before, only the last one did. */
const EACH_RANK_PADS = [0, 16, 4];
/** The first version that has `round_robin_gradients` in stage 1 too; before, it was switched off there. */
const STAGE_1_HAS_ROUND_ROBIN = [0, 13, 0];

/** The number of bytes at whose multiples parameters begin with `parameter_alignment`. */
const ALIGNMENT_BYTES = 16;

/**
 * Reads how the ranks share the optimizer of stage 1 or 2, and plans its parameters.
 * @throws VistaError `INCONSISTENT`, `UNSUPPORTED`, `FORMAT`
 */
export async function readFlatPartitions(content: CheckpointContent): Promise<FlatPartitions> {
  const { files, shards, models } = content;
  const first = shards[0]!;
  const flat = flatGroups(files.tagFolder, models[0], shards);
  const saved = flat.map(({ sizes }) => sizes);
  const perGroup = flat.map(({ shapes }) => shapes);
  const bases = await readBaseStates(shards, flat.length);
  const alignments = perGroup.map((group, g) => alignmentOf(content, g, group));
  const { conventions, roundRobin, layouts, names } = findLayout(content, perGroup, saved, alignments);
  const { elastic } = bases[0]!;
  const groups: OptimizerGroup[] = [];
  const wholes = layouts.map((_, g) => keepsWholeStates(content, bases[0]!, g));
  const lengths = layouts.map((layout, g) =>
    shards.map((_, rank) => {
      if (wholes[g]) return sum(heldParameters(layout, rank), ({ length }) => length);
      if (!elastic) return layout.partition;
      return lengthWithoutPadding(layout.partition, paddingOf(layout, rank, conventions.rule));
    }),
  );
  const oneValue = oneValueStates(
    bases[0]!.states,
    lengths.map((ofRanks) => ofRanks[0]!),
  );
  for (const [g, layout] of layouts.entries()) {
    const { types, values, pieces } = await readFlatStates(
      shards,
      bases.map((base) => base.states[g]),
      lengths[g]!,
      oneValue,
      `param group ${g}`,
    );
    const wholeStates = wholes[g]! && types.size > 0;
    const held = await piecesByRank(shards, (shard) => shard.groups[g]!);
    const parameters = names[g]!.map((name, index): OptimizerParameter => {
      const shape = perGroup[g]!.get(name)!;
      const cut = (held: readonly (readonly Piece[])[], dtype: Tensor["dtype"]) =>
        joinParts(held, dtype, shape, { at: 0, length: layout.partition }, layout.offsets[index]!);
      const ofState = (state: string, dtype: Tensor["dtype"]) =>
        wholeStates
          ? cutWhole(pieces.get(state)!, dtype, shape, index, layout)
          : cut(pieces.get(state)!, dtype);
      const states = [...types].map(([state, dtype]) => [state, ofState(state, dtype)] as const);
      const fp32 = cut(held, first.groups[g]!.dtype);
      return { name, shape, numel: fp32.numel, fp32, states: new Map(states) };
    });
    const hyperparameters = bases[0]!.paramGroups?.[g];
    groups.push({ parameters, values, hyperparameters, stateTypes: types, wholeStates });
  }
  return { kind: "flat", groups, conventions, elastic, roundRobin, alignments };
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

interface Found {
  readonly conventions: Conventions;
  readonly roundRobin: boolean;
  readonly layouts: readonly GroupLayout[];
  /** The names of each group's parameters, in the optimizer's own order. */
  readonly names: readonly (readonly string[])[];
}

/**
 * Finds the first way to lay the groups out with which all shards agree. Those of the checkpoint's version and configuration come
 * first.
 * @throws VistaError `INCONSISTENT` with the problem of the first way, where there is none
 */
function findLayout(
  content: CheckpointContent,
  shapes: readonly Shapes[],
  saved: readonly (readonly number[])[],
  alignments: readonly number[],
): Found {
  const { files, shards } = content;
  const { ranks } = shards[0]!;
  const orders = ordersOf(content);
  let closest = "";
  for (const conventions of candidates(content)) {
    for (const roundRobin of orders) {
      const names = shapes.map((group) => ownOrder([...group.keys()], roundRobin ? ranks : 1));
      const layouts = shapes.map((group, g) => {
        const numels = names[g]!.map((name) => numelOf(group.get(name)!) ?? Infinity);
        const options = { ranks, roundRobin, alignment: alignments[g]!, factor: conventions.factor };
        return layOutGroup(numels, options satisfies GroupOptions);
      });
      const problem = disagreement(shards, names, layouts, saved, conventions);
      if (problem === undefined) return { conventions, roundRobin, layouts, names };
      if (closest === "") closest = problem;
    }
  }
  throw contradiction(closest, files.tagFolder);
}

/**
 * Returns whether the parameters may be in the order of round robin, the likely answer first. Where both orders fit, and with one
 * rank they always do, the configuration alone tells; but stage 1 heeds it only since 0.13.0, and the BF16_Optimizer never does.
 *
 * Source: deepspeed/runtime/engine.py (_configure_zero_optimizer), bf16_optimizer.py.
 */
function ordersOf(content: CheckpointContent): boolean[] {
  const version = versionOf(content);
  const { stage } = content.shards[0]!;
  const ignored = stage === 1 && isVersion(version) && !versionAtLeast(version, STAGE_1_HAS_ROUND_ROBIN);
  if (ignored || isOfBf16Optimizer(content)) return [false];
  const configured = zeroConfig(content)?.get("round_robin_gradients") === true;
  return [configured, !configured];
}

/** The BF16_Optimizer is told by the lack of a stage. */
function isOfBf16Optimizer({ shards }: CheckpointContent): boolean {
  return !shards[0]!.dict.has("zero_stage");
}

function candidates(content: CheckpointContent): Conventions[] {
  const version = versionOf(content);
  // It pads as the old versions do, and keeps the padding.
  const bf16Optimizer = isOfBf16Optimizer(content);
  const each = !bf16Optimizer && versionAtLeast(version, EACH_RANK_PADS);
  const rules: PaddingRule[] = each ? ["each", "last"] : ["last", "each"];
  const strips = bf16Optimizer ? [false, true] : [true, false];
  return ([2, 1] as const).flatMap((factor) =>
    strips.flatMap((stripped) => rules.map((rule) => ({ rule, stripped, factor }))),
  );
}

/** Puts parameters that are in the order of round robin over `ranks` back into their own order. */
function ownOrder(names: readonly string[], ranks: number): string[] {
  const own = new Array<string>(names.length);
  placesOf(names.length, ranks).forEach((index, place) => {
    own[index] = names[place]!;
  });
  return own;
}

/** Returns the first thing in the shards that is not as these layouts have it; `undefined` where there is none. */
function disagreement(
  shards: readonly ShardState[],
  names: readonly (readonly string[])[],
  layouts: readonly GroupLayout[],
  saved: readonly (readonly number[])[],
  { rule, stripped }: Conventions,
): string | undefined {
  for (const [g, layout] of layouts.entries()) {
    for (const [rank, shard] of shards.entries()) {
      const padding = paddingOf(layout, rank, rule);
      const length = stripped ? lengthWithoutPadding(layout.partition, padding) : layout.partition;
      const where = `param group ${g}, rank ${rank}`;
      if (saved[g]![rank] !== length) {
        return `${where}: ${layout.numels.length} parameters of ${sum(layout.numels)} elements make a partition of ${length}, it holds ${saved[g]![rank]}`;
      }
      const paddings = asItems(shard.dict.get("group_paddings"));
      if (paddings !== undefined && asInteger(paddings[g]) !== padding) {
        return `${where}: the sizes make a padding of ${padding}, group_paddings says ${String(paddings[g])}`;
      }
      const gaps = asItems(asItems(shard.dict.get("param_alignment_paddings"))?.[g]);
      if (gaps !== undefined && gaps.join() !== layout.gaps.join()) {
        return `${where}: param_alignment_paddings are not those of parameters at multiples of one number`;
      }
      const mapping = asDict(asItems(shard.dict.get("param_slice_mappings"))?.[g]);
      if (mapping === undefined) continue;
      const ours = sliceMappingOf(layout, rank);
      const said = [...mapping].map(([name, address]) => `${String(name)} ${addressOf(address)}`);
      const made = ours.map(
        ({ parameter, length, start }) => `${names[g]![parameter]} ${length} at ${start}`,
      );
      const other = Array.from({ length: Math.max(said.length, made.length) }, (_, i) => i).find(
        (i) => said[i] !== made[i],
      );
      if (other !== undefined) {
        return `${where}: the sizes make entry ${other} of param_slice_mappings ${made[other] ?? "none"}, it is ${said[other] ?? "none"}`;
      }
    }
  }
  return undefined;
}

/** Describes DeepSpeed's `fragment_address(numel, start)`, to be compared with ours. */
function addressOf(value: PyValue): string {
  const state = value instanceof PyObject ? asDict(value.state) : undefined;
  return `${String(state?.get("numel"))} at ${String(state?.get("start"))}`;
}

/** Returns the number at whose multiples the parameters of a group begin, in elements; 1 where they are not aligned. */
function alignmentOf(content: CheckpointContent, g: number, shapes: Shapes): number {
  const gaps = asItems(asItems(content.shards[0]!.dict.get("param_alignment_paddings"))?.[g]);
  if (gaps === undefined || zeroConfig(content)?.get("parameter_alignment") !== true) return 1;
  const { module } = content.models[0]!;
  const [name] = shapes.keys();
  // DeepSpeed aligns the weights as they are trained, so their width counts and not that of their fp32 masters.
  const dtype = name === undefined ? undefined : module.get(name)?.dtype;
  return dtype === undefined ? 1 : Math.max(1, ALIGNMENT_BYTES / (dtypeInfo(dtype).bits / 8));
}

/** Returns `zero_optimization` of the DeepSpeed config, from the model states if they have it, else from the first shard. */
export function zeroConfig({
  models,
  shards,
}: Pick<CheckpointContent, "models" | "shards">): PyDict | undefined {
  for (const { torchFile } of [models[0]!, shards[0]!]) {
    const config = asDict(asDict(asDict(torchFile.value)?.get("ds_config"))?.get("zero_optimization"));
    if (config !== undefined) return config;
  }
  return undefined;
}
