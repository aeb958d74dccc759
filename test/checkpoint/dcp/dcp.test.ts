/** Distributed checkpoints in every command, and what is wrong with them. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readMetadata } from "../../../src/checkpoint/dcp/metadata.js";
import { openDcp } from "../../../src/checkpoint/dcp/open.js";
import { PyGlobal, PyObject, PyTuple, type PyValue } from "../../../src/checkpoint/torch/objects.js";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";

const fixture = (name: string) => join(FIXTURES, "dcp", name);

/** A copy of a fixture that a test may damage. */
function copyOf(name: string): string {
  return copyFolder(fixture(name), join(temporaryFolder(), "dcp"));
}

describe("commands", () => {
  it("merge writes what torch's converter would, and says from what", async () => {
    const folder = copyOf("nested-2ranks");
    const merged = await runCli("vista-ckpt", ["merge", folder]);
    expect(merged.code).toBe(0);
    expect(merged.stdout).toContain(`from ${folder}: distributed checkpoint of torch, 2 files,`);
    expect(merged.stdout).toContain("its entry model");
    expect(merged.stderr).toMatch(/left out 5 tensors, found elsewhere in the saved dict: optimizer\.state/);
    const same = await runCli("vista-ckpt", ["diff", folder, join(folder, "pytorch_model.bin")]);
    expect(same).toMatchObject({ code: 0 });
    expect(same.stdout).toMatch(
      /^not compared: 3\n {2}\S+: 5 tensors under optimizer\n {2}\S+: step, .*\n {2}\S+: scheduler\.last_lr, which is no tensor\nstate dicts equal: 5 tensors the same\n$/,
    );
  });

  it("another entry of the saved dict by its key", async () => {
    const { state, info } = await openDcp(fixture("nested-2ranks"), { key: "optimizer" });
    await state.close();
    expect(info.key).toBe("optimizer");
    expect([...state.tensors.keys()]).toContain("state.layer.weight.exp_avg");
    await expect(openDcp(fixture("nested-2ranks"), { key: "ema" })).rejects.toThrow(
      /no tensors under "ema" in it; there are tensors: 5 under model, 5 under optimizer/,
    );
  });

  it("inspect says what it is", async () => {
    const { stdout } = await runCli("vista-ckpt", ["inspect", fixture("2d-2x2ranks")]);
    expect(stdout).toContain("distributed checkpoint of torch (DCP)");
    expect(stdout).toContain("both-turned  BF16 [3, 6, 5]");
  });

  it("verify reads every item, also those that are no weights", async () => {
    const { code, stdout } = await runCli("vista-ckpt", ["verify", fixture("nested-2ranks")]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/__1_0\.distcp: .*, 82 of 82 records with a good CRC-32/);
  });
});

describe("what is wrong is said, and nothing is written", () => {
  /** Changes the first byte of a tensor's data: where its values stand in one of the files. */
  function damage(folder: string, values: Buffer): void {
    const files = readdirSync(folder).filter((name) => name.endsWith(".distcp"));
    const path = files.map((name) => join(folder, name)).find((file) => readFileSync(file).includes(values));
    const bytes = readFileSync(path!);
    bytes[bytes.indexOf(values)]! ^= 0xff;
    writeFileSync(path!, bytes);
  }

  /** Puts other text of the same length into the metadata. */
  function rewrite(folder: string, from: string, to: string): void {
    expect(to.length).toBe(from.length);
    const path = join(folder, ".metadata");
    const bytes = readFileSync(path);
    const at = bytes.indexOf(from);
    expect(at).toBeGreaterThan(0);
    bytes.write(to, at, "latin1");
    writeFileSync(path, bytes);
  }

  const cases: [string, (folder: string) => void, RegExp][] = [
    [
      "a damaged element",
      (folder) => damage(folder, Buffer.from(new BigInt64Array([0n, 1n, 2n, 3n]).buffer)),
      /\.distcp: everywhere: the box \[.*\]: .*CRC-32/,
    ],
    [
      "an item that is no file of torch.save",
      (folder) => {
        const [path, length] = [join(folder, "__0_0.distcp"), statSync(join(folder, "__0_0.distcp")).size];
        writeFileSync(path, Buffer.alloc(length));
      },
      /__0_0\.distcp: \S+: at byte \d+: the box \[.*\]: the zip directory cannot be read/,
    ],
    [
      "data files without their metadata, as `cp folder/*` leaves them",
      (folder) => rmSync(join(folder, ".metadata")),
      /: 4 data files of torch\.distributed\.checkpoint and no \.metadata, which .* \* leaves it out/,
    ],
    [
      "a missing file",
      (folder) => rmSync(join(folder, "__2_0.distcp")),
      /__2_0\.distcp: the metadata says that .* is in it, it is not there/,
    ],
    [
      "a file that was cut off",
      (folder) => truncateSync(join(folder, "__3_0.distcp"), 9000),
      /__3_0\.distcp: .*the box \[.*\] was saved up to byte \d+, the file has 9000 bytes/,
    ],
    [
      "a file outside the folder",
      (folder) => rewrite(folder, "__0_0.distcp", "../_0.distcp"),
      /\.metadata: .*names a file outside its folder: "\.\.\/_0\.distcp"/,
    ],
    [
      "the folder itself as a file",
      (folder) => rewrite(folder, "__0_0.distcp", "././././././"),
      /\.metadata: .*names a file outside its folder: "(?:\.\/){6}"/,
    ],
    ["metadata that are cut off", (folder) => truncateSync(join(folder, ".metadata"), 1000), /\.metadata: /],
    [
      "metadata of something else",
      (folder) => writeFileSync(join(folder, ".metadata"), Buffer.from("\x80\x04K\x01.", "latin1")),
      /\.metadata: no metadata of torch\.distributed\.checkpoint that can be read/,
    ],
  ];
  it.each(cases)("%s", async (_, spoil, message) => {
    const folder = copyOf("2d-2x2ranks");
    spoil(folder);
    const output = join(temporaryFolder(), "out.safetensors");
    const { code, stdout, stderr } = await runCli("vista-ckpt", ["to-st", "--raw", folder, "-o", output]);
    expect(stderr).toMatch(message);
    expect(stderr.split("\n").length).toBe(2);
    expect({ code, stdout, left: existsSync(output) }).toEqual({ code: 1, stdout: "", left: false });
    const verified = await runCli("vista-ckpt", ["verify", folder]);
    expect(verified.code).toBe(1);
  });

  it("a shard of the safetensors form that is missing between others", async () => {
    const folder = copyOf("safetensors-3ranks");
    rmSync(join(folder, "shard-00002-model-00001-of-00001.safetensors"));
    const { code, stderr } = await runCli("vista-ckpt", ["inspect", folder]);
    expect(code).toBe(1);
    expect(stderr).toContain("shards up to 3 are there, none of shard 2");
  });

  it("of files that only some shards have, it is said which have none; of one that none has, that it is missing", async () => {
    const folder = copyOf("safetensors-3ranks");
    const part = (rank: number, file: number, files: number) =>
      join(folder, `shard-0000${rank}-model-0000${file}-of-0000${files}.safetensors`);
    for (const rank of [1, 2, 3]) renameSync(part(rank, 1, 1), part(rank, 1, 2));
    const missing = await runCli("vista-ckpt", ["inspect", folder]);
    expect([missing.code, missing.stdout]).toEqual([1, ""]);
    expect(missing.stderr).toContain("no shard has its file 2 of 2");
    // As torch leaves it for a tensor that is on all ranks and saved by one.
    const { stdout: whole } = await runCli("vista-ckpt", [
      "inspect",
      fixture("safetensors-3ranks"),
      "--json",
    ]);
    const header = Buffer.from(
      JSON.stringify({
        __metadata__: { DCP_SHARDING_INFO: JSON.stringify({ extra: { saved_offsets: [0] } }) },
        extra: { dtype: "U8", shape: [2], data_offsets: [0, 2] },
      }),
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(part(2, 2, 2), Buffer.concat([length, header, Buffer.from([7, 8])]));
    const { code, stdout, stderr } = await runCli("vista-ckpt", ["inspect", folder, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).tensors.length).toBe(JSON.parse(whole).tensors.length + 1);
    for (const rank of [1, 3]) expect(stderr).toContain(`shard ${rank} has no file 2 of 2`);
    expect(stderr).not.toContain("shard 2 has");
  });

  it("that the last shard of the safetensors form is there cannot be seen, and that is said", async () => {
    const { stderr } = await runCli("vista-ckpt", ["inspect", fixture("safetensors-3ranks")]);
    expect(stderr).toContain("nothing in such files says how many ranks there were");
  });
});

describe("metadata", () => {
  const make = (name: string, state: [PyValue, PyValue][]) => {
    const object = new PyObject(new PyGlobal("torch.distributed.checkpoint.metadata", name), new PyTuple([]));
    object.state = new Map(state);
    return object;
  };
  const size = (...dims: number[]) => new PyTuple(dims);
  /** One tensor of one box. */
  function metadata(changes: { storage?: [PyValue, PyValue][]; dtype?: PyValue } = {}): PyValue {
    const properties = make("TensorProperties", []);
    properties.state = new PyTuple([changes.dtype ?? new PyGlobal("torch", "float32"), null]);
    const chunk = make("ChunkStorageMetadata", [
      ["offsets", size(0)],
      ["sizes", size(4)],
    ]);
    const tensor = make("TensorStorageMetadata", [
      ["properties", properties],
      ["size", size(4)],
      ["chunks", [chunk]],
    ]);
    const index = make("MetadataIndex", [
      ["fqn", "a.b"],
      ["offset", size(0)],
      ["index", 0],
    ]);
    const info = make("_StorageInfo", [
      ["relative_path", "x.distcp"],
      ["offset", 8],
      ["length", 99],
      ...(changes.storage ?? []),
    ]);
    return make("Metadata", [
      ["state_dict_metadata", new Map([["a.b", tensor]])],
      ["planner_data", new Map([["a.b", new PyTuple(["a", "b"])]])],
      ["storage_data", new Map([[index, info]])],
    ]);
  }

  it("of one tensor", () => {
    expect(readMetadata(metadata(), "x").tensors).toEqual([
      {
        name: "a.b",
        path: ["a", "b"],
        dtype: "F32",
        shape: [4],
        boxes: [{ offsets: [0], sizes: [4], file: "x.distcp", offset: 8, length: 99 }],
      },
    ]);
  });

  it("of what an extension has transformed is refused by its name", () => {
    const storage: [PyValue, PyValue][] = [["transform_descriptors", ["stream.zstd"]]];
    expect(() => readMetadata(metadata({ storage }), "x")).toThrow(/x: a\.b: .*transform_descriptors/);
    expect(readMetadata(metadata({ storage: [["transform_descriptors", null]] }), "x").tensors).toHaveLength(
      1,
    );
  });

  it("of a dtype that is not known is refused by its name", () => {
    const dtype = new PyGlobal("torch", "quint8");
    expect(() => readMetadata(metadata({ dtype }), "x")).toThrow(/a\.b: a tensor of torch\.quint8/);
  });
});
