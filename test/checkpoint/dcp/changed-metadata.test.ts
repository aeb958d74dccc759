/** The `.metadata` that real torch wrote, with one thing in it changed: refused with the tensor and the box, and nothing is written. */
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PyGlobal, PyObject, PyTuple, type PyValue } from "../../../src/checkpoint/torch/objects.js";
import { readPickle } from "../../../src/checkpoint/torch/pickle.js";
import { rewritePickle } from "../../../src/checkpoint/torch/rewrite.js";
import { runCli } from "../../helpers/cli.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";

type Fields = Map<PyValue, PyValue>;
const fields = (value: PyValue | undefined) => (value as PyObject).state as Fields;
/** The numbers of a torch.Size, which may be changed. */
const numbers = (size: PyValue | undefined) =>
  (((size as PyObject).args as PyTuple).items[0] as PyTuple).items as number[];
const newSize = (...dims: number[]) =>
  new PyObject(new PyGlobal("torch", "Size"), new PyTuple([new PyTuple(dims)]));

/** What a test may change: the boxes of a tensor, and where each was saved. */
class Metadata {
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
function changed(change: (metadata: Metadata) => void, name = "2d-2x2ranks"): string {
  const folder = join(temporaryFolder(), "dcp");
  cpSync(join(FIXTURES, "dcp", name), folder, { recursive: true });
  const path = join(folder, ".metadata");
  const pickle = readPickle(readFileSync(path), { path, exact: true });
  change(new Metadata(pickle.value));
  writeFileSync(
    path,
    rewritePickle(pickle, () => {
      throw new Error("metadata have no storages");
    }),
  );
  return folder;
}

it("written again without a change, it is what it was", async () => {
  const folder = changed(() => {});
  const { code, stdout } = await runCli("vista-ckpt", ["diff", folder, join(FIXTURES, "dcp/2d-2x2ranks")]);
  expect([code, stdout]).toEqual([0, "equal: 9 tensors the same\n"]);
});

// `both` is 7 × 5 on a mesh of 2 × 2: rows 0:4 and 4:7, columns 0:3 and 3:5.
const cases: [string, (metadata: Metadata) => void, RegExp][] = [
  [
    "a chunk that is not there",
    (metadata) => {
      const chunks = metadata.chunks("both");
      chunks.splice(
        chunks.findIndex((chunk) => `${numbers(fields(chunk).get("offsets"))}` === "4,0"),
        1,
      );
    },
    /both: nothing was saved for the box \[4:7, 0:3\]; 3 saved boxes hold 26 of 35 elements \(shape \[7, 5\]\)/,
  ],
  [
    "boxes that overlap",
    (metadata) => metadata.move("both", [4, 3], [3, 3]),
    /both: the box \[3:6, 3:5\] and the box \[0:4, 3:5\] overlap/,
  ],
  [
    "a box outside the tensor",
    (metadata) => metadata.move("both", [4, 0], [5, 0]),
    /both: the box \[5:8, 0:3\] leaves the tensor of shape \[7, 5\]/,
  ],
  [
    "another box of the tensor in its place",
    (metadata) => metadata.place("both", [4, 0], "both", [0, 0]),
    /both: at byte \d+: the box \[4:7, 0:3\]: a F32 tensor of shape \[4, 3\] lies there, not F32 of \[3, 3\]/,
  ],
  [
    "another tensor in its place",
    (metadata) => metadata.place("both", [4, 0], "everywhere", [0]),
    /both: at byte \d+: the box \[4:7, 0:3\]: a I64 tensor of shape \[6\] lies there, not F32 of \[3, 3\]/,
  ],
  [
    "a pickled object in its place",
    (metadata) => metadata.place("both", [4, 0], "step", []),
    /both: at byte \d+: the box \[4:7, 0:3\]: no tensor lies there/,
  ],
  [
    "a place that is told for no box",
    (metadata) => metadata.storage.delete(metadata.stored("both", 4, 0).key),
    /both: .*nothing says where the chunk at \[4, 0\] was saved/,
  ],
  [
    "a place behind the end of the file",
    (metadata) => metadata.stored("both", 4, 0).info.set("offset", 1_000_000),
    /both: at byte 1000000: (?:the box \[4:7, 0:3\]|it) was saved up to byte \d+, the file has \d+ bytes/,
  ],
  [
    "an extension",
    (metadata) => metadata.stored("both", 4, 0).info.set("transform_descriptors", ["stream.zstd"]),
    /both: it was saved through an extension \(transform_descriptors\)/,
  ],
];

describe.each(cases)("%s", (_, change, message) => {
  it.each(["to-st", "merge", "verify", "inspect"])("%s", async (command) => {
    const output = join(temporaryFolder(), "out.safetensors");
    const more = { "to-st": ["--raw", "-o", output], merge: ["-o", output] }[command] ?? [];
    const { code, stdout, stderr } = await runCli("vista-ckpt", [command, changed(change), ...more]);
    expect(stdout + stderr).toMatch(message);
    expect({ code, written: existsSync(output) }).toEqual({ code: 1, written: false });
  });
});
