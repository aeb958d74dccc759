/** Tensors made of boxes, against a plain loop over indices. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { readTensor } from "../../../src/checkpoint/copy/read-tensor.js";
import { placeBoxes } from "../../../src/checkpoint/tensor/boxes.js";
import type { Box } from "../../../src/checkpoint/tensor/tensor.js";
import { openSource } from "../../../src/core/io/open-source.js";
import type { SourceFile } from "../../../src/core/io/source.js";
import { temporaryFolder } from "../../helpers/state.js";

const folder = temporaryFolder();
const open: SourceFile[] = [];
afterEach(() => Promise.all(open.splice(0).map((file) => file.close())));

type Block = Pick<Box, "offsets" | "sizes">;

/** Cuts a block in two along a dimension, as often as there are cuts. */
function cut(shape: readonly number[], cuts: readonly { block: number; dim: number; at: number }[]): Block[] {
  const blocks: Block[] = [{ offsets: shape.map(() => 0), sizes: [...shape] }];
  for (const { block, dim, at } of cuts) {
    const i = block % blocks.length;
    const { offsets, sizes } = blocks[i]!;
    const d = shape.length === 0 ? 0 : dim % shape.length;
    if ((sizes[d] ?? 0) < 2) continue;
    const head = 1 + (at % (sizes[d]! - 1));
    const put = (values: readonly number[], value: number) => values.map((old, k) => (k === d ? value : old));
    blocks[i] = { offsets, sizes: put(sizes, head) };
    blocks.push({ offsets: put(offsets, offsets[d]! + head), sizes: put(sizes, sizes[d]! - head) });
  }
  return blocks;
}

/** Row-major indices of a block within the tensor. */
function indices(shape: readonly number[], { offsets, sizes }: Block): number[] {
  let places = [0];
  for (let d = 0; d < shape.length; d++) {
    places = places.flatMap((place) =>
      Array.from({ length: sizes[d]! }, (_, i) => place * shape[d]! + offsets[d]! + i),
    );
  }
  return places;
}

/** The same elements with the first index fastest, and the strides that say so. */
function byColumns(sizes: readonly number[], elements: readonly number[]) {
  const strides = sizes.map((_, d) => sizes.slice(0, d).reduce((product, size) => product * size, 1));
  const places = indices(sizes, { offsets: sizes.map(() => 0), sizes });
  const turned = new Array<number>(elements.length);
  for (const place of places) {
    let rest = place;
    let at = 0;
    for (let d = sizes.length - 1; d >= 0; d--) {
      at += (rest % sizes[d]!) * strides[d]!;
      rest = Math.floor(rest / sizes[d]!);
    }
    turned[at] = elements[place]!;
  }
  return { turned, strides };
}

/** A file in which element i of the tensor is the number i, box after box. @param columns  which boxes lie in another order */
async function boxesIn(
  shape: readonly number[],
  blocks: readonly Block[],
  columns: (box: number) => boolean = () => false,
): Promise<Box[]> {
  const path = join(folder, "data");
  const orders = blocks.map((block) => byColumns(block.sizes, indices(shape, block)));
  const parts = blocks.map((block, i) =>
    Float32Array.from(columns(i) ? orders[i]!.turned : indices(shape, block)),
  );
  writeFileSync(path, Buffer.concat(parts.map((part) => new Uint8Array(part.buffer))));
  const file = await openSource(path);
  open.push(file);
  let offset = 0;
  return blocks.map((block, i) => {
    const length = parts[i]!.byteLength;
    const region = { file, name: `box ${i}`, offset, length, crc32: undefined };
    offset += length;
    return { region, ...block, ...(columns(i) ? { strides: orders[i]!.strides } : {}) };
  });
}

const shapes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 0, maxLength: 4 });
const cuts = fc.array(fc.record({ block: fc.nat(20), dim: fc.nat(3), at: fc.nat(10) }), { maxLength: 12 });

describe("boxes", () => {
  it("any cut of any tensor, in any order, any part of it: every element is in its place", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, cuts, fc.nat(), fc.nat(), fc.boolean(), async (shape, list, a, b, turned) => {
        const blocks = cut(shape, list);
        if (turned) blocks.reverse();
        const columns = (i: number) => b % 3 === 0 && (a + i) % 2 === 0;
        const tensor = placeBoxes(
          { path: "x", record: "t" },
          "F32",
          shape,
          await boxesIn(shape, blocks, columns),
        );
        const [from, to] = [a % (tensor.numel + 1), b % (tensor.numel + 1)].sort((x, y) => x - y) as [
          number,
          number,
        ];
        const bytes = await readTensor(tensor, { from, to });
        const wanted = Array.from({ length: to - from }, (_, i) => from + i);
        expect([...new Float32Array(bytes.buffer, bytes.byteOffset, to - from)]).toEqual(wanted);
      }),
      { numRuns: 300, seed: 11 },
    );
  });

  it("cut along the first dimension only, they are plain ranges of bytes", async () => {
    const blocks: Block[] = [
      { offsets: [3, 0], sizes: [2, 4] },
      { offsets: [0, 0], sizes: [3, 4] },
    ];
    const { source } = placeBoxes({ path: "x", record: "t" }, "F32", [5, 4], await boxesIn([5, 4], blocks));
    expect(source.kind === "pieces" && [...source.pieces].map(({ length }) => length)).toEqual([48, 32]);
  });

  it.each<[string, Block[], RegExp]>([
    [
      "a missing box",
      [{ offsets: [0, 0], sizes: [3, 2] }],
      /t: nothing was saved for the box \[0:3, 2:4\]; 1 saved boxes hold 6 of 12 elements \(shape \[3, 4\]\).*is missing/,
    ],
    [
      "boxes that overlap",
      [
        { offsets: [0, 0], sizes: [3, 2] },
        { offsets: [1, 1], sizes: [2, 3] },
      ],
      /the box \[1:3, 1:4\] and the box \[0:3, 0:2\] overlap/,
    ],
    [
      "a box outside the tensor",
      [{ offsets: [0, 2], sizes: [3, 3] }],
      /the box \[0:3, 2:5\] leaves the tensor of shape \[3, 4\]/,
    ],
    ["a box of other dimensions", [{ offsets: [0], sizes: [12] }], /the box \[0:12\] leaves the tensor/],
  ])("%s is refused with its numbers", async (_, blocks, message) => {
    const boxes = await boxesIn(
      [3, 4],
      blocks.map(() => ({ offsets: [0, 0], sizes: [3, 4] })),
    );
    const made = boxes.map((box, i) => {
      const length = 4 * blocks[i]!.sizes.reduce((product, size) => product * size, 1);
      return { ...blocks[i]!, region: { ...box.region, length } };
    });
    let said = "";
    try {
      placeBoxes({ path: "x", record: "t" }, "F32", [3, 4], made);
    } catch (error) {
      const { message: text, hint } = error as { message: string; hint?: string };
      said = `${text} ${hint}`;
    }
    expect(said).toMatch(message);
  });
});
