/** Reads parts of files, and bytes in memory, by ranges. */
import { VistaError } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";

export class Slice implements RangeReader {
  readonly path: string;

  /** Makes a slice of something. @throws VistaError `TRUNCATED` where the slice leaves what it is a part of */
  constructor(
    private readonly whole: RangeReader,
    private readonly start: number,
    readonly size: number,
  ) {
    if (start < 0 || size < 0 || start + size > whole.size) {
      throw new VistaError("TRUNCATED", `bytes ${start} to ${start + size} of ${whole.size}`, {
        path: whole.path,
      });
    }
    this.path = whole.path;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    requireInside(this, position, target.byteLength);
    await this.whole.read(target, this.start + position);
  }
}

export class InMemory implements RangeReader {
  readonly size: number;

  constructor(
    readonly path: string,
    private readonly bytes: Uint8Array,
  ) {
    this.size = bytes.byteLength;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    requireInside(this, position, target.byteLength);
    target.set(this.bytes.subarray(position, position + target.byteLength));
  }
}

/** The number of bytes that {@link ReadAhead} keeps. */
const BLOCK = 256 * 1024;

/**
 * A reader that answers small reads from blocks, because they follow one another: a zip of 100,000 records has as many headers.
 */
export class ReadAhead implements RangeReader {
  readonly path: string;
  readonly size: number;
  #block = Buffer.alloc(0);
  #start = 0;

  constructor(private readonly whole: RangeReader) {
    this.path = whole.path;
    this.size = whole.size;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    const length = target.byteLength;
    if (length > BLOCK / 4) return this.whole.read(target, position);
    requireInside(this, position, length);
    if (position < this.#start || position + length > this.#start + this.#block.length) {
      const block = Buffer.allocUnsafeSlow(Math.min(BLOCK, this.size - position));
      await this.whole.read(block, position);
      this.#block = block;
      this.#start = position;
    }
    target.set(this.#block.subarray(position - this.#start, position - this.#start + length));
  }
}

/** Returns the first bytes: `length` of them, or as many as there are. */
export async function beginning(reader: RangeReader, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(Math.min(length, reader.size));
  await reader.read(bytes, 0);
  return bytes;
}

function requireInside({ path, size }: RangeReader, position: number, wanted: number): void {
  if (position >= 0 && position + wanted <= size) return;
  throw new VistaError("TRUNCATED", `${wanted} bytes wanted at ${position} of ${size}`, { path });
}
