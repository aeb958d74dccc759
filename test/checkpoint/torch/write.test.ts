import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import yauzl from "yauzl";
import { lengthOf } from "../../../src/checkpoint/copy/parts.js";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import type { DType } from "../../../src/checkpoint/tensor/dtype.js";
import { makeTensor, StateDict, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import {
  planTorchFile,
  planTorchRecords,
  type TorchStorageRecord,
} from "../../../src/checkpoint/torch/write.js";
import { bytesOf, openForTest, openTorchFile, temporaryFolder } from "../../helpers/state.js";

async function stateOf(
  tensors: Record<string, { dtype: DType; shape: number[]; bytes: Uint8Array }>,
): Promise<StateDict> {
  const path = join(temporaryFolder(), "input");
  const all = Object.values(tensors).map(({ bytes }) => bytes);
  writeFileSync(path, Buffer.concat(all));
  const file = await openForTest(path);
  const map = new Map<string, Tensor>();
  let offset = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    const region = { file, name, offset, length: bytes.length, crc32: undefined };
    map.set(
      name,
      makeTensor(dtype, shape, { kind: "pieces", pieces: [{ region, start: 0, length: bytes.length }] }),
    );
    offset += bytes.length;
  }
  return new StateDict(map, [file]);
}

async function entriesOf(path: string) {
  const zip = await yauzl.openPromise(path, { lazyEntries: true, autoClose: false });
  const entries = [];
  for await (const entry of zip.eachEntry()) {
    const local = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
    entries.push({
      name: entry.fileName,
      start: local.fileDataStart,
      size: entry.uncompressedSize,
      crc: entry.crc32,
      method: entry.compressionMethod,
    });
  }
  zip.close();
  return entries;
}

describe("the zip", () => {
  it("has torch's records in torch's order, stored, 64-byte aligned, with their CRCs", async () => {
    const state = await stateOf({
      a: { dtype: "F32", shape: [3], bytes: new Uint8Array(12).fill(1) },
      empty: { dtype: "I64", shape: [0], bytes: new Uint8Array(0) },
      "unicode ü": { dtype: "BF16", shape: [1], bytes: Uint8Array.of(1, 2) },
    });
    const path = join(temporaryFolder(), "foo.bar.bin");
    const { bytes: size } = await saveCheckpoint(state, path, { fsync: false });
    expect(statSync(path).size).toBe(size);
    const content = readFileSync(path);
    const entries = await entriesOf(path);
    expect(entries.map(({ name }) => name)).toEqual(
      ["data.pkl", "byteorder", "data/0", "data/1", "data/2", "version", ".data/serialization_id"].map(
        (name) => `foo.bar/${name}`,
      ),
    );
    for (const { start, size, crc, method } of entries) {
      expect([start! % 64, method, crc]).toEqual([0, 0, crc32(content.subarray(start!, start! + size))]);
    }
  });

  it("is the same each time", async () => {
    const make = () => stateOf({ a: { dtype: "F32", shape: [2], bytes: new Uint8Array(8) } });
    const [one, two] = [join(temporaryFolder(), "x.bin"), join(temporaryFolder(), "x.bin")];
    await saveCheckpoint(await make(), one, { fsync: false });
    await saveCheckpoint(await make(), two, { fsync: false });
    expect(readFileSync(one).equals(readFileSync(two))).toBe(true);
  });

  /** The end of a planned file, for tensors far too large to write. */
  function endOf(tensors: Map<string, Tensor>) {
    const parts = planTorchFile(new StateDict(tensors), "x.bin");
    const last = parts.at(-1)!;
    if (last.kind !== "late") throw new Error("the directory is not known beforehand: it has CRCs");
    const tail = Buffer.from(last.bytes());
    const end = tail.subarray(-98);
    return {
      directory: tail.subarray(-98 - Number(end.readBigUInt64LE(40)), -98),
      end,
      length: lengthOf(parts),
      parts,
    };
  }
  const huge = (numel: number): Tensor => makeTensor("F32", [numel], { kind: "pieces", pieces: [] });

  it("beyond 4 GiB: sizes and offsets go to the zip64 extra field, the descriptor is wide", () => {
    const { directory, end, length, parts } = endOf(
      new Map([
        ["big", huge(1.5 * 2 ** 30)],
        ["after", huge(1)],
      ]),
    );
    const at = directory.indexOf("x/data/0") - 46;
    expect(directory.readUInt32LE(at + 20)).toBe(0xffffffff);
    expect(directory.readUInt32LE(at + 24)).toBe(0xffffffff);
    expect(directory.readUInt32LE(at + 42)).toBeLessThan(1000);
    const extra = at + 46 + "x/data/0".length;
    expect([directory.readUInt16LE(extra), directory.readUInt16LE(extra + 2)]).toEqual([1, 16]);
    expect(directory.readBigUInt64LE(extra + 4)).toBe(6n * 2n ** 30n);

    const next = directory.indexOf("x/data/1") - 46;
    expect(directory.readUInt32LE(next + 20)).toBe(4);
    expect(directory.readUInt32LE(next + 42)).toBe(0xffffffff);
    expect(directory.readBigUInt64LE(next + 46 + "x/data/1".length + 4)).toBeGreaterThan(6n * 2n ** 30n);

    const start = length - end.length - directory.length;
    expect(end.readUInt32LE(0)).toBe(0x06064b50);
    expect(end.readBigUInt64LE(48)).toBe(BigInt(start));
    expect(end.readUInt32LE(56)).toBe(0x07064b50);
    expect(end.readBigUInt64LE(64)).toBe(BigInt(start + directory.length));
    expect(end.readUInt32LE(76 + 16)).toBe(0xffffffff);
    const after = parts[parts.findIndex((part) => part.kind === "tensor") + 1]!;
    if (after.kind !== "late") throw new Error("the descriptor has a CRC");
    const descriptor = Buffer.from(after.bytes());
    expect(descriptor.readUInt32LE(0)).toBe(0x08074b50);
    expect([descriptor.readBigUInt64LE(8), descriptor.readBigUInt64LE(16)]).toEqual([
      6n * 2n ** 30n,
      6n * 2n ** 30n,
    ]);
  });

  it("more than 65,535 records: the count goes to the zip64 end record", () => {
    const tensors = new Map(Array.from({ length: 65_600 }, (_, i) => [`t${i}`, huge(1)]));
    const { end } = endOf(tensors);
    expect(end.readUInt16LE(76 + 10)).toBe(0xffff);
    expect(end.readBigUInt64LE(32)).toBe(65_604n);
  });
});

describe("any state dict comes back", () => {
  const SIZES = {
    F64: 8,
    F32: 4,
    F16: 2,
    BF16: 2,
    I64: 8,
    I32: 4,
    I16: 2,
    I8: 1,
    U8: 1,
    BOOL: 1,
    C64: 8,
    F8_E4M3: 1,
    U16: 2,
    U64: 8,
  } as const;
  const tensor = fc
    .record({
      dtype: fc.constantFrom(...(Object.keys(SIZES) as (keyof typeof SIZES)[])),
      shape: fc.array(fc.nat(5), { maxLength: 5 }),
    })
    .chain(({ dtype, shape }) => {
      const length = shape.reduce((product, dim) => product * dim, 1) * SIZES[dtype];
      return fc.record({
        dtype: fc.constant(dtype),
        shape: fc.constant(shape),
        bytes: fc.uint8Array({ minLength: length, maxLength: length }),
      });
    });

  it("names, order, dtypes, shapes, bytes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string({ unit: "grapheme" }), tensor, { maxKeys: 8, noNullPrototype: true }),
        async (tensors) => {
          const path = join(temporaryFolder(), "x.bin");
          const state = await stateOf(tensors);
          if (state.tensors.size === 0) return;
          await saveCheckpoint(state, path, { fsync: false });
          const back = await openTorchFile(path);
          expect([...back.tensors.keys()]).toEqual(Object.keys(tensors));
          for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
            const found = back.tensors.get(name)!;
            expect({
              dtype: found.dtype,
              shape: found.shape,
              bytes: Buffer.from(await bytesOf(found)).toString("hex"),
            }).toEqual({
              dtype,
              shape,
              bytes: Buffer.from(bytes).toString("hex"),
            });
          }
          await back.close();
          await state.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  it("shared tensors share one record", async () => {
    const state = await stateOf({ a: { dtype: "F32", shape: [2], bytes: new Uint8Array(8) } });
    const tied = state.with(new Map([...state.tensors, ["b", state.tensors.get("a")!]]));
    const path = join(temporaryFolder(), "x.bin");
    await saveCheckpoint(tied, path, { fsync: false });
    expect((await entriesOf(path)).filter(({ name }) => name.startsWith("x/data/"))).toHaveLength(1);
    const back = await openTorchFile(path);
    await back.close();
    expect(back.tensors.get("b")).toBe(back.tensors.get("a"));
  });
});

it("more than is read again is refused before anything is written", () => {
  const none = (shape: number[]) => makeTensor("F32", shape, { kind: "pieces", pieces: [] });
  // Beside the storages there are data.pkl, byteorder, version and the id.
  const storages = Array<TorchStorageRecord>(200_000 - 3).fill({ key: "0", content: [] });
  expect(() => planTorchRecords("x.bin", new Uint8Array(1), storages)).toThrow(/more than 200000 records/);
  expect(() => planTorchFile(new StateDict([["a", none(Array(64).fill(0))]]), "x.bin")).not.toThrow();
  expect(() => planTorchFile(new StateDict([["a", none(Array(65).fill(0))]]), "x.bin")).toThrow(
    /^a: torch has no tensors of 65 dimensions, only up to 64/,
  );
  expect(() => planTorchFile(new StateDict([["a", none([0, 2 ** 31, 2 ** 31, 1])]]), "x.bin")).toThrow(
    /^a: the strides of shape \[0, 2147483648, 2147483648, 1\] are beyond 2\^53/,
  );
});

it("a dtype torch does not have is refused by name", async () => {
  const state = await stateOf({ odd: { dtype: "F6_E2M3", shape: [4], bytes: new Uint8Array(3) } });
  const path = join(temporaryFolder(), "x.bin");
  await expect(saveCheckpoint(state, path)).rejects.toThrow(/odd: torch has no tensors of dtype F6_E2M3/);
});
