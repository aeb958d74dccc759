/**
 * Memory that is used again, for bytes that live no longer than one window or one computation: fresh buffers would pile up faster
 * than the garbage collector takes them away.
 */
export class Arena {
  #bytes = new Uint8Array(0);
  #used = 0;
  #other: Arena | undefined;

  /** The memory for bytes that live for a shorter time than those of this one. */
  get other(): Arena {
    this.#other ??= new Arena();
    return this.#other;
  }

  /** Takes all memory back and makes room for at least `length` bytes; nothing that was taken may be in use. */
  reset(length = 0): void {
    this.#used = 0;
    // It grows by powers of two: growing step by step would leave much for the garbage collector.
    if (length > this.#bytes.byteLength) this.#bytes = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
  }

  /** Returns `length` bytes of any content, at an address that suits every element type; fresh ones where no room is left. */
  take(length: number): Uint8Array {
    const start = this.#used;
    if (start + length > this.#bytes.byteLength) return new Uint8Array(length);
    this.#used = start + roundUp(length);
    return this.#bytes.subarray(start, start + length);
  }
}

/** The number of bytes of which all addresses in an {@link Arena} are multiples: a multiple of every element's size. */
export const ARENA_STEP = 16;

export function roundUp(length: number): number {
  return Math.ceil(length / ARENA_STEP) * ARENA_STEP;
}
