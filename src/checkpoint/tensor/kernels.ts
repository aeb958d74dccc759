/**
 * Loops over elements with vectors of 128 bits, in WebAssembly (kernels.wat): V8 makes no vector code from JavaScript, which
 * takes three to twelve times as long. The loops work in a memory of their own, into and out of which bytes are copied, a block
 * at a time.
 */
import { KERNELS } from "./kernels-code.js";

/** The part of WebAssembly that is used here: Node's types leave it to those of browsers. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: object };
};

interface Kernels {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  /** Writes the float32 in `[from, end)`, rounded, at `to`, in steps of 16 bytes, of which the last may reach beyond `end`. */
  f32ToBf16(from: number, end: number, to: number): void;
  f32ToF16(from: number, end: number, to: number): void;
  /**
   * Tells whether an element of `[from, end)` has all of these bits set, in steps of 32 bytes, of which the last may reach beyond
   * `end`.
   */
  any16(from: number, end: number, bits: number): number;
  any32(from: number, end: number, bits: number): number;
  /** Does the same for elements of 64 bits, where `bits` are those of the upper half. */
  any64(from: number, end: number, bits: number): number;
  /**
   * Adds a0 · v0 + a1 · v1 + a2 · v2 + a3 · v3 to the float64 in `[row, end)`, and the same sum with b to those at `next`, in
   * steps of 16 bytes. The vectors v0 to v3 begin at `right`, each `stride` bytes after the one before.
   */
  addProducts(
    row: number,
    next: number,
    end: number,
    right: number,
    stride: number,
    ...factors: [number, number, number, number, number, number, number, number]
  ): void;
}

/** The number of bytes that are processed together: with their result they stay in the processor's second nearest cache. */
const BLOCK = 64 * 1024;
const PAGE = 64 * 1024;

let loaded: Kernels | undefined;
let bytesOf = new Uint8Array(0);

/** Returns the loops, with a memory of at least `room` bytes. */
function kernels(room: number): Kernels {
  if (loaded === undefined) {
    const module = new WebAssembly.Module(Buffer.from(KERNELS, "base64"));
    loaded = new WebAssembly.Instance(module).exports as Kernels;
  }
  const missing = room - loaded.memory.buffer.byteLength;
  if (missing > 0) loaded.memory.grow(Math.ceil(missing / PAGE));
  if (bytesOf.buffer !== loaded.memory.buffer) bytesOf = new Uint8Array(loaded.memory.buffer);
  return loaded;
}

/**
 * Converts float32 to 16 bits, to nearest, ties to even. A NaN becomes 0x7fc0 in bfloat16, and keeps its sign and upper bits in
 * float16.
 * @param source  whole elements, at any address
 * @param target  the result, half as long as `source`
 */
export function narrow(to: "BF16" | "F16", source: Uint8Array, target: Uint8Array): void {
  const { f32ToBf16, f32ToF16 } = kernels(2 * BLOCK);
  const convert = to === "BF16" ? f32ToBf16 : f32ToF16;
  for (let at = 0; at < source.byteLength; at += BLOCK) {
    const part = source.subarray(at, at + BLOCK);
    bytesOf.set(part);
    convert(0, part.byteLength, BLOCK);
    target.set(bytesOf.subarray(BLOCK, BLOCK + part.byteLength / 2), at / 2);
  }
}

/**
 * Calls `look` for each block in which an element has all of `bits` set.
 * @param bits  the bits, for elements of 64 bits those of their upper half
 * @param bytes  whole elements, at any address
 */
export function blocksWith(
  width: 16 | 32 | 64,
  bits: number,
  bytes: Uint8Array,
  look: (block: Uint8Array) => void,
): void {
  const { any16, any32, any64 } = kernels(2 * BLOCK);
  const any = { 16: any16, 32: any32, 64: any64 }[width];
  for (let at = 0; at < bytes.byteLength; at += BLOCK) {
    const part = bytes.subarray(at, at + BLOCK);
    bytesOf.set(part);
    // The loop reads up to 32 bytes at once, and what an earlier block left behind this one must not count.
    if (part.byteLength % 32 !== 0) bytesOf.fill(0, part.byteLength, part.byteLength + 32);
    if (any(0, part.byteLength, bits) !== 0) look(part);
  }
}

/** Adds products with a matrix, which is copied in once, to two rows at a time. */
export class RowProducts {
  /** The first of the two rows, to be filled and read before anything else of this module is called; `next` is the second. */
  readonly row: Float64Array;
  readonly next: Float64Array;
  /** The rank of the matrix, rounded up to a multiple of 4. */
  readonly rank: number;
  readonly #stride: number;
  readonly #addProducts: Kernels["addProducts"];

  /** Copies the matrix in. @param right  rank × columns elements, row by row */
  constructor(right: Float64Array, rank: number, columns: number) {
    this.rank = Math.ceil(rank / 4) * 4;
    this.#stride = Math.ceil(columns / 2) * 16;
    const { memory, addProducts } = kernels((2 + this.rank) * this.#stride);
    this.#addProducts = addProducts;
    const at = (index: number) =>
      new Float64Array(memory.buffer, index * this.#stride, this.#stride / 8).fill(0);
    this.row = at(0).subarray(0, columns);
    this.next = at(1).subarray(0, columns);
    for (let k = 0; k < this.rank; k++) {
      const target = at(2 + k);
      if (k < rank) target.set(right.subarray(k * columns, (k + 1) * columns));
    }
  }

  /**
   * Adds `left[a …] · right` to the first row and `left[b …] · right` to the second.
   * @param left  at least {@link rank} factors from `a` and from `b` on
   */
  add(left: Float64Array, a: number, b: number): void {
    const stride = this.#stride;
    for (let k = 0; k < this.rank; k += 4) {
      const [a0, b0, right] = [a + k, b + k, (2 + k) * stride];
      // biome-ignore format: one line for each of the three
      this.#addProducts(0, stride, stride, right, stride,
        left[a0]!, left[a0 + 1]!, left[a0 + 2]!, left[a0 + 3]!,
        left[b0]!, left[b0 + 1]!, left[b0 + 2]!, left[b0 + 3]!);
    }
  }
}
