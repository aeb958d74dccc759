/** Handles the prefix that Lightning's DeepSpeed strategy (before 2.1) puts before every name. */
import { VistaError } from "../../core/errors.js";
import type { Tensor } from "../tensor/tensor.js";

/** The prefix. It is also in the middle of a name where a model is wrapped twice; bin_to_st.py takes it away wherever it is. */
export const PREFIX = "_forward_module.";

export interface Stripped {
  readonly tensors: Map<string, Tensor>;
  /** The original names, by the name without the prefix. */
  readonly original: ReadonlyMap<string, string>;
  readonly unprefixed: readonly string[];
}

/** Takes the prefix off all names. @throws VistaError `AMBIGUOUS` where two names become one */
export function stripPrefix(tensors: ReadonlyMap<string, Tensor>): Stripped {
  const result = new Map<string, Tensor>();
  const original = new Map<string, string>();
  const unprefixed: string[] = [];
  for (const [name, tensor] of tensors) {
    const bare = name.replaceAll(PREFIX, "");
    const other = original.get(bare);
    if (other !== undefined) {
      throw new VistaError("AMBIGUOUS", `without the prefix ${PREFIX} it has the name of ${other}`, {
        record: name,
        hint: "Use --raw or --keep-prefix to keep both names.",
      });
    }
    if (bare === name) unprefixed.push(name);
    original.set(bare, name);
    result.set(bare, tensor);
  }
  return { tensors: result, original, unprefixed };
}
