/**
 * Works out how the ranks share the flat groups of stage 1 and 2, from what the shards say of themselves, and all that they say must
 * agree with it.
 */
import { sum } from "../../core/sum.js";
import { dtypeInfo, numelOf } from "../tensor/dtype.js";
import { asDict, asInteger, asItems, type PyDict, PyObject, type PyValue } from "../torch/objects.js";
import { contradiction } from "./consistency.js";
import {
  type GroupLayout,
  type GroupOptions,
  layOutGroup,
  lengthWithoutPadding,
  type PaddingRule,
  paddingOf,
  placesOf,
  sliceMappingOf,
} from "./flat-group.js";
import type { FlatGroup } from "./param-shapes.js";
import { type CheckpointContent, type Shapes, type ShardState, versionOf } from "./states.js";
import { isVersion, versionAtLeast } from "./version.js";

/** The conventions by which a version of DeepSpeed pads and saves its partitions. */
export interface Conventions extends Pick<GroupOptions, "factor"> {
  readonly rule: PaddingRule;
  /** Whether `single_partition_of_fp32_groups` is saved without the rank's padding. */
  readonly stripped: boolean;
}

/** The first version in which every rank that holds padding says so in `group_paddings`; before, only the last one did. */
const EACH_RANK_PADS = [0, 16, 4];
/** The first version that has `round_robin_gradients` in stage 1 too; before, it was switched off there. */
const STAGE_1_HAS_ROUND_ROBIN = [0, 13, 0];

/** The number of bytes at whose multiples parameters begin with `parameter_alignment`. */
const ALIGNMENT_BYTES = 16;

export interface FoundLayouts {
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
export function findLayout(content: CheckpointContent, groups: readonly FlatGroup[]): FoundLayouts {
  const { files, shards } = content;
  const alignments = groups.map(({ shapes }, g) => alignmentOf(content, g, shapes));
  const { ranks } = shards[0]!;
  const orders = ordersOf(content);
  let closest = "";
  for (const conventions of candidates(content)) {
    for (const roundRobin of orders) {
      const names = groups.map(({ shapes }) => ownOrder([...shapes.keys()], roundRobin ? ranks : 1));
      const layouts = groups.map(({ shapes }, g) => {
        const numels = names[g]!.map((name) => numelOf(shapes.get(name)!) ?? Infinity);
        const options = { ranks, roundRobin, alignment: alignments[g]!, factor: conventions.factor };
        return layOutGroup(numels, options satisfies GroupOptions);
      });
      const problem = disagreement(shards, groups, names, layouts, conventions);
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
  groups: readonly FlatGroup[],
  names: readonly (readonly string[])[],
  layouts: readonly GroupLayout[],
  { rule, stripped }: Conventions,
): string | undefined {
  for (const [g, layout] of layouts.entries()) {
    for (const [rank, shard] of shards.entries()) {
      const padding = paddingOf(layout, rank, rule);
      const length = stripped ? lengthWithoutPadding(layout.partition, padding) : layout.partition;
      const where = `param group ${g}, rank ${rank}`;
      const held = groups[g]!.sizes[rank];
      if (held !== length) {
        return `${where}: ${layout.numels.length} parameters of ${sum(layout.numels)} elements make a partition of ${length}, it holds ${held}`;
      }
      const paddings = asItems(shard.dict.get("group_paddings"));
      if (paddings !== undefined && asInteger(paddings[g]) !== padding) {
        return `${where}: the sizes make a padding of ${padding}, group_paddings says ${String(paddings[g])}`;
      }
      const gaps = shard.alignmentPaddings?.[g];
      if (gaps !== undefined && gaps.join() !== layout.gaps.join()) {
        return `${where}: param_alignment_paddings are not those of parameters at multiples of one number`;
      }
      const mapping = asDict(asItems(shard.dict.get("param_slice_mappings"))?.[g]);
      if (mapping === undefined) continue;
      const ours = sliceMappingOf(layout, rank);
      const entries = mapping.entries();
      for (let entry = 0; entry < Math.max(ours.length, mapping.size); entry++) {
        const [name, address] = entries.next().value ?? [];
        const { parameter, length, start } = ours[entry] ?? {};
        const own = parameter === undefined ? undefined : names[g]![parameter]!;
        const { numel, begin } = fragmentOf(address);
        if (name === own && numel === length && begin === start) continue;
        const made = own === undefined ? "none" : `${own} ${length} at ${start}`;
        const said = name === undefined ? "none" : `${String(name)} ${String(numel)} at ${String(begin)}`;
        return `${where}: the sizes make entry ${entry} of param_slice_mappings ${made}, it is ${said}`;
      }
    }
  }
  return undefined;
}

/** Returns what DeepSpeed's `fragment_address(numel, start)` holds. */
function fragmentOf(value: PyValue | undefined): { numel?: PyValue; begin?: PyValue } {
  const state = value instanceof PyObject ? asDict(value.state) : undefined;
  return { numel: state?.get("numel"), begin: state?.get("start") };
}

/** Returns the number at whose multiples the parameters of a group begin, in elements; 1 where they are not aligned. */
function alignmentOf(content: CheckpointContent, g: number, shapes: Shapes): number {
  const gaps = content.shards[0]!.alignmentPaddings?.[g];
  const isOn = zeroConfig(content)?.get("parameter_alignment") === true;
  if (gaps === undefined || (!isOn && gaps.every((gap) => gap === 0))) return 1;
  const { module } = content.models[0]!;
  const [name] = shapes.keys();
  // DeepSpeed aligns the weights as they are trained, so their width counts and not that of their fp32 masters. Where a wrapper gave
  // them other names in `module`, it is one that makes these gaps.
  const dtype = name === undefined ? undefined : module.get(name)?.dtype;
  const widths = dtype === undefined ? [2, 4, 1, 8] : [dtypeInfo(dtype).bits / 8];
  const numels = [...shapes.values()].map((shape) => numelOf(shape) ?? Infinity);
  const alignments = widths.map((width) => Math.max(1, ALIGNMENT_BYTES / width));
  const made = (alignment: number) =>
    layOutGroup(numels, { ranks: 1, roundRobin: false, alignment, factor: 1 }).gaps.join();
  return alignments.find((alignment) => made(alignment) === gaps.join()) ?? alignments[0]!;
}

/** Returns `zero_optimization` of the DeepSpeed config, from the model states if they have it, else from the first shard. */
export function zeroConfig({ models, shards }: CheckpointContent): PyDict | undefined {
  for (const { torchFile } of [models[0]!, shards[0]!]) {
    const config = asDict(asDict(asDict(torchFile.value)?.get("ds_config"))?.get("zero_optimization"));
    if (config !== undefined) return config;
  }
  return undefined;
}
