import fc from "fast-check";
import { expect, it } from "vitest";
import { type OutputPart, partLength, WINDOW, windowsOf } from "../../../src/checkpoint/copy/parts.js";
import { type DType, dtypeInfo } from "../../../src/checkpoint/tensor/dtype.js";
import { makeTensor } from "../../../src/checkpoint/tensor/tensor.js";
import type { Piece } from "../../../src/core/io/source.js";

/** A tensor that is read from so many ranges. */
function tensorOf(ranges: number, bytesEach: number, dtype: DType = "U8"): OutputPart {
  const numel = (ranges * bytesEach * 8) / dtypeInfo(dtype).bits;
  const region = {} as Piece["region"];
  const pieces = Array.from({ length: ranges }, (_, i) => ({
    region,
    start: i * bytesEach,
    length: bytesEach,
  }));
  return { kind: "tensor", tensor: makeTensor(dtype, [numel], { kind: "pieces", pieces }) };
}

function bitsOf(part: OutputPart): number {
  return part.kind === "tensor" ? dtypeInfo(part.tensor.dtype).bits : 8;
}

it.each<[DType, number]>([
  ["U8", 12_345],
  ["BF16", 10],
  ["F32", 1_000_012],
  ["F64", 8],
])("windows of %s behind %i bytes end where the buffers of a lane meet", (dtype, before) => {
  const parts = [
    { kind: "bytes", bytes: new Uint8Array(before) } as const,
    tensorOf(1, 3 * WINDOW, dtype),
    tensorOf(1, WINDOW, dtype),
  ];
  const positions = [...windowsOf(parts)].map(({ position }) => position);
  expect(positions).toEqual([0, 1, 2, 3, 4].map((i) => i * WINDOW));
});

it("windows cover every byte once, cut parts at elements only, and have a bounded number of ranges", () => {
  const part = fc.oneof(
    fc
      .integer({ min: 0, max: 100 })
      .map((length): OutputPart => ({ kind: "bytes", bytes: new Uint8Array(length) })),
    fc
      .tuple(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 1, max: 40 }))
      .map(([n, each]) => tensorOf(n, each)),
    fc
      .tuple(fc.integer({ min: 0, max: 20_000 }), fc.constantFrom<DType>("F4", "BF16", "F32", "F64", "C128"))
      .map(([n, dtype]) => tensorOf(n, 48, dtype)),
    fc.constant(tensorOf(1, 3 * WINDOW + 5)),
  );
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
      const slices: [OutputPart, number, number][] = [];
      let position = 0;
      for (const window of windowsOf(parts)) {
        expect(window.position).toBe(position);
        let at = 0;
        let ranges = 0;
        for (const slice of window.slices) {
          expect(slice.at).toBe(at);
          expect(slice.last).toBe(slice.from + slice.length === partLength(slice.part));
          if (!slice.last) expect(((slice.from + slice.length) * 8) % bitsOf(slice.part)).toBe(0);
          if (
            slice.part.kind === "tensor" &&
            slice.part.tensor.source.kind === "pieces" &&
            slice.length > 0
          ) {
            const { pieces } = slice.part.tensor.source;
            const count = (pieces as readonly Piece[]).length;
            ranges += (count * slice.length) / partLength(slice.part);
          }
          at += slice.length;
          slices.push([slice.part, slice.from, slice.length]);
        }
        expect(window.length).toBe(at);
        expect(window.slices.length).toBeGreaterThan(0);
        expect(at).toBeLessThanOrEqual(WINDOW);
        expect(ranges).toBeLessThanOrEqual(2048 + 16);
        position += at;
      }
      expect(position).toBe(parts.reduce((sum, each) => sum + partLength(each), 0));
      for (const [i, each] of parts.entries()) {
        const own = slices.filter(([of]) => of === each);
        if (parts.indexOf(each) === i && parts.lastIndexOf(each) === i)
          expect(own.reduce((sum, [, , length]) => sum + length, 0)).toBe(partLength(each));
      }
    }),
    { numRuns: 60 },
  );
});

it.each([
  [2048, 1],
  [1024, 2],
  [64, 32],
  [8, 300],
  [4096, 3],
  [2049, 2],
  [5000, 4],
])("tensors of %i ranges, %i of them, and what lies between them stay whole", (ranges, count) => {
  // As many ranks as a power of two give just as many ranges as a window takes.
  const parts = Array.from({ length: count }, (): OutputPart[] => [
    { kind: "late", length: 100, bytes: () => new Uint8Array(100) },
    tensorOf(ranges, 4),
  ]).flat();
  parts.push({ kind: "late", length: 50_000, bytes: () => new Uint8Array(50_000) });
  const windows = [...windowsOf(parts)];
  expect(windows.reduce((sum, { length }) => sum + length, 0)).toBe(count * (100 + 4 * ranges) + 50_000);
  const late = windows.flatMap(({ slices }) => slices.filter(({ part }) => part.kind === "late"));
  expect(late.map(({ from, length }) => [from, length])).toEqual([
    ...Array.from({ length: count }, () => [0, 100]),
    [0, 50_000],
  ]);
});
