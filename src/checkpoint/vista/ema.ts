/**
 * Folds the EMA: each shadow `model_ema.<name without dots>` takes the place of the `model.<name>` that it follows.
 *
 * Source: Vista's bin_to_st.py (the steps) and vwm/modules/ema.py (the names).
 */

import { VistaError } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import type { Tensor } from "../tensor/tensor.js";

const EMA = "model_ema.";
const MODEL = "model.";

/** The names of the EMA's own two counters, which are no weights. */
const COUNTERS: ReadonlySet<string> = new Set([`${EMA}decay`, `${EMA}num_updates`]);

/** Tells whether a name without prefix is that of the EMA's shadow of a parameter. */
export function isShadow(name: string): boolean {
  return name.startsWith(EMA) && !COUNTERS.has(name);
}

/** Tells whether a name without prefix is that of a counter, which the EMA keeps beside the shadows. */
export function isEmaCounter(name: string): boolean {
  return COUNTERS.has(name);
}

export interface FoldedShadow {
  readonly shadow: string;
  readonly parameter: string;
}

/** Returns the parameters by the name that the EMA gives their shadows: without `model.`, and without dots. */
export function parametersByShadow(names: Iterable<string>): Map<string, string[]> {
  const byShadow = new Map<string, string[]>();
  for (const name of names) {
    if (!name.startsWith(MODEL)) continue;
    const shadow = `${EMA}${name.slice(MODEL.length).replaceAll(".", "")}`;
    remember(byShadow, shadow, () => []).push(name);
  }
  return byShadow;
}

/**
 * Puts every shadow in the place of its parameter.
 *
 * @param tensors  the tensors by their names without prefix
 * @throws VistaError `INCOMPLETE` for a shadow without parameter or with another prefix, `AMBIGUOUS` where a shadow could be of two parameters,
 *   `INCONSISTENT` where the shapes differ
 */
export function foldEma(tensors: ReadonlyMap<string, Tensor>): {
  tensors: Map<string, Tensor>;
  folded: FoldedShadow[];
} {
  const result = new Map(tensors);
  const folded: FoldedShadow[] = [];
  const byShadow = parametersByShadow(tensors.keys());
  for (const [name, shadow] of tensors) {
    if (!isShadow(name)) {
      if (name.includes(EMA)) throw misplaced(name);
      continue;
    }
    const [parameter, second] = byShadow.get(name) ?? [];
    if (parameter === undefined) {
      throw new VistaError("INCOMPLETE", "no parameter of the model has this name without its dots", {
        record: name,
        hint: "The weights and the EMA are of two models, or weights were lost in a merge: convert from the checkpoint folder, or use --no-ema.",
      });
    }
    if (second !== undefined) {
      throw new VistaError("AMBIGUOUS", `the shadow could be of ${parameter} or of ${second}`, {
        record: name,
        hint: "Without their dots both have one name; use --no-ema to take the weights without EMA.",
      });
    }
    checkShape("the shadow", name, shadow, parameter, tensors.get(parameter)!);
    result.set(parameter, shadow);
    result.delete(name);
    folded.push({ shadow: name, parameter });
  }
  return { tensors: result, folded };
}

function misplaced(name: string): VistaError {
  return new VistaError("INCOMPLETE", `another prefix is before ${EMA}, so that no shadow has a parameter`, {
    record: name,
    hint:
      "Vista knows none of such names: take off what a wrapper put before them (torch.compile puts `_orig_mod.`), or use --no-ema " +
      "or --raw to keep them.",
  });
}

/**
 * Checks that a tensor of an EMA has the shape of its weight.
 * @param it  what the message calls the tensor, whose name is `name`
 * @throws VistaError `INCONSISTENT`
 */
export function checkShape(it: string, name: string, { shape }: Tensor, weight: string, of: Tensor): void {
  if (of.shape.join() === shape.join()) return;
  const what = `${it} has shape [${shape.join(", ")}], ${weight} has [${of.shape.join(", ")}]`;
  throw new VistaError("INCONSISTENT", what, {
    record: name,
    hint: "The weights and the EMA are of two models; use --no-ema to take the weights alone.",
  });
}
