/**
 * Merges Vista's LoRA adapters: base += up @ down, and the adapters go. The EMA's shadows, whose names have no dots, can have
 * adapters too.
 *
 * Source: Vista's bin_to_st.py (the steps) and vwm/modules/attention.py (shapes: linear layers without bias).
 */
import { VistaError } from "../../core/errors.js";
import { isMatrixDType, lowRankUpdate } from "../tensor/low-rank.js";
import { makeTensor, type Tensor } from "../tensor/tensor.js";
import { isShadow } from "./ema.js";

export interface MergedAdapter {
  readonly base: string;
  readonly down: string;
  readonly up: string;
}

const KEEP_ADAPTERS = "Use --no-lora to keep adapters as they are.";

const DOWN = "adapter_down";
/**
 * The kinds of adapters, in the order in which bin_to_st.py looks for them; it takes every other adapter for that of the output.
 */
const KINDS = ["q", "k", "v", "out"] as const;

/** Returns the names of the base and the up adapter, or `undefined` where the name is no down adapter of Vista's. */
export function adapterNames(down: string): MergedAdapter | undefined {
  const kind = KINDS.find((letter) => down.includes(`${letter}_${DOWN}`));
  if (kind === undefined) return undefined;
  // The name of a shadow has lost the dot of `to_out.0` too.
  const weight = kind !== "out" ? `to_${kind}` : isShadow(down) ? "to_out0" : "to_out.0";
  return {
    down,
    up: down.replaceAll(`${kind}_${DOWN}`, `${kind}_adapter_up`),
    base: down.replaceAll(`${kind}_${DOWN}`, weight),
  };
}

/**
 * Merges every adapter into its base. The products are computed when the result is read, a layer at a time.
 *
 * @param tensors  the tensors by their names without prefix
 * @param scale  the factor of the products; bin_to_st.py uses 1, whatever the model's `lora_scale`
 * @throws VistaError `INCOMPLETE` for an adapter without its partner or base, `INCONSISTENT` for shapes that do not fit,
 *   `UNSUPPORTED` for adapters of another kind
 */
export function mergeLora(
  tensors: ReadonlyMap<string, Tensor>,
  scale: number,
): { tensors: Map<string, Tensor>; merged: MergedAdapter[] } {
  const result = new Map(tensors);
  const merged: MergedAdapter[] = [];
  for (const name of tensors.keys()) {
    if (!name.includes(DOWN)) continue;
    const names = adapterNames(name);
    if (names === undefined) {
      const what = "an adapter that is none of q, k, v and out, so not one of Vista's";
      throw new VistaError("UNSUPPORTED", what, { record: name, hint: KEEP_ADAPTERS });
    }
    const [base, up, down] = [result.get(names.base), result.get(names.up), tensors.get(name)!];
    if (up === undefined)
      throw missing(name, names.up, "Half of the adapter is lost: convert from the checkpoint folder.");
    if (base === undefined) {
      throw missing(
        name,
        names.base,
        "A merge by zero_to_fp32.py drops the base weights of Vista's phase 2: give the checkpoint folder (X.ckpt) instead.",
      );
    }
    result.set(names.base, mergeOne(names, base, up, down, scale));
    result.delete(names.up);
    result.delete(name);
    merged.push(names);
  }
  return { tensors: result, merged };
}

function missing(adapter: string, name: string, hint: string): VistaError {
  return new VistaError("INCOMPLETE", `this adapter needs ${name}, which is not there`, {
    record: adapter,
    hint,
  });
}

function mergeOne(names: MergedAdapter, base: Tensor, up: Tensor, down: Tensor, scale: number): Tensor {
  const inputs = [base, up, down];
  const [rows, rank] = up.shape;
  const columns = down.shape[1];
  const fits =
    inputs.every(({ shape }) => shape.length === 2) &&
    down.shape[0] === rank &&
    base.shape[0] === rows &&
    base.shape[1] === columns;
  if (!fits) {
    const shapes = inputs.map(({ shape }) => `[${shape.join(", ")}]`);
    const what = `its shape ${shapes[0]} is not that of up ${shapes[1]} times down ${shapes[2]}`;
    throw new VistaError("INCONSISTENT", what, {
      record: names.base,
      hint: "The adapters belong to another model.",
    });
  }
  const other = inputs.find(({ dtype }) => !isMatrixDType(dtype));
  if (other !== undefined) {
    const what = `an adapter cannot be merged in dtype ${other.dtype}`;
    throw new VistaError("UNSUPPORTED", what, { record: names.base, hint: KEEP_ADAPTERS });
  }
  const sizes = [rows!, rank!, columns!] as const;
  return makeTensor(base.dtype, base.shape, {
    kind: "computed",
    inputs,
    compute: ([baseBytes, upBytes, downBytes], result) =>
      lowRankUpdate(
        { dtype: base.dtype, bytes: baseBytes! },
        { dtype: up.dtype, bytes: upBytes! },
        { dtype: down.dtype, bytes: downBytes! },
        sizes,
        scale,
        result,
      ),
  });
}
