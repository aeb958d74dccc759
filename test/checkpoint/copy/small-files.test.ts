import { expect, it } from "vitest";
import { contentOf, type OutputPart } from "../../../src/checkpoint/copy/parts.js";
import { SmallFiles } from "../../../src/checkpoint/copy/small-files.js";

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
