/**
 * The reading of a stretch of tensors into a buffer: first all reads are planned, then neighbours in one file are joined, then
 * the reads run, many of them together, then elements are converted and put in their places.
 */

import { crc32 } from "../../core/io/crc32.js";
import { settleAll } from "../../core/io/settle.js";
import type { Region } from "../../core/io/source.js";
import { firstWhere } from "../../core/search.js";
import { sum } from "../../core/sum.js";
import { runsWithin } from "../tensor/boxes.js";
import { castBytes } from "../tensor/cast.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { type Box, piecesBetween, type Tensor } from "../tensor/tensor.js";
import { ARENA_STEP, Arena, roundUp } from "./arena.js";
import { type ComputedCache, dependencyOrder, inputsOf } from "./computed.js";
import type { DoneRead } from "./input-checks.js";
import { type FileRead, type JoinedRead, joinReads } from "./joined-reads.js";
import type { Window } from "./parts.js";

/** The reads that are joined with their neighbours: a system call costs more than a copy in memory. */
const JOINED = { gap: 32 * 1024, most: 1024 * 1024, below: 128 * 1024 };
/**
 * The largest number of bytes of joined reads that are under way together. Where an output has a thousand ranks, a file of 60 kB
 * has reads all over one of 15 MB, so that joined they take far more memory than their window.
 */
const JOINED_TOGETHER = 4 * JOINED.most;
/** The largest number of reads that are under way together; each takes some kilobytes outside the heap. */
const READS_TOGETHER = 1024;
/** The number of bytes below which a strided view is read as one span; a longer one is read run by run. */
const SPAN_MAX = 16 * 1024 * 1024;

/** A read of bytes of a region into a part of some buffer. */
class RegionRead implements FileRead {
  constructor(
    readonly region: Region,
    /** The distance from the region's start in bytes. */
    readonly start: number,
    readonly target: Uint8Array,
    /** Whether other reads for the same tensor may have the same bytes. */
    readonly repeated = false,
  ) {}

  get file() {
    return this.region.file;
  }

  get position() {
    return this.region.offset + this.start;
  }

  get length() {
    return this.target.byteLength;
  }
}

/** A plan of the reads of one window of output, which runs once. */
export class WindowReader {
  readonly #ops: RegionRead[] = [];
  /** The reads that were made for tensors that had to be computed. */
  readonly #made: DoneRead[] = [];
  /** The conversions in the order in which they must run, the innermost first. */
  readonly #steps: (() => void)[] = [];
  /** The computations; {@link run} begins them, so that nothing runs where planning fails. */
  readonly #computations: (() => Promise<void>)[] = [];

  /**
   * @param verify  whether to compute the CRC-32 of reads of regions that state one
   * @param arena  the memory for bytes that are read to be converted, which is free after {@link run}; its other one serves joined reads
   * @param results  the results that are there already of the computed tensors among the inputs of a computed tensor
   */
  constructor(
    private readonly computed: ComputedCache,
    private readonly verify: boolean,
    private readonly arena = new Arena(),
    private readonly results?: ReadonlyMap<Tensor, Uint8Array>,
  ) {}

  /** Plans bytes `[from, from + target.length)` of a tensor into `target`. */
  add(tensor: Tensor, from: number, target: Uint8Array): void {
    const source = tensor.source;
    switch (source.kind) {
      case "pieces": {
        let at = 0;
        for (const { region, start, length } of piecesBetween(source.pieces, from, target.byteLength)) {
          this.#ops.push(new RegionRead(region, start, target.subarray(at, at + length)));
          at += length;
        }
        return;
      }
      case "cast": {
        const width = dtypeInfo(tensor.dtype).bits / 8;
        const innerWidth = dtypeInfo(source.from.dtype).bits / 8;
        const inner = this.arena.take((target.byteLength / width) * innerWidth);
        this.add(source.from, (from / width) * innerWidth, inner);
        this.#steps.push(() => castBytes(inner, source.from.dtype, target, tensor.dtype));
        return;
      }
      case "strided":
        this.#addStrided(tensor, source.region, source.start, source.strides, from, target);
        return;
      case "boxes":
        for (const box of source.boxes) this.#addBox(tensor, box, from, target);
        return;
      case "computed": {
        const result = this.results?.get(tensor);
        if (result !== undefined) target.set(result.subarray(from, from + target.byteLength));
        else
          this.#computations.push(() =>
            this.computed.read(tensor, from, target, (bytes) => this.#compute(tensor, bytes)),
          );
        return;
      }
    }
  }

  /** Plans a whole window: tensors as {@link add} does; known bytes and zeros for later ones are put in place at once. */
  addWindow({ slices }: Window, bytes: Uint8Array): void {
    for (const { part, from, at, length } of slices) {
      const target = bytes.subarray(at, at + length);
      if (part.kind === "bytes") target.set(part.bytes.subarray(from, from + length));
      else if (part.kind === "late") target.fill(0);
      else if (length > 0) this.add(part.tensor, from, target);
    }
  }

  /** Runs all reads and computations, then the conversions. @returns every read that was made, with its CRC where it is wanted */
  async run(): Promise<readonly DoneRead[]> {
    await settleAll([
      runInTurn(joinReads(this.#ops, JOINED), this.arena.other),
      ...this.#computations.map((begin) => begin()),
    ]);
    const done = this.#ops.map(
      ({ region, start, target, repeated, length }): DoneRead => ({
        region,
        start,
        length,
        crc32: this.verify && region.crc32 !== undefined && !repeated ? crc32(target) : undefined,
      }),
    );
    for (const step of this.#steps) step();
    return [...done, ...this.#made];
  }

  /** Computes a tensor and, before it, the computed tensors that it depends on, each once and all within this one turn. */
  async #compute(tensor: Tensor, result: Uint8Array): Promise<void> {
    const order = dependencyOrder([tensor]).filter(({ source }) => source.kind === "computed");
    const results = new Map<Tensor, Uint8Array>();
    for (const each of order) {
      const bytes = each === tensor ? result : new Uint8Array(each.byteLength);
      await this.#computeOne(each, bytes, results);
      results.set(each, bytes);
    }
  }

  /** Computes one tensor from its inputs. @param results  the results of all computed tensors that it depends on */
  async #computeOne(
    tensor: Tensor,
    result: Uint8Array,
    results: ReadonlyMap<Tensor, Uint8Array>,
  ): Promise<void> {
    if (tensor.source.kind !== "computed") throw new Error("a tensor that is not computed");
    const inputs = inputsOf(tensor);
    const arena = this.computed.inputs;
    arena.reset(sum(inputs, ({ byteLength }) => roundUp(byteLength)));
    const whole: Uint8Array[] = [];
    for (const input of inputs) {
      const bytes = arena.take(input.byteLength);
      const reader = new WindowReader(this.computed, this.verify, new Arena(), results);
      reader.add(input, 0, bytes);
      for (const read of await reader.run()) this.#made.push(read);
      whole.push(bytes);
    }
    tensor.source.compute(whole, result);
  }

  /** Plans the bytes of `target` that the box has: one read, whose rows are copied to their places. */
  #addBox(tensor: Tensor, box: Box, from: number, target: Uint8Array): void {
    const part = runsWithin(tensor, box, from, from + target.byteLength);
    if (part === undefined) return;
    const bytes = this.arena.take(part.length);
    this.#ops.push(new RegionRead(box.region, part.start, bytes));
    this.#steps.push(() => {
      for (const run of part.runs) {
        const at = run.from - part.start;
        target.set(bytes.subarray(at, at + run.length), run.to - from);
      }
    });
  }

  #addStrided(
    tensor: Tensor,
    region: Region,
    start: number,
    strides: readonly number[],
    from: number,
    target: Uint8Array,
  ): void {
    const width = dtypeInfo(tensor.dtype).bits / 8;
    const places = elementOffsets(tensor.shape, strides, from / width, target.byteLength / width);
    const runs = runsOf(places, SPAN_MAX / width);
    const buffers: { first: number; bytes: Uint8Array }[] = [];
    for (const [first, last] of runs) {
      const bytes = new Uint8Array((last - first + 1) * width);
      buffers.push({ first, bytes });
      this.#ops.push(new RegionRead(region, start + first * width, bytes, true));
    }
    this.#steps.push(() => {
      let current = buffers[0]!;
      for (let i = 0; i < places.length; i++) {
        const place = places[i]!;
        if (place < current.first || place >= current.first + current.bytes.byteLength / width) {
          const next = firstWhere(buffers.length, (at) => buffers[at]!.first > place);
          current = buffers[next - 1]!;
        }
        const at = (place - current.first) * width;
        for (let b = 0; b < width; b++) target[i * width + b] = current.bytes[at + b]!;
      }
    });
  }
}

/** Returns the number of bytes that a window reads to convert them. */
export function conversionBytes({ slices }: Window): number {
  let sum = 0;
  for (const { part, length } of slices) {
    if (part.kind !== "tensor" || part.tensor.source.kind !== "cast") continue;
    const { from } = part.tensor.source;
    sum += (length / dtypeInfo(part.tensor.dtype).bits) * dtypeInfo(from.dtype).bits + ARENA_STEP;
  }
  return sum;
}

/** Returns the offsets, in elements from the view's start, of elements `[first, first + count)` in row-major order. */
function elementOffsets(
  shape: readonly number[],
  strides: readonly number[],
  first: number,
  count: number,
): Float64Array {
  const places = new Float64Array(count);
  const index = new Array<number>(shape.length).fill(0);
  let rest = first;
  for (let d = shape.length - 1; d >= 0; d--) {
    index[d] = rest % shape[d]!;
    rest = Math.floor(rest / shape[d]!);
  }
  let place = 0;
  for (let d = 0; d < shape.length; d++) place += index[d]! * strides[d]!;
  for (let i = 0; i < count; i++) {
    places[i] = place;
    for (let d = shape.length - 1; d >= 0; d--) {
      index[d] = index[d]! + 1;
      place += strides[d]!;
      if (index[d]! < shape[d]!) break;
      place -= index[d]! * strides[d]!;
      index[d] = 0;
    }
  }
  return places;
}

/** Returns the stretches that hold all places: one span where that is short, else several, joined over small gaps. */
function runsOf(places: Float64Array, spanMax: number): [number, number][] {
  let min = Infinity;
  let max = 0;
  for (const place of places) {
    if (place < min) min = place;
    if (place > max) max = place;
  }
  if (max - min < spanMax) return [[min, max]];
  const sorted = places.slice().sort();
  const runs: [number, number][] = [];
  let current: [number, number] = [sorted[0]!, sorted[0]!];
  for (const place of sorted) {
    if (place - current[1] > 1024) {
      runs.push(current);
      current = [place, place];
    } else current[1] = place;
  }
  runs.push(current);
  return runs;
}

/** Runs the reads, a bounded number of them at a time. @param arena  the memory for joined reads */
async function runInTurn(reads: readonly JoinedRead<RegionRead>[], arena: Arena): Promise<void> {
  for (let first = 0; first < reads.length; ) {
    let end = first;
    for (let bytes = 0; end < reads.length && end - first < READS_TOGETHER; end++) {
      bytes += bytesOfJoin(reads[end]!);
      if (bytes > JOINED_TOGETHER && end > first) break;
    }
    const together = reads.slice(first, end);
    arena.reset(sum(together, bytesOfJoin));
    await settleAll(together.map((read) => runRead(read, arena)));
    first = end;
  }
}

/** Returns the bytes that a read takes beside its target. */
function bytesOfJoin({ reads, start, end }: JoinedRead<RegionRead>): number {
  return reads.length === 1 ? 0 : roundUp(end - start);
}

async function runRead({ reads, start, end }: JoinedRead<RegionRead>, arena: Arena): Promise<void> {
  const [first] = reads as [RegionRead];
  if (reads.length === 1) return first.file.readOnce(first.target, start);
  const bytes = arena.take(end - start);
  await first.file.readOnce(bytes, start);
  for (const { target, position, length } of reads)
    target.set(bytes.subarray(position - start, position - start + length));
}
