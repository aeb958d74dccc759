/**
 * Writes a state dict byte for byte as the reference's `save_file` does: tensors by dtype, the widest first, then by name; the
 * header as compact JSON, padded with spaces to a multiple of 8.
 *
 * Source: safetensors/src/tensor.rs (prepare), bindings/python/py_src/safetensors/torch.py.
 */

import { VistaError } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { LONE_SURROGATE } from "../../core/text.js";
import type { OutputPart } from "../copy/parts.js";
import { DTYPES, type DType } from "../tensor/dtype.js";
import type { StateDict, Tensor } from "../tensor/tensor.js";
import { MAX_HEADER, MAX_TENSORS, METADATA } from "./form.js";

/** Text by key, also as a map, as an opened checkpoint has it. */
export type Metadata = Readonly<Record<string, string>> | ReadonlyMap<string, string>;

/**
 * Returns the parts of a safetensors file in order. The format has no shared tensors: each name gets bytes
 * of its own.
 *
 * @param metadata  text by key, in this order; the reference writes several keys in random order
 * @throws VistaError `USAGE` for metadata that is no text, `UNSUPPORTED` for a dtype or a name that the format does not have, and for too many tensors
 */
export function planSafetensors(state: StateDict, metadata?: Metadata): readonly OutputPart[] {
  if (state.tensors.size > MAX_TENSORS) {
    throw new VistaError(
      "UNSUPPORTED",
      `the file would have ${state.tensors.size} tensors, the limit is ${MAX_TENSORS}`,
      { hint: "Write the tensors to several files with --max-shard-size." },
    );
  }
  const sorted = inOrder(state.tensors);
  const members: string[] = [];
  if (metadata !== undefined) {
    const entries = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
    for (const [key, value] of entries) {
      // The reference reads no file whose metadata has anything else.
      if (typeof key !== "string" || typeof value !== "string") {
        const what = typeof key === "string" ? `under ${key}` : `key ${key}`;
        throw new VistaError("USAGE", `the metadata ${what} is no text`, { hint: "Give it as text." });
      }
      checkText(key, "metadata");
      checkText(value, "metadata");
    }
    const pairs = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    members.push(`${JSON.stringify(METADATA)}:{${pairs.join(",")}}`);
  }
  const parts: OutputPart[] = [];
  let at = 0;
  for (const [name, tensor] of sorted) {
    const { dtype, shape, byteLength } = tensor;
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${at},${at + byteLength}]}`,
    );
    if (byteLength > 0) parts.push({ kind: "tensor", tensor });
    at += byteLength;
  }
  parts.unshift({ kind: "bytes", bytes: frame(`{${members.join(",")}}`) });
  return parts;
}

const RANK = new Map(Object.keys(DTYPES).map((dtype, rank) => [dtype as DType, rank]));

/** Sorts tensors by dtype, in the order of the table, then by the bytes of the name in UTF-8. */
function inOrder(tensors: ReadonlyMap<string, Tensor>): (readonly [string, Tensor])[] {
  const byDType = new Map<DType, string[]>();
  for (const [name, tensor] of tensors) {
    if (tensor.dtype === "C128") {
      throw new VistaError("UNSUPPORTED", "safetensors has no dtype for complex128 (C128)", {
        record: name,
        hint: "Write a torch file (.bin) instead.",
      });
    }
    if (name === METADATA) {
      throw new VistaError("UNSUPPORTED", `safetensors keeps the name ${METADATA} for itself`, {
        record: name,
        hint: "Rename the tensor, or write a torch file (.bin) instead.",
      });
    }
    checkText(name, "a name");
    remember(byDType, tensor.dtype, () => []).push(name);
  }
  const groups = [...byDType].sort(([a], [b]) => RANK.get(a)! - RANK.get(b)!);
  return groups.flatMap(([, names]) => sortByUtf8(names).map((name) => [name, tensors.get(name)!] as const));
}

function sortByUtf8(names: string[]): string[] {
  // UTF-16 sorts as UTF-8 does, except for pairs of surrogates, which it puts before U+E000.
  if (!names.some((name) => /[\ud800-\udfff]/.test(name))) return names.sort();
  return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

function checkText(text: string, what: string): void {
  if (!LONE_SURROGATE.test(text)) return;
  throw new VistaError("UNSUPPORTED", `${what} has half of a surrogate pair, which UTF-8 cannot say`, {
    record: JSON.stringify(text),
    hint: "Give another text.",
  });
}

function frame(json: string): Buffer {
  const length = Math.ceil(Buffer.byteLength(json) / 8) * 8;
  if (length > MAX_HEADER) {
    throw new VistaError("UNSUPPORTED", `the header would have ${length} bytes, the limit is ${MAX_HEADER}`, {
      hint: "Write the tensors to several files with --max-shard-size.",
    });
  }
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length), 0);
  bytes.write(json, 8);
  return bytes;
}
