/**
 * Makes tensors whose elements lie in several places. Each place is a box: an n-dimensional block, in row-major order, that one
 * rank of a sharded training wrote. Torch's distributed checkpoints are made of these.
 */

import { VistaError } from "../../core/errors.js";
import { firstWhere } from "../../core/search.js";
import { sum } from "../../core/sum.js";
import { type DType, dtypeInfo } from "./dtype.js";
import { type Box, contiguousStrides, makeTensor, type Tensor, viewTensor } from "./tensor.js";

/** A stretch of bytes that are neighbours both in the box and in the tensor. */
interface Run {
  /** The first byte, counted from the box's start. */
  readonly from: number;
  /** The place of that byte, counted from the tensor's start. */
  readonly to: number;
  readonly length: number;
}

/**
 * Makes the tensor that the boxes form together. Boxes that are cut along the first dimension only become plain byte ranges,
 * which the copy loop reads fastest.
 *
 * @param where  the checkpoint and the tensor's name, for error messages
 * @throws VistaError `FORMAT` where a box leaves the tensor, its region has another size, two boxes overlap or one is missing
 */
export function placeBoxes(
  where: { readonly path: string; readonly record: string },
  dtype: DType,
  shape: readonly number[],
  boxes: readonly Box[],
): Tensor {
  const whole = makeTensor(dtype, shape, { kind: "pieces", pieces: [] });
  const filled = boxes.filter(({ sizes }) => !sizes.includes(0));
  for (const box of filled) checkBox(where.record, dtype, shape, box);
  filled.sort((a, b) => (a.offsets[0] ?? 0) - (b.offsets[0] ?? 0));
  checkCover(where, whole, filled);
  if (filled.some(({ strides }) => strides !== undefined)) return inOrder(whole, filled);
  if (filled.every(({ sizes }) => sizes.every((size, d) => d === 0 || size === shape[d]))) {
    const pieces = filled.map(({ region }) => ({ region, start: 0, length: region.length }));
    return { ...whole, source: { kind: "pieces", pieces } };
  }
  return { ...whole, source: { kind: "boxes", boxes: filled } };
}

/**
 * Makes the tensor of boxes of which some have their elements in another order. It is computed, as a whole, where it is copied.
 */
function inOrder(whole: Tensor, boxes: readonly Box[]): Tensor {
  const { dtype } = whole;
  const inputs = boxes.map(({ region, sizes, strides }) =>
    viewTensor(region, dtype, 0, sizes, strides ?? contiguousStrides(sizes)),
  );
  if (inputs.length === 1) return inputs[0]!;
  const compute = (parts: readonly Uint8Array[], result: Uint8Array) => {
    for (const [i, part] of parts.entries())
      for (const { from, to, length } of runsWithin(whole, boxes[i]!, 0, whole.byteLength)!.runs)
        result.set(part.subarray(from, from + length), to);
  };
  return { ...whole, source: { kind: "computed", inputs, compute } };
}

function checkBox(name: string, dtype: DType, shape: readonly number[], box: Box): void {
  const { region, offsets, sizes } = box;
  const where = { path: region.file.path, record: name };
  if (
    offsets.length !== shape.length ||
    sizes.length !== shape.length ||
    shape.some((size, d) => offsets[d]! + sizes[d]! > size)
  ) {
    throw new VistaError("FORMAT", `${showBox(box)} leaves the tensor of shape [${shape.join(", ")}]`, {
      ...where,
      hint: "The metadata is damaged: copy the checkpoint again.",
    });
  }
  const bytes = (volume(sizes) * dtypeInfo(dtype).bits) / 8;
  if (bytes !== region.length) {
    throw new VistaError(
      "FORMAT",
      `${showBox(box)} of ${dtype} has ${bytes} bytes, what was saved for it has ${region.length}`,
      { ...where, hint: "The metadata and the data are of two checkpoints: copy the checkpoint again." },
    );
  }
}

/**
 * Checks that boxes that lie in the tensor fill it: they do so exactly where they do not overlap and have as many elements as the
 * tensor.
 * @param boxes  in the order of their first indices
 */
function checkCover(
  where: { readonly path: string; readonly record: string },
  tensor: Tensor,
  boxes: readonly Box[],
): void {
  let open: Box[] = [];
  let covered = 0;
  for (const box of boxes) {
    covered += volume(box.sizes);
    open = open.filter((other) => (other.offsets[0] ?? 0) + (other.sizes[0] ?? 1) > (box.offsets[0] ?? 0));
    const other = open.find((one) => overlap(one, box));
    if (other !== undefined) {
      throw new VistaError("FORMAT", `${showBox(box)} and ${showBox(other)} overlap`, {
        ...where,
        path: box.region.file.path,
        hint: "The metadata is damaged: copy the checkpoint again.",
      });
    }
    open.push(box);
  }
  if (covered === tensor.numel) return;
  throw new VistaError(
    "FORMAT",
    `nothing was saved for ${showBox(firstGap(tensor.shape, boxes))}; ${boxes.length} saved boxes hold ${covered} of ` +
      `${tensor.numel} elements (shape [${tensor.shape.join(", ")}])`,
    { ...where, hint: "A part is missing: copy the whole checkpoint again, from all ranks." },
  );
}

/**
 * Returns the first part of the tensor, in row-major order, that no box has, or all of it where there are no boxes. The caller
 * knows that there is a gap.
 */
function firstGap(
  shape: readonly number[],
  boxes: readonly Pick<Box, "offsets" | "sizes">[],
): Pick<Box, "offsets" | "sizes"> {
  if (boxes.length === 0) return { offsets: shape.map(() => 0), sizes: shape };
  const [size = 1, ...inner] = shape;
  const area = volume(inner);
  const ends = boxes.flatMap(({ offsets, sizes }) => [offsets[0]!, offsets[0]! + sizes[0]!]);
  const cuts = [...new Set([0, ...ends, size])].sort((a, b) => a - b);
  for (const [i, from] of cuts.slice(0, -1).entries()) {
    const slab = boxes
      .filter(({ offsets, sizes }) => offsets[0]! <= from && from < offsets[0]! + sizes[0]!)
      .map(({ offsets, sizes }) => ({ offsets: offsets.slice(1), sizes: sizes.slice(1) }));
    const filled = sum(slab, ({ sizes }) => volume(sizes));
    if (filled === area) continue;
    const gap = firstGap(inner, slab);
    return { offsets: [from, ...gap.offsets], sizes: [cuts[i + 1]! - from, ...gap.sizes] };
  }
  throw new Error("there is no gap");
}

function overlap(a: Box, b: Box): boolean {
  return a.offsets.every(
    (offset, d) => offset < b.offsets[d]! + b.sizes[d]! && b.offsets[d]! < offset + a.sizes[d]!,
  );
}

/** Returns a box as text, such as `the box [0:4, 3:5]`, which is how Python would slice it. */
export function showBox({ offsets, sizes }: Pick<Box, "offsets" | "sizes">): string {
  return `the box [${offsets.map((offset, d) => `${offset}:${offset + (sizes[d] ?? 0)}`).join(", ")}]`;
}

/**
 * Returns what bytes `[from, to)` of the tensor need of a box: one range of the box, since rows that follow one another in the
 * tensor do so in the box, and the places where the parts of that range go.
 *
 * @returns `undefined` where the box has none of these bytes
 */
export function runsWithin(
  tensor: Tensor,
  box: Box,
  from: number,
  to: number,
): { start: number; length: number; runs: Iterable<Run> } | undefined {
  const width = dtypeInfo(tensor.dtype).bits / 8;
  const rows = new Rows(tensor.shape, box, width);
  const first = rows.firstEndingAfter(from);
  const end = rows.firstStartingFrom(to);
  if (first >= end) return undefined;
  const cutHead = Math.max(0, from - rows.place(first));
  const cutTail = Math.max(0, rows.place(end - 1) + rows.length - to);
  const start = first * rows.length + cutHead;
  return {
    start,
    length: end * rows.length - cutTail - start,
    runs: (function* () {
      for (let row = first; row < end; row++) {
        const head = row === first ? cutHead : 0;
        const tail = row === end - 1 ? cutTail : 0;
        yield {
          from: row * rows.length + head,
          to: rows.place(row) + head,
          length: rows.length - head - tail,
        };
      }
    })(),
  };
}

/**
 * The rows of a box, which are its longest stretches that are contiguous in the tensor too. Their places in the tensor ascend.
 */
class Rows {
  /** The length of one row in bytes. */
  readonly length: number;
  readonly #count: number;
  /** The extents of the dimensions that number the rows; `#strides` holds their strides in bytes. */
  readonly #sizes: number[] = [];
  readonly #strides: number[] = [];
  readonly #base: number;

  constructor(shape: readonly number[], { offsets, sizes }: Box, width: number) {
    const strides = contiguousStrides(shape);
    // The dimensions from `inner` on are one stretch, since the box has all of them but the first in full.
    let inner = shape.length;
    while (inner > 0 && (inner === shape.length || sizes[inner] === shape[inner])) inner--;
    let length = width;
    for (let d = inner; d < shape.length; d++) length *= sizes[d]!;
    this.length = length;
    let count = 1;
    for (let d = 0; d < inner; d++) {
      this.#sizes.push(sizes[d]!);
      this.#strides.push(strides[d]! * width);
      count *= sizes[d]!;
    }
    this.#count = count;
    this.#base = offsets.reduce((sum, offset, d) => sum + offset * strides[d]! * width, 0);
  }

  /** Returns the place where row `row` begins in the tensor, in bytes. */
  place(row: number): number {
    let place = this.#base;
    let rest = row;
    for (let d = this.#sizes.length - 1; d >= 0; d--) {
      const size = this.#sizes[d]!;
      place += (rest % size) * this.#strides[d]!;
      rest = Math.floor(rest / size);
    }
    return place;
  }

  firstEndingAfter(position: number): number {
    return firstWhere(this.#count, (row) => this.place(row) + this.length > position);
  }

  firstStartingFrom(position: number): number {
    return firstWhere(this.#count, (row) => this.place(row) >= position);
  }
}

function volume(sizes: readonly number[]): number {
  return sizes.reduce((product, size) => product * size, 1);
}
