/**
 * Reads a stretch of tensors into a buffer: first all reads are planned, then neighbours in one file are joined, then
 * they run together, then conversions happen in place.
 */
import { crc32 } from "../../core/io/crc32.js";
import type { Region } from "../../core/io/source.js";
import { castBytes } from "../tensor/cast.js";
import { dtypeInfo } from "../tensor/dtype.js";
import type { Compute, Tensor } from "../tensor/tensor.js";

/** Reads up to this size are joined with their neighbours: below it a system call costs more than a copy in memory. */
const JOIN_BELOW = 128 * 1024;
/** Bytes between two reads that are read along rather than skipped. */
const JOIN_GAP = 32 * 1024;
/** A joined read is at most this long. */
const JOIN_MAX = 1024 * 1024;
/** A strided view is read as one span up to this size, else run by run. */
const SPAN_MAX = 16 * 1024 * 1024;

/** One read: bytes of a region into a part of some buffer. */
export interface ReadOp {
  readonly region: Region;
  /** From the region's start, in bytes. */
  readonly start: number;
  readonly target: Uint8Array;
  /** CRC-32 of the bytes as read, once {@link WindowReader.run} has ended, where it is to be compared. */
  crc32?: number;
}

/**
 * Memory that is used again, for what lives no longer than one window or one computation: fresh buffers would pile up
 * faster than the garbage collector takes them away.
 */
export class Arena {
  #bytes = new Uint8Array(0);
  #used = 0;

  /** Room for `length` bytes in all, if it must grow; nothing may be in use. */
  reset(length = 0): void {
    this.#used = 0;
    // By powers of two: growing step by step would leave much for the garbage collector.
    if (length > this.#bytes.byteLength) this.#bytes = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
  }

  /** `length` bytes of any content, at an address that suits every element type; fresh ones where the room is used up. */
  take(length: number): Uint8Array {
    const start = this.#used;
    if (start + length > this.#bytes.byteLength) return new Uint8Array(length);
    this.#used = start + aligned(length);
    return this.#bytes.subarray(start, start + length);
  }
}

/** Distance of two addresses in an {@link Arena}: a multiple of every element's size. */
export const ARENA_STEP = 16;

function aligned(length: number): number {
  return Math.ceil(length / ARENA_STEP) * ARENA_STEP;
}

interface ComputedTensor {
  readonly bytes: Promise<Uint8Array>;
  /** Bytes that no window has asked for, and bytes that no window has copied. */
  unasked: number;
  uncopied: number;
}

/** What the windows of one copy share: the bytes of computed tensors while they are needed. */
export class ComputedCache {
  /** For the inputs of the one computation that runs. */
  readonly inputs = new Arena();
  readonly #entries = new Map<Tensor, ComputedTensor>();
  /** Buffers of results that all windows have copied. */
  readonly #spare: Uint8Array[] = [];
  #last: Promise<unknown> = Promise.resolve();

  /**
   * Copies bytes `[from, from + target.length)` of a computed tensor, which is forgotten when as many bytes have been asked
   * for as it has. One is computed at a time, so that the inputs of one only are in memory.
   *
   * @param nested  true where the bytes are an input of another computation, which must not wait for itself
   */
  async read(
    tensor: Tensor,
    from: number,
    target: Uint8Array,
    nested: boolean,
    compute: (result: Uint8Array) => Promise<void>,
  ): Promise<void> {
    let entry = this.#entries.get(tensor);
    if (entry === undefined) {
      const run = async () => {
        const result = this.#takeSpare(tensor.byteLength);
        await compute(result);
        return result;
      };
      const bytes = nested ? run() : this.#last.then(run);
      if (!nested) this.#last = bytes.catch(() => {});
      entry = { bytes, unasked: tensor.byteLength, uncopied: tensor.byteLength };
      this.#entries.set(tensor, entry);
    }
    entry.unasked -= target.byteLength;
    if (entry.unasked <= 0) this.#entries.delete(tensor);
    const bytes = await entry.bytes;
    target.set(bytes.subarray(from, from + target.byteLength));
    entry.uncopied -= target.byteLength;
    if (entry.uncopied <= 0 && this.#spare.length < MAX_SPARE) this.#spare.push(new Uint8Array(bytes.buffer));
  }

  #takeSpare(length: number): Uint8Array {
    const at = this.#spare.findIndex(({ byteLength }) => byteLength >= length);
    const bytes = at >= 0 ? this.#spare.splice(at, 1)[0]! : new Uint8Array(length);
    return bytes.subarray(0, length);
  }
}

/** Results waiting to be copied are few: windows are small and in order. */
const MAX_SPARE = 4;

/** Plans and runs the reads of one window of output. Used once. */
export class WindowReader {
  readonly #ops: ReadOp[] = [];
  /** Reads already made, for tensors that had to be computed. */
  readonly #made: ReadOp[] = [];
  /** Conversions, in the order in which they must run: innermost first. */
  readonly #steps: (() => void)[] = [];
  readonly #pending: Promise<void>[] = [];
  readonly #computed: ComputedCache;
  readonly #verify: boolean;
  readonly #arena: Arena;
  readonly #nested: boolean;

  /**
   * @param verify  whether the reads of regions that have a CRC need theirs, to compare
   * @param arena  for what is read to be converted; not used after {@link run}
   * @param nested  true for the inputs of a computed tensor
   */
  constructor(computed: ComputedCache, verify: boolean, arena = new Arena(), nested = false) {
    this.#computed = computed;
    this.#verify = verify;
    this.#arena = arena;
    this.#nested = nested;
  }

  /** Plans bytes `[from, from + target.length)` of a tensor into `target`. */
  add(tensor: Tensor, from: number, target: Uint8Array): void {
    const source = tensor.source;
    switch (source.kind) {
      case "pieces": {
        let at = 0;
        const to = from + target.byteLength;
        for (const piece of source.pieces) {
          const start = Math.max(from, at);
          const end = Math.min(to, at + piece.length);
          if (start < end) {
            const part = target.subarray(start - from, end - from);
            this.#ops.push({ region: piece.region, start: piece.start + start - at, target: part });
          }
          at += piece.length;
          if (at >= to) break;
        }
        return;
      }
      case "cast": {
        const width = dtypeInfo(tensor.dtype).bits / 8;
        const innerWidth = dtypeInfo(source.from.dtype).bits / 8;
        const inner = this.#arena.take((target.byteLength / width) * innerWidth);
        this.add(source.from, (from / width) * innerWidth, inner);
        this.#steps.push(() => castBytes(inner, source.from.dtype, target, tensor.dtype));
        return;
      }
      case "strided":
        this.#addStrided(tensor, source.region, source.start, source.strides, from, target);
        return;
      case "computed": {
        this.#pending.push(
          this.#computed.read(tensor, from, target, this.#nested, (result) =>
            this.#compute(source.inputs, source.compute, result),
          ),
        );
        return;
      }
    }
  }

  /** Runs all reads, then the conversions. @returns every read that was made, with its CRC where asked for */
  async run(): Promise<readonly ReadOp[]> {
    await Promise.all([...joinReads(this.#ops), ...this.#pending]);
    for (const op of this.#ops) {
      if (this.#verify && op.region.crc32 !== undefined) op.crc32 = crc32(op.target);
    }
    for (const step of this.#steps) step();
    return [...this.#ops, ...this.#made];
  }

  async #compute(inputs: readonly Tensor[], compute: Compute, result: Uint8Array): Promise<void> {
    const arena = this.#nested ? new Arena() : this.#computed.inputs;
    arena.reset(inputs.reduce((sum, { byteLength }) => sum + aligned(byteLength), 0));
    const whole: Uint8Array[] = [];
    for (const input of inputs) {
      const bytes = arena.take(input.byteLength);
      const reader = new WindowReader(this.#computed, this.#verify, new Arena(), true);
      reader.add(input, 0, bytes);
      for (const op of await reader.run()) this.#made.push(op);
      whole.push(bytes);
    }
    compute(whole, result);
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
      this.#ops.push({ region, start: start + first * width, target: bytes });
    }
    this.#steps.push(() => {
      let current = buffers[0];
      for (let i = 0; i < places.length; i++) {
        const place = places[i]!;
        if (
          current === undefined ||
          place < current.first ||
          place >= current.first + current.bytes.byteLength / width
        ) {
          current = findBuffer(buffers, place);
        }
        const at = (place - current!.first) * width;
        for (let b = 0; b < width; b++) target[i * width + b] = current!.bytes[at + b]!;
      }
    });
  }
}

/** The bytes of a whole tensor, in memory; nothing is checked. */
export async function readWhole(tensor: Tensor): Promise<Uint8Array> {
  const bytes = new Uint8Array(tensor.byteLength);
  const reader = new WindowReader(new ComputedCache(), false);
  reader.add(tensor, 0, bytes);
  await reader.run();
  return bytes;
}

/** Offsets, in elements from the view's start, of elements `[first, first + count)` in row-major order. */
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

/** The stretches that hold all places: one span where it is short, else joined over small gaps. */
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

function findBuffer<T extends { first: number }>(buffers: readonly T[], place: number): T | undefined {
  let low = 0;
  let high = buffers.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (buffers[middle]!.first <= place) low = middle;
    else high = middle - 1;
  }
  return buffers[low];
}

/** Starts the reads, small neighbours of one file as one. */
function joinReads(ops: readonly ReadOp[]): Promise<void>[] {
  const position = (op: ReadOp) => op.region.offset + op.start;
  const sorted = ops.slice().sort((a, b) => {
    if (a.region.file !== b.region.file) return a.region.file.path < b.region.file.path ? -1 : 1;
    return position(a) - position(b);
  });
  const reads: Promise<void>[] = [];
  for (let i = 0; i < sorted.length; ) {
    const first = sorted[i]!;
    const file = first.region.file;
    const start = position(first);
    let end = start + first.target.byteLength;
    let next = i + 1;
    if (first.target.byteLength < JOIN_BELOW) {
      for (; next < sorted.length; next++) {
        const op = sorted[next]!;
        const opEnd = position(op) + op.target.byteLength;
        if (op.region.file !== file || op.target.byteLength >= JOIN_BELOW) break;
        if (position(op) - end > JOIN_GAP || opEnd - start > JOIN_MAX) break;
        end = Math.max(end, opEnd);
      }
    }
    const joined = sorted.slice(i, next);
    reads.push(joined.length === 1 ? file.read(first.target, start) : readJoined(joined, start, end));
    i = next;
  }
  return reads;

  async function readJoined(joined: readonly ReadOp[], start: number, end: number): Promise<void> {
    const bytes = Buffer.allocUnsafe(end - start);
    await joined[0]!.region.file.read(bytes, start);
    for (const op of joined) {
      const at = position(op) - start;
      op.target.set(bytes.subarray(at, at + op.target.byteLength));
    }
  }
}
