/** Parts of files, and bytes in memory, as something that is read by ranges. */
import { VistaError } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";

export class Slice implements RangeReader {
  readonly path: string;
  readonly size: number;
  readonly #whole: RangeReader;
  readonly #start: number;

  /** @throws VistaError `TRUNCATED` where the slice leaves what it is a part of */
  constructor(whole: RangeReader, start: number, size: number) {
    if (start < 0 || size < 0 || start + size > whole.size) {
      throw new VistaError("TRUNCATED", `bytes ${start} to ${start + size} of ${whole.size}`, {
        path: whole.path,
      });
    }
    this.path = whole.path;
    this.size = size;
    this.#whole = whole;
    this.#start = start;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    if (position < 0 || position + target.byteLength > this.size)
      throw beyond(this, position, target.byteLength);
    await this.#whole.read(target, this.#start + position);
  }
}

export class InMemory implements RangeReader {
  readonly path: string;
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(path: string, bytes: Uint8Array) {
    this.path = path;
    this.size = bytes.byteLength;
    this.#bytes = bytes;
  }

  async read(target: Uint8Array, position: number): Promise<void> {
    if (position < 0 || position + target.byteLength > this.size)
      throw beyond(this, position, target.byteLength);
    target.set(this.#bytes.subarray(position, position + target.byteLength));
  }
}

/** The first bytes, as many as there are. */
export async function beginning(reader: RangeReader, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(Math.min(length, reader.size));
  await reader.read(bytes, 0);
  return bytes;
}

function beyond({ path, size }: RangeReader, position: number, wanted: number): VistaError {
  return new VistaError("TRUNCATED", `${wanted} bytes wanted at ${position} of ${size}`, { path });
}
