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
    // It grows by powers of two: growing step by step would leave much for the garbage collector.
    if (length > this.#bytes.byteLength) this.#bytes = new Uint8Array(2 ** Math.ceil(Math.log2(length)));
  }

  /** `length` bytes of any content, at an address that suits every element type; fresh ones where the room is used up. */
  take(length: number): Uint8Array {
    const start = this.#used;
    if (start + length > this.#bytes.byteLength) return new Uint8Array(length);
    this.#used = start + roundUp(length);
    return this.#bytes.subarray(start, start + length);
  }
}

/** Distance of two addresses in an {@link Arena}: a multiple of every element's size. */
export const ARENA_STEP = 16;

export function roundUp(length: number): number {
  return Math.ceil(length / ARENA_STEP) * ARENA_STEP;
}
