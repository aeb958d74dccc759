/** The central directory of a zip, read by yauzl. */
import { promisify } from "node:util";
import yauzl from "yauzl";
import { isVistaError, VistaError } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";

/** Real files stay far below: Vista's has 2,500 records, a model-states file of 100,000 tensors as many. */
export const MAX_RECORDS = 200_000;

/** Read ahead in the central directory, which yauzl walks in steps of some 50 bytes. */
const BLOCK = 256 * 1024;

/** Read along before it: the last record, a small one, whose header is looked at next and would over a network be a request more. */
const BEFORE = 512;
/** Bytes at the end of an item of a distributed checkpoint in which its whole directory is: that of one tensor has six records. */
const ITEM_END = 4096;

/** Answers to yauzl from inside one another: the stack has an end, and leaving it for each record takes longer than the record. */
const MAX_NESTED = 100;

/** A part of a file, in bytes. */
export interface Stretch {
  readonly start: number;
  readonly length: number;
}

/** What messages call the zip: the file, where it is all of it. */
export function nameOf(file: RangeReader, { length }: Stretch): string {
  return length === file.size ? "file" : "zip";
}

/** What the central directory says of a record; yauzl's own entries take ten times the memory. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes of the name. */
  readonly nameLength: number;
  /** Where its local header is, from the start of the zip. */
  readonly offset: number;
  /** Bytes in the file, and once decompressed. */
  readonly compressedSize: number;
  readonly size: number;
  /** 0 for stored, 8 for deflated. */
  readonly method: number;
  readonly encrypted: boolean;
  readonly crc32: number;
  /** Where it must have ended, from the start of the zip: at the next record or the end, once the layout was checked. */
  limit: number;
}

export interface ZipDirectory {
  readonly entries: readonly ZipEntry[];
  /** Where the directory begins: the records end there. */
  readonly start: number;
}

/** @throws VistaError `FORMAT` for no zip, or more records than {@link MAX_RECORDS} */
export async function readDirectory(
  file: RangeReader,
  within: Stretch = { start: 0, length: file.size },
): Promise<ZipDirectory> {
  const entries: ZipEntry[] = [];
  let start: number;
  try {
    const zip = await openWithYauzl(new BlockReader(file, within), within.length, {
      lazyEntries: true,
      autoClose: false,
      decodeStrings: false,
      validateEntrySizes: false,
    });
    if (zip.entryCount > MAX_RECORDS) {
      throw new VistaError(
        "FORMAT",
        `the zip claims ${zip.entryCount} records, the limit is ${MAX_RECORDS}`,
        {
          path: file.path,
        },
      );
    }
    // Before the first entry is read, the cursor stands at the directory; its type is wrong in @types/yauzl.
    start = (zip as unknown as { readEntryCursor: number }).readEntryCursor;
    await new Promise<void>((resolve, reject) => {
      // Not eachEntry(): a promise for each record costs more than reading it.
      zip.on("entry", (entry: yauzl.Entry) => {
        entries.push({
          // torch writes UTF-8 without the flag that says so, which yauzl would take for the code page of DOS.
          name: entry.fileNameRaw.toString("utf8"),
          nameLength: entry.fileNameRaw.length,
          offset: entry.relativeOffsetOfLocalHeader,
          compressedSize: entry.compressedSize,
          size: entry.uncompressedSize,
          method: entry.compressionMethod,
          encrypted: entry.isEncrypted(),
          crc32: entry.crc32,
          limit: 0,
        });
        zip.readEntry();
      });
      zip.on("end", resolve);
      zip.on("error", reject);
      zip.readEntry();
    });
  } catch (error) {
    if (isVistaError(error)) throw error;
    throw new VistaError("FORMAT", `the zip directory cannot be read: ${(error as Error).message}`, {
      path: file.path,
      hint: `The ${nameOf(file, within)} has ${within.length} bytes; it is incomplete or damaged: copy it again.`,
      cause: error,
    });
  }
  return { entries, start };
}

const openWithYauzl = promisify(
  (
    reader: yauzl.RandomAccessReader,
    size: number,
    options: yauzl.Options,
    callback: (error: Error | null, zip: yauzl.ZipFile) => void,
  ) => yauzl.fromRandomAccessReader(reader, size, options, callback),
);

/** yauzl asks for a few bytes at a time: answer from blocks. */
class BlockReader extends yauzl.RandomAccessReader {
  #block: Buffer = Buffer.alloc(0);
  #start = 0;
  /** Answers given from inside one another. */
  #nested = 0;

  constructor(
    private readonly file: RangeReader,
    private readonly within: Stretch,
  ) {
    super();
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    const copy = () => {
      const skipped = Math.max(0, this.#start - position);
      buffer.fill(0, offset, offset + skipped);
      const from = position + skipped - this.#start;
      this.#block.copy(buffer, offset + skipped, from, from + length - skipped);
    };
    if (position < this.#start || position + length > this.#start + this.#block.length) {
      // Not from inside a promise: yauzl goes on to the next record from here, and its exceptions are not ours.
      const answer = (error: Error | null) => process.nextTick(callback, error);
      this.#fill(position, length)
        .then(copy)
        .then(() => answer(null), answer);
      this.#nested = 0;
      return;
    }
    copy();
    if (this.#nested++ < MAX_NESTED) callback(null);
    else {
      this.#nested = 0;
      process.nextTick(callback, null);
    }
  }

  async #fill(position: number, length: number): Promise<void> {
    const { length: size } = this.within;
    // yauzl looks for the end of the directory in the last 64 KiB, from behind: in an item of a distributed checkpoint, one of
    // very many, it is found in the last few of them.
    if (size < this.file.size && position + length === size && length > ITEM_END) {
      await this.#take(size - ITEM_END, size);
      if (this.#block.readUInt32LE(ITEM_END - 22) === 0x06054b50) return;
    }
    const start = Math.max(0, position - BEFORE);
    await this.#take(start, Math.max(position + length, Math.min(position + BLOCK, size)));
  }

  async #take(start: number, end: number): Promise<void> {
    const block = Buffer.alloc(end - start);
    await this.file.read(block, this.within.start + start);
    this.#block = block;
    this.#start = start;
  }
}
