/** Files that are read by ranges, and the checksummed regions inside them. */
import { VistaError } from "../errors.js";

/** Something with bytes that are read by ranges: a file, or a part of one. */
export interface RangeReader {
  /** The path, for messages. */
  readonly path: string;
  /** The size in bytes. */
  readonly size: number;
  /** Fills `target` from `position` on. @throws VistaError `TRUNCATED`, `IO` */
  read(target: Uint8Array, position: number): Promise<void>;
}

/**
 * An input, a file or what is at a URL, that is read by ranges. Its size is fixed at the first look, and a read beyond it or a
 * short read is an error, never zeros. A read after {@link close} is an error too, and so is a read of a file that was replaced.
 */
export abstract class SourceFile {
  protected constructor(
    /** The path as the user would write it. */
    readonly path: string,
    readonly size: number,
  ) {}

  /** Whether {@link hold} gives a descriptor. */
  abstract get isLocal(): boolean;

  /** Fills `target` from `position` on. @throws VistaError `TRUNCATED` where the file ends before, `IO` */
  abstract read(target: Uint8Array, position: number): Promise<void>;

  /** Reads as {@link read} does, for the bytes of tensors: nothing that comes over a network is kept for a second reader. */
  readOnce(target: Uint8Array, position: number): Promise<void> {
    return this.read(target, position);
  }

  /**
   * Fills `target` with some of the few bytes that are wanted in many places, at once where they are in memory.
   *
   * @returns a promise only where there is something to wait for
   * @throws VistaError as {@link read} does
   */
  abstract readSmall(target: Uint8Array, position: number): Promise<void> | undefined;

  /** Tells whether these bytes can be read without a request over a network. */
  abstract has(position: number, length: number): boolean;

  /**
   * Keeps a local file open until {@link release}, for reads that go past this class.
   *
   * @param patience  the milliseconds to wait for a descriptor where the process has none left
   * @returns its descriptor
   */
  abstract hold(patience?: number): Promise<number>;

  abstract release(): void;

  /**
   * Closes the file when the reads and the {@link hold}s that have begun are done, since a descriptor that somebody still has
   * must not become another file's. No other read can begin.
   */
  abstract close(): Promise<void>;

  /** Gives the descriptor back, where there is one; the next read opens the file again. Nothing may be reading meanwhile. */
  async suspend(): Promise<void> {}

  /**
   * Checks, after the last read, that nothing wrote to the file since it was opened, as far as its size and its time tell: the bytes
   * of formats without checksums would be those of two files. At a URL every answer tells.
   * @throws VistaError `INCONSISTENT`
   */
  async checkUnchanged(): Promise<void> {}

  /** Returns the error for a read of `wanted` bytes of which only `got` are there. */
  truncated(position: number, wanted: number, got: number): VistaError {
    const there = `${Math.max(0, got)} there; the file has ${this.size} bytes`;
    return new VistaError("TRUNCATED", `${wanted} bytes wanted, ${there}`, {
      path: this.path,
      offset: position,
      hint: "The file is incomplete or is still being written: copy it again.",
    });
  }

  protected closed(): VistaError {
    return new VistaError("USAGE", "was closed: it cannot be read any more", {
      path: this.path,
      hint: "Read and save before close() and the end of an `await using` block.",
    });
  }
}

/**
 * A range of a file that belongs together: a record of a zip, the data of a safetensors file. Where the file has a
 * CRC-32 for it, that covers exactly these bytes.
 */
export interface Region {
  readonly file: SourceFile;
  /** The name that the format gives it, for messages: `archive/data/3`. */
  readonly name: string;
  /** The position of its first byte in the file. */
  readonly offset: number;
  /** The length in bytes. */
  readonly length: number;
  /** The CRC-32 of the whole region as the file, or the index of its set, states it; `undefined` where none does. */
  readonly crc32: number | undefined;
  /** Makes the error for bytes with another CRC-32. Without it, the error says that they are damaged. */
  readonly mismatch?: (found: number) => VistaError;
}

/** A range of a region, in bytes from the region's start. */
export interface Piece {
  readonly region: Region;
  readonly start: number;
  readonly length: number;
}
