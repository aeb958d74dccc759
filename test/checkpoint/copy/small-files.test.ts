import { readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { contentOf, type OutputPart } from "../../../src/checkpoint/copy/parts.js";
import { writeFiles } from "../../../src/checkpoint/copy/sink.js";
import { SmallFiles } from "../../../src/checkpoint/copy/small-files.js";
import { castTensor, makeTensor } from "../../../src/checkpoint/tensor/tensor.js";
import { openForTest, temporaryFolder } from "../../helpers/state.js";

it("a small file of more parts than a window takes is written whole", async () => {
  const written: Buffer[] = [];
  const file = (count: number, first: number) => ({
    content: contentOf(
      Array.from({ length: count }, (_, i): OutputPart => {
        const bytes = Uint8Array.of((first + i) % 251, i % 7);
        return i % 3 === 0 ? { kind: "late", length: 2, bytes: () => bytes } : { kind: "bytes", bytes };
      }),
    ),
    write: async (bytes: Uint8Array) => void written.push(Buffer.from(bytes)),
  });
  await new SmallFiles().write([file(5, 1), file(5000, 2), file(1, 3)]);
  const expected = (count: number, first: number) =>
    Buffer.from(Array.from({ length: count }, (_, i) => [(first + i) % 251, i % 7]).flat());
  expect(written.map(({ length }) => length)).toEqual([10, 10_000, 2]);
  expect(
    Buffer.concat(written).equals(Buffer.concat([expected(5, 1), expected(5000, 2), expected(1, 3)])),
  ).toBe(true);
});

it("a tensor of more ranges than a window takes tells the CRC of all its bytes, once, before what depends on it is asked for", async () => {
  const path = join(temporaryFolder(), "input");
  const input = Buffer.from(Array.from({ length: 40_000 }, (_, i) => (i * 31) % 251));
  writeFileSync(path, input);
  const region = {
    file: await openForTest(path),
    name: "record",
    offset: 0,
    length: 40_000,
    crc32: undefined,
  };
  // Every second group of four bytes.
  const pieces = Array.from({ length: 5000 }, (_, i) => ({ region, start: 8 * i, length: 4 }));
  const told: number[] = [];
  const parts: OutputPart[] = [
    {
      kind: "tensor",
      tensor: makeTensor("U8", [20_000], { kind: "pieces", pieces }),
      onCrc32: (crc) => void told.push(crc),
    },
    {
      kind: "late",
      length: 4,
      bytes: () => {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32LE(told[0]!);
        return bytes;
      },
    },
  ];
  const written: Buffer[] = [];
  const write = async (bytes: Uint8Array) => void written.push(Buffer.from(bytes));
  await new SmallFiles().write([{ content: contentOf(parts), write }]);
  const expected = Buffer.concat(pieces.map(({ start }) => input.subarray(start, start + 4)));
  expect(told).toEqual([crc32(expected)]);
  expect(written[0]!.subarray(0, 20_000).equals(expected)).toBe(true);
  expect(written[0]!.readUInt32LE(20_000)).toBe(crc32(expected));
});

it("small files and large ones are the same files, at the bounds of windows too", async () => {
  const folder = temporaryFolder();
  const input = Buffer.from(Array.from({ length: 30_000 }, (_, i) => (i * 31) % 251));
  writeFileSync(join(folder, "input"), input);
  const file = await openForTest(join(folder, "input"));
  const region = { file, name: "record", offset: 0, length: input.length, crc32: crc32(input) };
  /** A tensor of so many ranges, as it is or converted, and its bytes. */
  const tensorOf = (ranges: number, converted: boolean) => {
    const pieces = Array.from({ length: ranges }, (_, i) => ({ region, start: 5 * i, length: 4 }));
    const bytes = Buffer.concat(pieces.map(({ start }) => input.subarray(start, start + 4)));
    const tensor = makeTensor("U8", [bytes.length], { kind: "pieces", pieces });
    if (!converted) return { tensor, bytes };
    return { tensor: castTensor(tensor, "F32"), bytes: Buffer.from(Float32Array.from(bytes).buffer) };
  };
  const count = (...values: number[]) => fc.constantFrom(...values);
  const part = fc.oneof(
    fc.record({ kind: fc.constantFrom("bytes", "late"), length: count(0, 1, 64, 1000) }),
    fc.record({
      kind: fc.constantFrom("tensor", "cast"),
      length: count(0, 1, 17, 1024, 2047, 2048, 2049),
    }),
  );
  const spread = fc.record({ part, times: count(1, 2) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(spread, { minLength: 1, maxLength: 5 }),
      count(0, 1022, 1024),
      async (spreads, ones) => {
        const told: number[] = [];
        const expectedCrcs: number[] = [];
        const expected: Buffer[] = [];
        const parts: OutputPart[] = [];
        for (let i = 0; i < ones; i++) parts.push({ kind: "bytes", bytes: Uint8Array.of(i) });
        for (let i = 0; i < ones; i++) expected.push(Buffer.of(i));
        for (const { part, times } of spreads)
          for (let i = 0; i < times; i++) {
            const { kind, length } = part;
            if (kind === "bytes" || kind === "late") {
              const bytes = new Uint8Array(length).fill(parts.length);
              parts.push(kind === "bytes" ? { kind, bytes } : { kind: "late", length, bytes: () => bytes });
              expected.push(Buffer.from(bytes));
              continue;
            }
            const { tensor, bytes } = tensorOf(length, kind === "cast");
            parts.push({ kind: "tensor", tensor, onCrc32: (crc) => void told.push(crc) });
            expected.push(bytes);
            expectedCrcs.push(crc32(bytes));
          }
        const whole = Buffer.concat(expected);
        const path = join(folder, "large");
        const handle = await open(path, "w");
        const content = contentOf(parts);
        const [digest] = await writeFiles([{ path, content, digest: true, begin: async () => handle }]);
        await handle.close();
        expect(digest).toBe(crc32(whole));
        expect(readFileSync(path).equals(whole)).toBe(true);
        expect(told.splice(0)).toEqual(expectedCrcs);
        if (whole.length === 0 || whole.length > 256 * 1024) return;
        const written: Buffer[] = [];
        const write = async (bytes: Uint8Array) => void written.push(Buffer.from(bytes));
        await writeFiles([{ path: "small", content, begin: async () => handle, write }]);
        expect(written[0]!.equals(whole)).toBe(true);
        expect(told).toEqual(expectedCrcs);
      },
    ),
    { numRuns: 8 },
  );
});
