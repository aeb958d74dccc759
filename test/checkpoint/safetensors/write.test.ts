import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../../src/checkpoint/safetensors/read.js";
import { planSafetensors } from "../../../src/checkpoint/safetensors/write.js";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { DTYPES, type DType, dtypeInfo } from "../../../src/checkpoint/tensor/dtype.js";
import { makeTensor, StateDict, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import { openSource } from "../../../src/core/io/open-source.js";
import type { Region } from "../../../src/core/io/source.js";
import { readWithHuggingFace, readWithSafetensorsPackage } from "../../helpers/js-readers.js";
import { digestsOf, openTorchFile, temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, torchZip } from "../../helpers/torch-file.js";

const VALID = fileURLToPath(new URL("../../../fixtures/safetensors/valid/", import.meta.url));
const EXPECTED = JSON.parse(readFileSync(join(VALID, "..", "valid.json"), "utf8"));

describe("byte for byte what the real library writes", () => {
  it.each(Object.keys(EXPECTED))("%s", async (name) => {
    const golden = join(VALID, `${name}.safetensors`);
    const { state } = await openSafetensors(golden);
    // In the order in which the library was given them, which must not matter.
    const tensors = new Map(
      EXPECTED[name].tensors.map((entry: { name: string }) => [entry.name, state.tensors.get(entry.name)!]),
    );
    const path = join(temporaryFolder(), "out.safetensors");
    const { metadata } = EXPECTED[name];
    const { bytes: length } = await saveCheckpoint(
      state.with(tensors as Map<string, Tensor>),
      path,
      metadata === null ? {} : { metadata },
    );
    await state.close();
    const written = await readFile(path);
    expect(written.equals(await readFile(golden))).toBe(true);
    expect(length).toBe(written.length);
  });
});

it("metadata keeps the order it is given in", async () => {
  const path = join(temporaryFolder(), "out.safetensors");
  await saveCheckpoint(new StateDict(new Map()), path, { metadata: { z: "1", a: "2", format: "pt" } });
  expect((await readFile(path, "latin1")).slice(8)).toBe('{"__metadata__":{"z":"1","a":"2","format":"pt"}}');
});

it("names go by their bytes in UTF-8, within a dtype: U+FFFD before U+1F600, whose UTF-16 begins lower", async () => {
  const path = join(temporaryFolder(), "out.safetensors");
  const tensor = (dtype: DType) => makeTensor(dtype, [0], { kind: "pieces", pieces: [] });
  const names = ["\u{1f600}", "\ufffd", "z", "a.10", "a.9", "B"];
  const tensors = new Map([["wide", tensor("F64")], ...names.map((name) => [name, tensor("F32")] as const)]);
  await saveCheckpoint(new StateDict(tensors), path);
  const header = JSON.parse((await readFile(path, "utf8")).slice(8)) as object;
  expect(Object.keys(header)).toEqual(["wide", "B", "a.10", "a.9", "z", "\ufffd", "\u{1f600}"]);
});

describe("what the format cannot hold is refused, with the name", () => {
  const empty = (dtype: DType) => makeTensor(dtype, [0], { kind: "pieces", pieces: [] });
  const write = (name: string, dtype: DType) =>
    saveCheckpoint(
      new StateDict(new Map([[name, empty(dtype)]])),
      join(temporaryFolder(), "out.safetensors"),
    );
  it("complex128", async () => {
    await expect(write("big", "C128")).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining("big"),
    });
  });
  it("more tensors than are read again", () => {
    const state = { tensors: { size: 200_001 } } as unknown as StateDict;
    expect(() => planSafetensors(state)).toThrow(/would have 200001 tensors, the limit is 200000/);
  });
  it("the name __metadata__", async () => {
    await expect(write("__metadata__", "F32")).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
  it("half a surrogate pair", async () => {
    await expect(write("a\ud800", "F32")).rejects.toMatchObject({ code: "UNSUPPORTED" });
  });
});

it("a shared tensor gets bytes under each of its names", async () => {
  const folder = temporaryFolder();
  const tied = new FakeTensor([1, 2, 3]);
  writeFileSync(
    join(folder, "tied.bin"),
    torchZip(
      new Map([
        ["embed", tied],
        ["head", tied],
      ]),
    ),
  );
  const state = await openTorchFile(join(folder, "tied.bin"));
  expect(state.tensors.get("embed")).toBe(state.tensors.get("head"));
  await saveCheckpoint(state, join(folder, "tied.safetensors"));
  await state.close();
  const { state: back } = await openSafetensors(join(folder, "tied.safetensors"));
  const digests = await digestsOf(back);
  await back.close();
  expect(digests.map(({ name }) => name)).toEqual(["embed", "head"]);
  expect(digests[0]!.sha256).toBe(digests[1]!.sha256);
});

describe("other readers in JavaScript read what we write", () => {
  async function written(metadata?: Record<string, string>): Promise<string> {
    const { state } = await openSafetensors(join(VALID, "every dtype.safetensors"));
    const path = join(temporaryFolder(), "model.safetensors");
    await saveCheckpoint(state, path, metadata === undefined ? {} : { metadata });
    await state.close();
    return path;
  }

  it("the npm package safetensors", async () => {
    const file = readWithSafetensorsPackage(await written());
    const digests = EXPECTED["every dtype"].tensors;
    expect(file.metadata.size).toBe(digests.length);
    for (const { name, dtype, shape, sha256 } of digests) {
      expect(file.metadata.get(name)).toMatchObject({ dtype, shape });
      expect(createHash("sha256").update(file.getTensor(name)).digest("hex")).toBe(sha256);
    }
  });

  it("huggingface.js", async () => {
    const result = await readWithHuggingFace(await written({ format: "pt" }));
    if (result.sharded) throw new Error("not sharded");
    expect(result.header.__metadata__).toEqual({ format: "pt" });
    for (const { name, dtype, shape } of EXPECTED["every dtype"].tensors) {
      expect(result.header[name]).toMatchObject({ dtype, shape });
    }
  });
});

describe("properties", () => {
  const dtypes = (Object.keys(DTYPES) as DType[]).filter(
    (dtype) => dtypeInfo(dtype).bits >= 8 && dtype !== "C128",
  );
  const tensor = fc.record({
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
    seed: fc.integer(),
  });
  // All code points but halves of pairs: what `unit: "binary"` stands for, which makes a list of them first, for two seconds.
  const character = fc
    .oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }))
    .map((code) => String.fromCodePoint(code));
  const name = fc.string({ unit: character, maxLength: 12 }).filter((text) => text !== "__metadata__");
  const entries = fc.uniqueArray(fc.tuple(name, tensor), { selector: ([key]) => key, maxLength: 12 });

  it("state dict → torch → safetensors → torch is the same", async () => {
    const folder = temporaryFolder();
    await fc.assert(
      fc.asyncProperty(entries, async (described) => {
        fc.pre(described.length > 0);
        const original = await inMemory(folder, described);
        const before = await digestsOf(original);
        await saveCheckpoint(original, join(folder, "1.bin"), { force: true, fsync: false });
        const first = await openTorchFile(join(folder, "1.bin"));
        await saveCheckpoint(first, join(folder, "2.safetensors"), { force: true, fsync: false });
        const { state: second } = await openSafetensors(join(folder, "2.safetensors"));
        await saveCheckpoint(second, join(folder, "3.bin"), { force: true, fsync: false });
        const third = await openTorchFile(join(folder, "3.bin"));
        const after = await digestsOf(third);
        for (const state of [original, first, second, third]) await state.close();
        const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
        expect(after.sort(byName)).toEqual(before.sort(byName));
      }),
      { numRuns: 60 },
    );
  });
});

/** Tensors over one file of random bytes. */
async function inMemory(
  folder: string,
  described: [string, { dtype: DType; shape: number[]; seed: number }][],
): Promise<StateDict> {
  const parts: Buffer[] = [];
  let at = 0;
  const places = described.map(([, { dtype, shape, seed }]) => {
    const numel = shape.reduce((product, dim) => product * dim, 1);
    const length = (numel * dtypeInfo(dtype).bits) / 8;
    parts.push(Buffer.from(Array.from({ length }, (_, i) => ((seed + i) * 2654435761) >>> 24)));
    at += length;
    return { start: at - length, length };
  });
  writeFileSync(join(folder, "data"), Buffer.concat([...parts, Buffer.from([0])]));
  const file = await openSource(join(folder, "data"));
  const region: Region = { file, name: "data", offset: 0, length: file.size, crc32: undefined };
  const tensors = new Map(
    described.map(([name, { dtype, shape }], i) => [
      name,
      makeTensor(dtype, shape, { kind: "pieces", pieces: [{ region, ...places[i]! }] }),
    ]),
  );
  return new StateDict(tensors, [file]);
}
