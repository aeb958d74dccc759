/** Folders of torch.distributed.checkpoint that real torch saved, with something in their metadata changed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PyGlobal, PyObject, PyTuple, type PyValue } from "../../src/checkpoint/torch/objects.js";
import { readPickle } from "../../src/checkpoint/torch/pickle.js";
import { rewritePickle } from "../../src/checkpoint/torch/rewrite.js";
import { copyFolder } from "./copy.js";
import { FIXTURES, temporaryFolder } from "./state.js";

type Fields = Map<PyValue, PyValue>;
export const fields = (value: PyValue | undefined) => (value as PyObject).state as Fields;
/** The numbers of a torch.Size, which may be changed. */
export const numbers = (size: PyValue | undefined) =>
  (((size as PyObject).args as PyTuple).items[0] as PyTuple).items as number[];
const newSize = (...dims: number[]) =>
  new PyObject(new PyGlobal("torch", "Size"), new PyTuple([new PyTuple(dims)]));

/** What a test may change: the boxes of a tensor, and where each was saved. */
export class Metadata {
  readonly #root: Fields;
  constructor(root: PyValue) {
    this.#root = fields(root);
  }

  chunks(name: string): PyValue[] {
    const tensors = this.#root.get("state_dict_metadata") as Fields;
    return fields(tensors.get(name)).get("chunks") as PyValue[];
  }

  /** The chunk of a tensor that begins there. */
  chunk(name: string, ...offsets: number[]): Fields {
    const found = this.chunks(name).find(
      (chunk) => `${numbers(fields(chunk).get("offsets"))}` === `${offsets}`,
    );
    return fields(found);
  }

  /** The entry of `storage_data` for that chunk: its key and what it says. */
  stored(name: string, ...offsets: number[]): { key: PyValue; index: Fields; info: Fields } {
    for (const [key, info] of this.storage) {
      const index = fields(key);
      const offset = index.get("offset");
      const at = offset instanceof PyObject ? numbers(offset) : [];
      if (index.get("fqn") === name && `${at}` === `${offsets}`) return { key, index, info: fields(info) };
    }
    throw new Error(`no ${name} at ${offsets}`);
  }

  get storage(): Fields {
    return this.#root.get("storage_data") as Fields;
  }

  /** Says of a box that it begins elsewhere, in both places. */
  move(name: string, from: number[], to: number[]): void {
    const { index } = this.stored(name, ...from);
    this.chunk(name, ...from).set("offsets", newSize(...to));
    index.set("offset", newSize(...to));
  }

  /** Says of a box that it lies where another does. */
  place(name: string, from: number[], other: string, at: number[]): void {
    const { info } = this.stored(name, ...from);
    const there = this.stored(other, ...at).info;
    for (const field of ["relative_path", "offset", "length"]) info.set(field, there.get(field)!);
  }
}

/** A copy of a fixture whose metadata were read, changed and written again. */
export function changedDcp(
  change: (metadata: Metadata, folder: string) => void,
  name = "2d-2x2ranks",
): string {
  const folder = copyFolder(join(FIXTURES, "dcp", name), join(temporaryFolder(), "dcp"));
  const path = join(folder, ".metadata");
  const pickle = readPickle(readFileSync(path), { path, exact: true });
  change(new Metadata(pickle.value), folder);
  writeFileSync(
    path,
    rewritePickle(pickle, () => {
      throw new Error("metadata have no storages");
    }),
  );
  return folder;
}
