import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { expect, it } from "vitest";
import { contentOf, type OutputPart } from "../../../src/checkpoint/copy/parts.js";
import { SmallFiles } from "../../../src/checkpoint/copy/small-files.js";
import { makeTensor } from "../../../src/checkpoint/tensor/tensor.js";
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
