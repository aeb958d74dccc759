/**
 * Handles the names of NVIDIA's Cosmos: weights `net.…`, and their EMA `net_ema.…` as a whole second copy.
 *
 * Source: cosmos-predict2's converter of distributed checkpoints, which keeps the EMA under the names of the weights and nothing
 * else.
 */
import { VistaError } from "../../core/errors.js";
import type { StateDict, Tensor } from "../tensor/tensor.js";
import { checkShape } from "./ema.js";

const NET = "net.";
const EMA = "net_ema.";

/** The report on what the steps of the profile `cosmos` did. */
export interface CosmosReport {
  /** The number of tensors of the EMA that got the names of the weights. */
  readonly renamed: number;
  /** The names that are not in the result, and why. */
  readonly dropped: readonly { readonly name: string; readonly why: string }[];
}

/** Tells whether all names are those of Cosmos' networks and an EMA is among them, which no other trainer known here writes. */
export function isCosmos(names: Iterable<string>): boolean {
  let ema = false;
  for (const name of names) {
    if (!/^net(?:_\w+)?\./.test(name)) return false;
    ema ||= name.startsWith(EMA);
  }
  return ema;
}

/**
 * Renames `net_ema.` to `net.` and leaves out everything else; without an EMA everything stays as it is. No weight is read.
 *
 * @param ema  false to take the trained weights and leave the EMA's out
 * @throws VistaError `INCOMPLETE` where no name begins with `net.` or `net_ema.`, or where nothing is left without the EMA;
 *   `INCONSISTENT` where a tensor of the EMA has another shape than its weight
 */
export function applyCosmos(state: StateDict, ema = true): { state: StateDict; report: CosmosReport } {
  const { tensors } = state;
  const names = [...tensors.keys()];
  const hasEma = names.some((name) => name.startsWith(EMA));
  if (!hasEma && !names.some((name) => name.startsWith(NET))) {
    throw new VistaError("INCOMPLETE", `no name begins with ${NET} or ${EMA}: this is no model of Cosmos`, {
      record: names[0],
      hint: "Use --profile none to convert it as it is.",
    });
  }
  const result = new Map<string, Tensor>();
  const dropped: { name: string; why: string }[] = [];
  let renamed = 0;
  for (const [name, tensor] of tensors) {
    if (hasEma && ema && !name.startsWith(EMA)) {
      const replaced = name.startsWith(NET) && tensors.has(EMA + name.slice(NET.length));
      dropped.push({ name, why: replaced ? "the EMA takes its place" : "not part of the EMA" });
    } else if (name.startsWith(EMA) && !ema) dropped.push({ name, why: "of the EMA (--no-ema)" });
    else if (name.startsWith(EMA)) {
      const weight = NET + name.slice(EMA.length);
      checkShape("it", name, tensor, weight, tensors.get(weight) ?? tensor);
      result.set(weight, tensor);
      renamed++;
    } else result.set(name, tensor);
  }
  if (result.size === 0)
    throw new VistaError("INCOMPLETE", "the checkpoint has the EMA alone, and --no-ema leaves it out", {
      hint: "Leave --no-ema away: the EMA then takes the place of the weights.",
    });
  return { state: state.with(result), report: { renamed, dropped } };
}
