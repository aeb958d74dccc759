/** Buffers that are used again and again: new ones would pile up faster than the garbage collector takes them away. */
export class SpareBuffers {
  readonly #spare: Uint8Array[] = [];

  /**
   * @param most  the largest number of buffers that are kept
   * @param least  the least size of a buffer in bytes, so that one serves for several lengths
   */
  constructor(
    private readonly most: number,
    private readonly least = 0,
  ) {}

  take(length: number): Uint8Array {
    const at = this.#spare.findIndex(({ byteLength }) => byteLength >= length);
    const bytes = at >= 0 ? this.#spare.splice(at, 1)[0]! : new Uint8Array(Math.max(length, this.least));
    return bytes.subarray(0, length);
  }

  /** Gives back what {@link take} returned; nobody may look at its bytes any more. */
  give({ buffer }: Uint8Array): void {
    if (this.#spare.length < this.most) this.#spare.push(new Uint8Array(buffer));
  }
}
