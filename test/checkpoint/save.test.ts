import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { crc32 } from "node:zlib";
import { describe, expect, it } from "vitest";
import { castState } from "../../src/checkpoint/cast.js";
import { diffStates } from "../../src/checkpoint/diff.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { openOptimizerState } from "../../src/checkpoint/optimizer-state.js";
import { reshardCheckpoint } from "../../src/checkpoint/reshard.js";
import { planCheckpoint, saveCheckpoint } from "../../src/checkpoint/save.js";
import { scanPaths } from "../../src/checkpoint/scan/scan.js";
import { makeTensor, StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../src/checkpoint/tensor/typed-array.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { applyProfile } from "../../src/checkpoint/vista/profile.js";
import { applyVista } from "../../src/checkpoint/vista/steps.js";
import { digestsOf, temporaryFolder } from "../helpers/state.js";

const tensor = (values: readonly number[]) =>
  makeTensor("F32", [values.length], {
    kind: "computed",
    inputs: [],
    compute: (_, result) => result.set(new Uint8Array(Float32Array.from(values).buffer)),
  });
const three = () =>
  new StateDict(
    new Map([
      ["a", tensor([1])],
      ["b", tensor([2, 3])],
      ["c", tensor([4])],
    ]),
  );
const two = () => new StateDict([...three().tensors].slice(0, 2));
const fail = makeTensor("F32", [1], {
  kind: "computed",
  inputs: [],
  compute: () => {
    throw new Error("cannot be computed");
  },
});

describe.each(["bin", "safetensors"])("%s shards", (extension) => {
  it("have the names and the index of Hugging Face, and read back the same", async () => {
    const folder = temporaryFolder();
    const path = join(folder, `model.${extension}`);
    const saved = await saveCheckpoint(three(), path, { maxShardSize: 8 });
    expect(readdirSync(folder).sort()).toEqual([
      `model-00001-of-00003.${extension}`,
      `model-00002-of-00003.${extension}`,
      `model-00003-of-00003.${extension}`,
      `model.${extension}.index.json`,
    ]);
    expect(JSON.parse(readFileSync(`${path}.index.json`, "utf8"))).toEqual({
      metadata: {
        shards: Object.fromEntries(
          ["1", "2", "3"].map((number) => {
            const name = `model-0000${number}-of-00003.${extension}`;
            const bytes = readFileSync(join(folder, name));
            return [name, { crc32: crc32(bytes).toString(16).padStart(8, "0"), size: bytes.length }];
          }),
        ),
        total_size: 16,
      },
      weight_map: {
        a: `model-00001-of-00003.${extension}`,
        b: `model-00002-of-00003.${extension}`,
        c: `model-00003-of-00003.${extension}`,
      },
    });
    expect(saved).toEqual(await planCheckpoint(three(), path, { maxShardSize: 8, force: true }));
    const { state } = await openCheckpoint(folder);
    expect(await digestsOf(state)).toEqual(await digestsOf(three()));
    await state.close();
  });

  it("are one file without index where everything fits", async () => {
    const folder = temporaryFolder();
    await saveCheckpoint(three(), join(folder, `m.${extension}`), { maxShardSize: 16 });
    expect(readdirSync(folder)).toEqual([`m.${extension}`]);
  });

  it("leave nothing behind when one of them fails", async () => {
    const folder = temporaryFolder();
    const state = new StateDict(new Map([...three().tensors, ["d", fail]]));
    await expect(
      saveCheckpoint(state, join(folder, `m.${extension}`), { maxShardSize: 8 }),
    ).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("do not replace older ones without force; with it what is stale goes", async () => {
    const folder = temporaryFolder();
    const path = join(folder, `m.${extension}`);
    for (const name of [`m-00003-of-00004.${extension}`, `m.${extension}`, `m-other.${extension}`]) {
      writeFileSync(join(folder, name), "old");
    }
    await expect(saveCheckpoint(three(), path, { maxShardSize: 8 })).rejects.toMatchObject({
      code: "EXISTS",
    });
    expect(readdirSync(folder).length).toBe(3);
    await saveCheckpoint(three(), path, { maxShardSize: 8, force: true });
    expect(readdirSync(folder).sort()).toEqual([
      `m-00001-of-00003.${extension}`,
      `m-00002-of-00003.${extension}`,
      `m-00003-of-00003.${extension}`,
      `m-other.${extension}`,
      `m.${extension}.index.json`,
    ]);
    await saveCheckpoint(three(), path, { maxShardSize: 1000, force: true });
    expect(readdirSync(folder).sort()).toEqual([`m-other.${extension}`, `m.${extension}`]);
  });
});

describe.each(["bin", "safetensors"])("a set of %s shards", (extension) => {
  const other = () => {
    const names = [...three().tensors.keys()];
    return new StateDict(new Map(names.map((name, i) => [name, tensor(i === 1 ? [7, 8] : [6])])));
  };
  const save = async (state: StateDict, force = false) => {
    const folder = temporaryFolder();
    const saved = await saveCheckpoint(state, join(folder, `m.${extension}`), {
      maxShardSize: 8,
      force,
      fsync: false,
    });
    return { folder, index: saved.index!, files: saved.files.map(({ path }) => path) };
  };

  it("is sound, and mixed with shards of another run it is not, though their sizes are the same", async () => {
    const [one, two] = [await save(three()), await save(other())];
    expect((await verifyCheckpoint(one.index)).problems).toEqual([]);
    for (const [i, file] of one.files.entries()) {
      const right = readFileSync(file);
      writeFileSync(file, readFileSync(two.files[i]!));
      const { problems } = await verifyCheckpoint(one.folder);
      expect(problems).toMatchObject([{ code: "INCONSISTENT", where: { path: file } }]);
      writeFileSync(file, right);
    }
  });

  it("is not opened where a shard has another size than its index says", async () => {
    const { index, files } = await save(three());
    writeFileSync(files[1]!, Buffer.concat([readFileSync(files[1]!), Buffer.alloc(1)]));
    for (const look of [openCheckpoint, verifyCheckpoint])
      await expect(look(index)).rejects.toMatchObject({
        code: "INCONSISTENT",
        where: { path: files[1]! },
        message: /index says/,
      });
  });

  it("a flipped bit anywhere in a shard, between the tensors too, is found", async () => {
    // With a neighbour, which is read again each time.
    const { index, files } = await save(two());
    const right = readFileSync(files[1]!);
    // Every fourth byte, and so each field of a zip that has four, and all of its end.
    const places = Array.from(right.keys()).filter((at) => at % 4 === 1 || at > right.length - 24);
    for (const at of places) {
      const wrong = Buffer.from(right);
      wrong[at]! ^= 4;
      writeFileSync(files[1]!, wrong);
      expect((await verifyCheckpoint(index)).problems.length, `byte ${at}`).toBeGreaterThan(0);
    }
  });

  it("keeps the older one whole where the last shard cannot get its name", async () => {
    const { folder, index, files } = await save(three());
    const before = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
    const saving = saveCheckpoint(other(), join(folder, `m.${extension}`), {
      maxShardSize: 8,
      force: true,
      fsync: false,
      // When its place has been looked at already, a folder takes it.
      onProgress: ({ done, total }) => {
        if (done !== total) return;
        rmSync(files[2]!, { force: true });
        mkdirSync(files[2]!, { recursive: true });
      },
    });
    await expect(saving).rejects.toMatchObject({ name: "VistaError" });
    expect(readdirSync(folder).sort()).toEqual([...before.keys()].sort());
    for (const path of [index, files[0]!, files[1]!])
      expect(readFileSync(path).equals(before.get(basename(path))!)).toBe(true);
  });
});

it("an index whose metadata is anybody's is read, and half a statement of a shard is refused", async () => {
  const folder = temporaryFolder();
  const { index } = await saveCheckpoint(three(), join(folder, "m.bin"), { maxShardSize: 8, fsync: false });
  const json = JSON.parse(readFileSync(index!, "utf8"));
  for (const shards of [undefined, 3, "x", [], { a: { keys: 3 } }]) {
    writeFileSync(index!, JSON.stringify({ ...json, metadata: { shards } }));
    await (await openCheckpoint(index!)).state.close();
  }
  for (const entry of [
    { size: 1 },
    { crc32: "00000000" },
    { size: "1", crc32: "00000000" },
    { size: 1, crc32: "x" },
  ]) {
    writeFileSync(
      index!,
      JSON.stringify({ ...json, metadata: { shards: { "m-00001-of-00003.bin": entry } } }),
    );
    await expect(openCheckpoint(index!)).rejects.toMatchObject({ code: "FORMAT" });
  }
});

it("a failed replacement leaves the old file", async () => {
  const path = join(temporaryFolder(), "m.safetensors");
  writeFileSync(path, "old");
  const state = new StateDict(new Map([["d", fail]]));
  await expect(saveCheckpoint(state, path, { force: true })).rejects.toThrow();
  expect(readFileSync(path, "utf8")).toBe("old");
});

it("an aborted signal leaves nothing", async () => {
  const path = join(temporaryFolder(), "m.safetensors");
  const signal = AbortSignal.abort();
  await expect(saveCheckpoint(three(), path, { signal })).rejects.toMatchObject({ code: "ABORTED" });
  expect(existsSync(path)).toBe(false);
});

it("castState converts floats only and keeps sharing", () => {
  const shared = tensor([1]);
  const integers = makeTensor("I64", [1], { kind: "pieces", pieces: [] });
  const state = castState(
    new StateDict(
      new Map([
        ["a", shared],
        ["b", shared],
        ["i", integers],
      ]),
    ),
    "BF16",
  );
  expect([...state.tensors.values()].map(({ dtype }) => dtype)).toEqual(["BF16", "BF16", "I64"]);
  expect(state.tensors.get("a")).toBe(state.tensors.get("b"));
});

it.each([
  ["a dtype", { dtype: "bf16" }, /no conversion to bf16/],
  ["a format", { format: "pickle" }, /no format pickle/],
  ["a size that is text", { maxShardSize: "5GB" }, /maxShardSize is 5GB/],
  ["a size that is no number", { maxShardSize: Number.NaN }, /maxShardSize is NaN/],
  ["a size of nothing", { maxShardSize: 0 }, /maxShardSize is 0/],
  ["metadata that is no text", { metadata: { epoch: 5 } }, /metadata under epoch is no text/],
  ["metadata under a number", { metadata: new Map([[1, "a"]]) }, /metadata key 1 is no text/],
  ["metadata without keys", { metadata: "pt" }, /metadata are no text by key/],
  ["metadata in a torch file", { format: "torch", metadata: { a: "b" } }, /metadata are for safetensors/],
])(
  "%s that there is not is refused, as programs in JavaScript may give it, and nothing is written",
  async (_, options, message) => {
    const folder = temporaryFolder();
    const saved = saveCheckpoint(three(), join(folder, "a.safetensors"), options as never);
    await expect(saved).rejects.toMatchObject({ code: "USAGE", message: expect.stringMatching(message) });
    expect(readdirSync(folder)).toEqual([]);
  },
);

it("metadata may be a Map, as an opened checkpoint has them", async () => {
  const path = join(temporaryFolder(), "a.safetensors");
  const metadata = new Map([
    ["format", "pt"],
    ["__proto__", "x"],
  ]);
  await saveCheckpoint(three(), path, { metadata, fsync: false });
  const { state, metadata: read } = await openCheckpoint(path);
  await state.close();
  expect(read).toEqual(metadata);
});

it.each<[string, () => unknown, RegExp]>([
  ["a number as a name", () => new StateDict([[1, tensor([1])]] as never), /1: is no text, as names are/],
  [
    "a checkpoint in the place of its state",
    () => saveCheckpoint({ state: three() } as never, "x.bin"),
    /no StateDict/,
  ],
  ["a checkpoint to applyVista", () => applyVista({ tensors: new Map() } as never), /no StateDict/],
  [
    "a checkpoint to applyProfile",
    () => applyProfile({ tensors: new Map() } as never, "none"),
    /no StateDict/,
  ],
  ["a checkpoint to castState", () => castState({ tensors: new Map() } as never, "F16"), /no StateDict/],
  ["a checkpoint to diffStates", () => diffStates({ tensors: new Map() } as never, three()), /no StateDict/],
  ["nothing to diffStates", () => diffStates(three(), undefined as never), /no StateDict/],
  ["a list of tensors", () => new StateDict([tensor([1])] as never), /pairs .* this list has something else/],
  ["a path to scan that is a URL", () => scanPaths(new URL("file:///x.bin") as never), /path is text/],
  ["nothing to scan", () => scanPaths(undefined as never), /path is text/],
  ["an optimizer that is nowhere", () => openOptimizerState(undefined as never), /path is text/],
  [
    "an output of reshard that is none",
    () => reshardCheckpoint("fixtures/zero/stage2-fp32-2ranks", 4 as never, { ranks: 4 }),
    /path is text/,
  ],
  ["an object of tensors", () => new StateDict({ a: tensor([1]) } as never), /pairs of a name and a tensor/],
  [
    "an output that is a URL",
    () => saveCheckpoint(three(), new URL("file:///x.bin") as never),
    /path is text/,
  ],
  ["no output", () => saveCheckpoint(three(), undefined as never), /path is text/],
  ["an input that is a URL", () => openCheckpoint(new URL("file:///x.bin") as never), /path is text/],
  ["a dtype of torch", () => tensorFrom(new Uint8Array(4), [1], "float32" as never), /no dtype float32/],
  ["a shape that is a number", () => tensorFrom(new Uint8Array(4), 4 as never), /\[4\] is no shape/],
  ["a tolerance of NaN", () => diffStates(three(), three(), { atol: Number.NaN }), /NaN is no tolerance/],
  [
    "a tolerance that is text",
    () => diffStates(three(), three(), { rtol: "1" as never }),
    /1 is no tolerance/,
  ],
  ["a scale of NaN", () => applyVista(three(), { loraScale: Number.NaN }), /loraScale is NaN/],
  ["a profile", () => applyProfile(three(), "vistas" as never), /no profile vistas/],
])("%s is refused by functions that take state dicts", async (_, call, message) => {
  await expect((async () => call())()).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringMatching(message),
  });
});

it.each(["m.foo", "m", "m.safetensors.tmp", "m.bin.part"])(
  "an output called %s says no format, so that one has to be given",
  async (name) => {
    const folder = temporaryFolder();
    const path = join(folder, name);
    for (const save of [saveCheckpoint, planCheckpoint])
      await expect(save(three(), path)).rejects.toMatchObject({
        code: "USAGE",
        hint: "Name an output that ends in .bin or .pt or .pth or .ckpt or .safetensors.",
      });
    expect(readdirSync(folder)).toEqual([]);
    for (const format of ["torch", "safetensors"] as const) {
      await saveCheckpoint(three(), path, { format, force: true, fsync: false });
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint.kind).toBe(format);
      await checkpoint.close();
    }
  },
);

it.each([
  ["m.bin", "torch"],
  ["m.PT", "torch"],
  ["m.pth", "torch"],
  ["m.ckpt", "torch"],
  ["m.SafeTensors", "safetensors"],
])("an output called %s is a file of %s", async (name, kind) => {
  const path = join(temporaryFolder(), name);
  await saveCheckpoint(three(), path, { fsync: false });
  const checkpoint = await openCheckpoint(path);
  expect(checkpoint.kind).toBe(kind);
  await checkpoint.close();
});

it.each(["m.bin", "m.safetensors"])(
  "%s: a name with half of a surrogate pair, which is read nowhere, is not written",
  async (name) => {
    const folder = temporaryFolder();
    const state = new StateDict([["w\ud800", tensor([1])]]);
    await expect(saveCheckpoint(state, join(folder, name))).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: /half of a surrogate pair/,
    });
    expect(readdirSync(folder)).toEqual([]);
  },
);
