/**
 * Writes a state dict as torch.save does: a zip with the pickle, the order of bytes, one storage for each distinct tensor, a
 * version and an id.
 *
 * Source: pytorch torch/serialization.py (_save), caffe2/serialize/inline_container.cc (PyTorchStreamWriter).
 */
import { basename, extname } from "node:path";
import { VistaError } from "../../core/errors.js";
import { crc32 } from "../../core/io/crc32.js";
import { LONE_SURROGATE } from "../../core/text.js";
import type { OutputPart } from "../copy/parts.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { contiguousStrides, type StateDict, type Tensor } from "../tensor/tensor.js";
import { PICKLE_LIMITS } from "./limits.js";
import { pickleStateDict } from "./pickle-writer.js";
import { ZipPlan } from "./zip-plan.js";

/** The content of the record `version`, as torch 2 writes it. */
const FORMAT_VERSION = "3\n";

/**
 * Returns the parts of a torch file of a state dict, in order. Two names with one tensor share a storage in it.
 * @param path  the path of the output, whose name is the root folder in the zip
 * @throws VistaError `UNSUPPORTED` for a dtype or a number of dimensions that torch does not have, for a name that is no text, and
 *   for too many tensors
 */
export function planTorchFile(state: StateDict, path: string): readonly OutputPart[] {
  const unreadable = [...state.tensors.keys()].find((name) => LONE_SURROGATE.test(name));
  if (unreadable !== undefined)
    throw new VistaError("UNSUPPORTED", "a name has half of a surrogate pair, which is no text for others", {
      record: JSON.stringify(unreadable),
      hint: "Give another name.",
    });
  const keys = new Map<Tensor, string>();
  for (const [tensor, name] of state.unique()) {
    const refuse = (what: string) =>
      new VistaError("UNSUPPORTED", what, { record: name, hint: "Write safetensors instead." });
    const { dtype, shape } = tensor;
    if (dtypeInfo(dtype).torch === undefined || dtype === "F4")
      throw refuse(`torch has no tensors of dtype ${dtype}`);
    const { dimensions } = PICKLE_LIMITS;
    if (shape.length > dimensions)
      throw refuse(`torch has no tensors of ${shape.length} dimensions, only up to ${dimensions}`);
    // A tensor without elements may have a shape whose strides are beyond what can be counted.
    if (!contiguousStrides(shape).every(Number.isSafeInteger))
      throw refuse(`the strides of shape [${shape.join(", ")}] are beyond 2^53`);
    keys.set(tensor, String(keys.size));
  }
  return planTorchRecords(path, pickleStateDict(state, keys), storagesOf(keys), identityOf(state));
}

function* storagesOf(keys: ReadonlyMap<Tensor, string>): Generator<TorchStorageRecord> {
  for (const [tensor, key] of keys) yield { key, content: [tensor] };
}

function* identityOf(state: StateDict): Generator<Uint8Array> {
  for (const [name, { dtype, shape }] of state.tensors) yield Buffer.from(`${name}\0${dtype}\0${shape}\n`);
}

/** A storage of a torch file: tensors one after the other, where a number stands for so many bytes of zeros. */
export interface TorchStorageRecord {
  readonly key: string;
  readonly content: readonly (Tensor | number)[];
}

/**
 * Returns the parts of a torch file around a pickle that was made elsewhere, in order.
 * @param identity  the bytes on which the file's id depends; by default those of the pickle
 */
export function planTorchRecords(
  path: string,
  pickle: Uint8Array,
  storages: Iterable<TorchStorageRecord>,
  identity: Iterable<Uint8Array> = [pickle],
): readonly OutputPart[] {
  // The root folder is the file's name without its last extension; torch reads any.
  const name = basename(path);
  const root = basename(name, extname(name)) || "archive";
  const plan = new ZipPlan(root);
  plan.addBytes("data.pkl", pickle);
  plan.addBytes("byteorder", Buffer.from("little"));
  for (const { key, content } of storages) plan.addStorage(`data/${key}`, content);
  plan.addBytes("version", Buffer.from(FORMAT_VERSION));
  plan.addBytes(".data/serialization_id", Buffer.from(serializationId(identity)));
  return plan.finish();
}

/**
 * Returns 40 digits that torch uses to tell files apart. Here they depend on what is in the file, so that output is reproducible.
 */
function serializationId(parts: Iterable<Uint8Array>): string {
  let sums = [0, 1, 2, 3];
  for (const part of parts) sums = sums.map((sum) => crc32(part, sum));
  return sums.map((sum) => sum.toString().padStart(10, "0")).join("");
}
