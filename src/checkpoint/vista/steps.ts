/** Does what Vista's bin_to_st.py does between reading and writing, as one transform over a plan. */
import { firstNames, VistaError } from "../../core/errors.js";
import { requireState, type StateDict, type Tensor } from "../tensor/tensor.js";
import { type FoldedShadow, foldEma, isEmaCounter, isShadow } from "./ema.js";
import { type MergedAdapter, mergeLora } from "./lora.js";
import { PREFIX, stripPrefix } from "./prefix.js";

export interface VistaOptions {
  /** Whether LoRA adapters are merged into their weights; true by default. */
  lora?: boolean | undefined;
  /** Whether the EMA's shadows take the place of the weights, which is the default; false leaves the shadows out. */
  ema?: boolean | undefined;
  /** The factor of the adapters' products; 1 by default, as in bin_to_st.py. */
  loraScale?: number | undefined;
  /** Whether `_forward_module.` stays in the names; false by default. */
  keepPrefix?: boolean | undefined;
  /** Whether names without `_forward_module.` are kept; by default they are an error. */
  keepUnprefixed?: boolean | undefined;
}

/** The report on what {@link applyVista} did; its names are without prefix. */
export interface VistaReport {
  readonly adapters: readonly MergedAdapter[];
  readonly shadows: readonly FoldedShadow[];
  /** The names that are not in the result, other than those of adapters and shadows, and why. */
  readonly dropped: readonly { readonly name: string; readonly why: string }[];
  /** The number of names that had the prefix. */
  readonly prefixed: number;
  /** The notes: things worth knowing about the result, each in a sentence. */
  readonly notes: readonly string[];
}

export interface VistaResult {
  /** The resulting plan, over the same files as the input. */
  readonly state: StateDict;
  readonly report: VistaReport;
}

/**
 * Merges LoRA, strips the prefix and folds the EMA, in effect as bin_to_st.py does. No weight is read.
 *
 * Where the script would lose weights in silence, this is an error (names without the prefix) or keeps them (names that merely
 * contain `decay` or `num_updates`, which the script takes for the EMA's counters).
 *
 * @throws VistaError `INCOMPLETE`, `INCONSISTENT`, `AMBIGUOUS`, `UNSUPPORTED`, with the name of the tensor; `USAGE` for a scale that is no number
 */
export function applyVista(state: StateDict, options: VistaOptions = {}): VistaResult {
  requireState(state);
  const { tensors } = state;
  const { lora = true, ema = true, loraScale = 1, keepPrefix = false, keepUnprefixed = false } = options;
  if (!Number.isFinite(loraScale))
    throw new VistaError("USAGE", `loraScale is ${loraScale}`, { hint: "Give a number, such as 0.5." });
  const stripped = stripPrefix(tensors);
  if (stripped.unprefixed.length > 0 && !keepPrefix && !keepUnprefixed) {
    throw unprefixedError(stripped.unprefixed, tensors.size);
  }
  const notes: string[] = [];
  const dropped: { name: string; why: string }[] = [];
  let current = new Map<string, Tensor>();
  for (const [name, tensor] of stripped.tensors) {
    if (isEmaCounter(name)) dropped.push({ name, why: "a counter of the EMA" });
    else if (!ema && isShadow(name)) dropped.push({ name, why: "an EMA shadow (no EMA was wanted)" });
    else {
      if (/decay|num_updates/.test(name))
        notes.push(`kept ${name}, which bin_to_st.py would drop for its name`);
      current.set(name, tensor);
    }
  }
  let adapters: readonly MergedAdapter[] = [];
  if (lora) {
    const result = mergeLora(current, loraScale);
    current = result.tensors;
    adapters = result.merged;
    for (const name of current.keys()) {
      if (name.includes("adapter_up")) notes.push(`kept ${name}, which has no adapter_down beside it`);
    }
  }
  let shadows: readonly FoldedShadow[] = [];
  if (ema) {
    const result = foldEma(current);
    current = result.tensors;
    shadows = result.folded;
    notes.push(...adaptersLostToEma(adapters, shadows));
  }
  if (keepPrefix) {
    current = new Map([...current].map(([name, tensor]) => [stripped.original.get(name)!, tensor]));
  }
  const prefixed = tensors.size - stripped.unprefixed.length;
  return { state: state.with(current), report: { adapters, shadows, dropped, prefixed, notes } };
}

function unprefixedError(names: readonly string[], of: number): VistaError {
  const what = `${names.length} of ${of} names do not have the prefix ${PREFIX} and bin_to_st.py would lose them`;
  return new VistaError("INCOMPLETE", `${what}: ${firstNames(names)}`, {
    hint: "Use --keep-unprefixed to keep them, --raw to convert without Vista's steps, or --profile for another model's.",
  });
}

/**
 * Returns a note for each shadow that was made before the adapters were: it replaces the weight, into which the adapter is
 * merged, by one without.
 */
function adaptersLostToEma(adapters: readonly MergedAdapter[], shadows: readonly FoldedShadow[]): string[] {
  const mergedShadows = new Set(adapters.map(({ base }) => base).filter(isShadow));
  const replaced = new Map(shadows.map(({ shadow, parameter }) => [parameter, shadow]));
  return adapters.flatMap(({ base }) => {
    const shadow = replaced.get(base);
    if (shadow === undefined || mergedShadows.has(shadow)) return [];
    return `the adapter of ${base} is lost: its EMA shadow replaces the weight and has no adapter (as in bin_to_st.py)`;
  });
}
