/**
 * Reads the optimizer of ZeRO stage 3, in which every parameter is cut into one equal part a rank, the last ones padded. A rank's
 * parts are joined in sub-groups of about `sub_group_size` elements, which never hold parameters of two param groups.
 *
 * Source: deepspeed/runtime/zero/stage3.py (_create_fp16_sub_groups, _rigid_state_dict).
 */
import { VistaError } from "../../core/errors.js";
import type { DType } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { asInteger, asItems } from "../torch/objects.js";
import { contradiction } from "./consistency.js";
import { zeroConfig } from "./flat-layout.js";
import {
  type FlatStates,
  type OptimizerGroup,
  type OptimizerParameter,
  OTHER_VALUES_HINT,
  readBaseStates,
  readStates,
  refuse,
} from "./optimizer-states.js";
import { joinParts, type RankPart } from "./pieces.js";
import type { CheckpointContent } from "./states.js";
import { placeParameters, readSubGroups, type SubGroup } from "./sub-groups.js";
import { shownApart } from "./value-text.js";

/** DeepSpeed's default of `sub_group_size`, for a `ds_config` that does not say it. */
const DEFAULT_SUB_GROUP_SIZE = 1_000_000_000;

export interface SplitPartitions {
  readonly kind: "split";
  readonly groups: readonly OptimizerGroup[];
  /** The sub-groups of each param group, each as the indices of its parameters in the param group. */
  readonly subGroups: readonly (readonly (readonly number[])[])[];
  /** The `sub_group_size` of the checkpoint, in elements of one rank. */
  readonly subGroupSize: number;
}

/**
 * Reads how the ranks share the optimizer of stage 3, and plans its parameters.
 * @throws VistaError `INCONSISTENT`, `UNSUPPORTED`, `FORMAT`
 */
export async function readSplitPartitions(content: CheckpointContent): Promise<SplitPartitions> {
  const { files, shards } = content;
  const first = shards[0]!;
  const bases = await readBaseStates(shards, first.groups.length);
  const { paramGroups } = bases[0]!;
  if (paramGroups === undefined) {
    throw refuse("ZeRO stage 3 with elastic_checkpoint, whose states are of no known form", {
      path: first.path,
      hint: "Go on with as many ranks as before.",
    });
  }
  const weights = await readSubGroups(shards);
  const lengths = weights.map(({ size }) => shards.map(() => size));
  const allStates = await readStates(shards, bases, lengths, "sub-group");
  const flats = weights.map((subGroup, s): FlatSubGroup => ({ ...subGroup, states: allStates[s]! }));
  const placed = placeParameters(content, weights);
  const groups: OptimizerGroup[] = [];
  const subGroups: number[][][] = [];
  let next = 0;
  let s = 0;
  for (const hyperparameters of paramGroups) {
    const parameters: OptimizerParameter[] = [];
    const inSubGroups: number[][] = [];
    const first = s;
    let states: Pick<FlatStates, "types" | "values"> = { types: new Map(), values: new Map() };
    // The `params` of a param group list its sub-groups. The shapes do not: before 0.5.4 one dict holds those of all groups.
    for (const _ of asItems(hyperparameters.get("params"))!) {
      refuseOtherStates(flats, first, s, files.tagFolder);
      states = flats[first]!.states;
      const members: number[] = [];
      for (; placed[next]?.subGroup === s; next++) {
        const { name, shape, numel, part } = placed[next]!;
        members.push(parameters.length);
        parameters.push(new SplitParameter(name, shape, numel, flats[s]!, part));
      }
      inSubGroups.push(members);
      s++;
    }
    const { types, values } = states;
    groups.push({ parameters, values, hyperparameters, stateTypes: types, wholeStates: false });
    subGroups.push(inSubGroups);
  }
  const subGroupSize = asInteger(zeroConfig(content)?.get("sub_group_size")) ?? DEFAULT_SUB_GROUP_SIZE;
  return { kind: "split", groups, subGroups, subGroupSize };
}

/**
 * Checks that the optimizer keeps the same for two sub-groups of a param group, since on other ranks a parameter is in another one.
 * @throws VistaError `INCONSISTENT` for other states or another dtype of one, `UNSUPPORTED` for another value
 */
function refuseOtherStates(flats: readonly FlatSubGroup[], first: number, s: number, path: string): void {
  const [wanted, here] = [flats[first]!.states, flats[s]!.states];
  const list = ({ types, values }: FlatSubGroup["states"]) =>
    [...[...types].map(([name, dtype]) => `${name} (${dtype})`), ...values.keys()].join(", ") || "none";
  if (list(here) !== list(wanted)) {
    throw contradiction(
      `sub-group ${s} keeps the states ${list(here)}, sub-group ${first} of the same param group ${list(wanted)}`,
      path,
    );
  }
  for (const [name, text] of here.texts) {
    const other = wanted.texts.get(name)!;
    if (text === other) continue;
    const [shownHere, shownOther] = shownApart(text, other);
    throw new VistaError(
      "UNSUPPORTED",
      `the state ${name} is ${shownHere} in sub-group ${s}, ${shownOther} in sub-group ${first} of the same param group`,
      { path, hint: OTHER_VALUES_HINT },
    );
  }
}

interface FlatSubGroup extends SubGroup {
  readonly states: FlatStates;
}

/**
 * A parameter of which every rank holds `part` elements from element `at` of its sub-group on. Its tensors are made when they are
 * asked for, since there are thousands of parameters.
 */
class SplitParameter implements OptimizerParameter {
  constructor(
    readonly name: string,
    readonly shape: readonly number[],
    readonly numel: number,
    private readonly flat: FlatSubGroup,
    private readonly part: RankPart,
  ) {}

  get fp32(): Tensor {
    return this.#join(this.flat.held, this.flat.dtype);
  }

  get states(): OptimizerParameter["states"] {
    return this;
  }

  get(state: string): Tensor | undefined {
    const { types, pieces } = this.flat.states;
    const dtype = types.get(state);
    return dtype && this.#join(pieces.get(state)!, dtype);
  }

  *[Symbol.iterator](): MapIterator<[string, Tensor]> {
    for (const state of this.flat.states.types.keys()) yield [state, this.get(state)!];
  }

  #join(held: SubGroup["held"], dtype: DType): Tensor {
    return joinParts(held, dtype, this.shape, this.part);
  }
}
