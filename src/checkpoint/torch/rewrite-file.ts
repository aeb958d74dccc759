/** Writes a torch file again with its pickle changed: storages that stay are copied whole, new ones are made from tensors. */

import type { Region } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";
import { sum } from "../../core/sum.js";
import type { OutputPart } from "../copy/parts.js";
import { makeTensor, type Tensor } from "../tensor/tensor.js";
import type { TorchFile } from "./file.js";
import { PyObject, PyPersistent, PyTuple, type PyValue } from "./objects.js";
import { type ExactPickle, rewritePickle, storageParts } from "./rewrite.js";
import { planTorchRecords, type TorchStorageRecord } from "./write.js";
import { sizeOf } from "./zip-plan.js";

/** A storage that is not in the file: tensors one after the other, where a number stands for so many bytes of zeros. */
export class NewStorage extends PyPersistent {
  constructor(
    id: PyTuple,
    readonly content: TorchStorageRecord["content"],
  ) {
    super(id);
  }
}

/** A storage of the file that is saved once more under a key of its own, so that a copy of a tensor does not share it. */
class CopiedStorage extends PyPersistent {}

/**
 * Returns a copy of a tensor with a storage of its own; any other value comes back as it is.
 * @param node  a node of an exact pickle
 */
export function copyTensor(node: PyValue): PyValue {
  if (!(node instanceof PyObject) || !(node.args instanceof PyTuple)) return node;
  const { items } = node.args;
  const [first] = items;
  let copied: PyValue;
  if (first instanceof PyPersistent && !(first instanceof NewStorage)) copied = new CopiedStorage(first.id);
  else if (/^torch\._utils\._rebuild_parameter/.test(node.id)) copied = copyTensor(first!);
  else return node;
  return new PyObject(node.callable, new PyTuple([copied, ...items.slice(1)]), node.kwargs);
}

/**
 * Returns the parts of the file that `exact` describes, in order. Storage keys are counted anew, in the
 * order in which torch.save would count them.
 *
 * @param source  the file whose storages the pickle names
 * @throws VistaError `FORMAT`, `TRUNCATED`, `UNSUPPORTED`
 */
export async function planRewrittenFile(
  source: TorchFile,
  exact: ExactPickle,
  path: string,
): Promise<readonly OutputPart[]> {
  const { pickle, storages } = rewrittenPickle(exact);
  const looking: Promise<void>[] = [];
  const records = storages.map(([what, key]): TorchStorageRecord => {
    if (what instanceof NewStorage) return { key, content: what.content };
    const { key: old, size } = storageParts(what);
    // One without bytes needs no look at the zip's directory: the placeholders of stage 3 are thousands in every file.
    if (size === 0) return { key, content: NOTHING };
    const content: Tensor[] = [];
    looking.push(source.storage(old).then((region) => void content.push(wholeRegion(region))));
    return { key, content };
  });
  await Promise.all(looking);
  return planTorchRecords(path, pickle, records);
}

/** Returns what {@link planRewrittenFile} returns, for a pickle all of whose storages are new. */
export function planNewFile(exact: ExactPickle, path: string): readonly OutputPart[] {
  const { pickle, storages } = rewrittenPickle(exact);
  const records = storages.map(([what, key]): TorchStorageRecord => {
    if (!(what instanceof NewStorage)) throw new Error("a storage of another file");
    return { key, content: what.content };
  });
  return planTorchRecords(path, pickle, records);
}

const NOTHING: TorchStorageRecord["content"] = [];

/**
 * Rewrites the pickle with new storage keys.
 * @returns the pickle; and the storages, each with its new key: those of the file that was read once each, also where several
 *   objects name one
 */
function rewrittenPickle(exact: ExactPickle): { pickle: Uint8Array; storages: [PyPersistent, string][] } {
  const keys = new Map<string | PyPersistent, string>();
  const storages: [PyPersistent, string][] = [];
  const pickle = rewritePickle(exact, (storage) => {
    const own = storage instanceof NewStorage || storage instanceof CopiedStorage;
    return remember(keys, own ? storage : storageParts(storage).key, () => {
      const key = String(storages.length);
      storages.push([storage, key]);
      return key;
    });
  });
  return { pickle, storages };
}

/** Returns the bytes of a region as a tensor. */
export function wholeRegion(region: Region): Tensor {
  const pieces = region.length === 0 ? [] : [{ region, start: 0, length: region.length }];
  return makeTensor("U8", [region.length], { kind: "pieces", pieces });
}

/**
 * Returns the call that rebuilds a flat tensor with other content; class, location and flags of the old one stay.
 *
 * @param node  the exact node of the tensor that it replaces
 * @param numel  the number of elements of the tensor, from the start of the storage
 * @returns `undefined` where the node is not the call that rebuilds a plain tensor or parameter
 */
export function replaceFlatTensor(
  node: PyValue,
  content: TorchStorageRecord["content"],
  numel: number,
  bytesPerElement: number,
): PyObject | undefined {
  if (!(node instanceof PyObject) || !(node.args instanceof PyTuple)) return undefined;
  const { items } = node.args;
  if (/^torch\._tensor\._rebuild_from_type(_v2)?$/.test(node.id)) {
    // The arguments are (function, class, arguments, attributes), for a tensor with attributes of its own, as stage 3 gives them.
    const [inner, cls, args, attributes] = items;
    const made = replaceFlatTensor(new PyObject(inner!, args!), content, numel, bytesPerElement);
    return made === undefined
      ? undefined
      : new PyObject(node.callable, new PyTuple([inner!, cls!, made.args, attributes!]));
  }
  if (/^torch\._utils\._rebuild_parameter(_with_state)?$/.test(node.id)) {
    const inner = replaceFlatTensor(items[0]!, content, numel, bytesPerElement);
    return inner === undefined
      ? undefined
      : new PyObject(node.callable, new PyTuple([inner, ...items.slice(1)]));
  }
  if (!/^torch\._utils\._rebuild_tensor(_v2|_v3)?$/.test(node.id)) return undefined;
  const [old, , , , ...flags] = items;
  if (!(old instanceof PyPersistent)) return undefined;
  const bytes = sum(content, sizeOf);
  const { cls, key, location } = storageParts(old);
  // An UntypedStorage counts bytes.
  const size = node.id.endsWith("_v3") ? bytes : bytes / bytesPerElement;
  const storage = new NewStorage(new PyTuple(["storage", cls, key, location, size]), content);
  return new PyObject(
    node.callable,
    new PyTuple([storage, 0, new PyTuple([numel]), new PyTuple([1]), ...flags]),
  );
}
