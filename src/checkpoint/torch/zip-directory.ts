/** Reads the central directory of a zip, with yauzl. */
import { promisify } from "node:util";
import yauzl from "yauzl";
import { isVistaError, VistaError } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";
import { plural } from "../../core/text.js";
import { MAX_RECORDS } from "./limits.js";

/** The bytes that are read at once in the central directory, which yauzl walks in steps of some 50 bytes. */
const BLOCK = 256 * 1024;

/**
 * The bytes that are read along before it: they hold the last record, a small one, whose header is looked at next and would be
 * another request over a network.
 */
const BEFORE = 512;
/**
 * The bytes at the end of an item of a distributed checkpoint that hold its whole directory: that of one tensor has six records.
 */
const ITEM_END = 4096;

/**
 * The number of answers to yauzl that are given from inside one another: the stack has an end, but leaving it for each record
 * takes longer than the record.
 */
const MAX_NESTED = 100;

/** A part of a file; both numbers are in bytes. */
export interface Stretch {
  readonly start: number;
  readonly length: number;
}

/** Returns what messages call the zip: the file, where the zip is all of it. */
export function nameOf(file: RangeReader, { length }: Stretch): string {
  return length === file.size ? "file" : "zip";
}

/** The central directory's statements about a record; yauzl's own entries take ten times the memory. */
export interface ZipEntry {
  readonly name: string;
  /** The length of the name in bytes. */
  readonly nameLength: number;
  /** The place of the local header, in bytes from the start of the zip. */
  readonly offset: number;
  /** The number of bytes in the file; `size` is their number once decompressed. */
  readonly compressedSize: number;
  readonly size: number;
  /** The compression method: 0 for stored, 8 for deflated. */
  readonly method: number;
  readonly encrypted: boolean;
  readonly crc32: number;
  /**
   * The place at which the record must have ended, in bytes from the start of the zip: the next record or the end, set when the
   * layout is checked.
   */
  limit: number;
}

export interface ZipDirectory {
  readonly entries: readonly ZipEntry[];
  /** The place where the directory begins and the records end. */
  readonly start: number;
  /** The contradiction between the directory and the record at the end, if there is one: torch does not open such a file, or not all of it. */
  readonly contradiction: string | undefined;
}

/** Reads the central directory. @throws VistaError `FORMAT` for no zip, or more records than {@link MAX_RECORDS} */
export async function readDirectory(
  file: RangeReader,
  within: Stretch = { start: 0, length: file.size },
): Promise<ZipDirectory> {
  const entries: ZipEntry[] = [];
  let start: number;
  let contradiction: string | undefined;
  try {
    const reader = new BlockReader(file, within);
    const zip = await openWithYauzl(reader, within.length, {
      lazyEntries: true,
      autoClose: false,
      decodeStrings: false,
      validateEntrySizes: false,
    });
    if (zip.entryCount > MAX_RECORDS) {
      throw new VistaError(
        "FORMAT",
        `the zip claims ${zip.entryCount} records, the limit is ${MAX_RECORDS}`,
        { path: file.path, hint: "No checkpoint has so many: the file is damaged or was tampered with." },
      );
    }
    // Before the first entry is read, the cursor stands at the directory; @types/yauzl has a wrong type for it.
    start = (zip as unknown as { readEntryCursor: number }).readEntryCursor;
    await new Promise<void>((resolve, reject) => {
      // This does without eachEntry(), whose promise for each record costs more than reading it.
      zip.on("entry", (entry: yauzl.Entry) => {
        entries.push({
          // Torch writes UTF-8 without the flag that says so, and yauzl would take it for the code page of DOS.
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
    const { readEntryCursor: end } = zip as unknown as { readEntryCursor: number };
    const last = within.length - END_RECORD - zip.comment.length;
    contradiction = await endContradiction(reader, { start, end, last }, within.length);
  } catch (error) {
    if (isVistaError(error)) throw error;
    const { message } = error as Error;
    const [, expected, found] =
      /^Invalid comment length\. Expected: (\d+)\. Found: (\d+)/.exec(message) ?? [];
    if (expected !== undefined && Number(expected) > Number(found)) {
      const behind = Number(expected) - Number(found);
      throw new VistaError(
        "FORMAT",
        `${plural(behind, "byte")} behind the end of the zip belong to nothing`,
        {
          path: file.path,
          offset: within.start + within.length - behind,
          hint: "torch.load takes no notice of fewer than 65,536 such bytes; whoever wrote them may have damaged the rest: copy the file again.",
          cause: error,
        },
      );
    }
    throw new VistaError("FORMAT", `the zip directory cannot be read: ${message}`, {
      path: file.path,
      hint: `The ${nameOf(file, within)} has ${within.length} bytes; it is incomplete or damaged: copy it again.`,
      cause: error,
    });
  }
  return { entries, start, contradiction };
}

const END_RECORD = 22;
const ZIP64_END_RECORD = 56;
const ZIP64_LOCATOR = 20;

/**
 * Compares the place and the length of the directory with what the records behind it state, which yauzl leaves unread. Where there is
 * something between it and the last record, as in two zips one after the other, Python's zipfile takes another directory than torch.
 * @param places  the places of the directory, of its end, and of the last record
 */
async function endContradiction(
  reader: BlockReader,
  { start, end, last }: { start: number; end: number; last: number },
  fileLength: number,
): Promise<string | undefined> {
  const record = Buffer.alloc(Math.min(ZIP64_END_RECORD, fileLength - end));
  // Not by `promisify`, which takes longer than the read.
  await new Promise<void>((resolve, reject) => {
    reader.read(record, 0, record.length, end, (error) => (error ? reject(error) : resolve()));
  });
  const signature = record.length < END_RECORD ? 0 : record.readUInt32LE(0);
  const isZip64 = signature === 0x06064b50 && record.length === ZIP64_END_RECORD;
  if (!isZip64 && signature !== 0x06054b50) return `behind its ${end - start} bytes stands no end record`;
  // 40 and 12 - size of the central directory
  const stated = isZip64 ? Number(record.readBigUInt64LE(40)) : record.readUInt32LE(12);
  if (stated !== end - start) return `it has ${end - start} bytes, its end record says ${stated}`;
  const between = last - end - (isZip64 ? ZIP64_END_RECORD + ZIP64_LOCATOR : 0);
  return between === 0 ? undefined : `${between} bytes stand between it and the last record of the file`;
}

/** Tells whether the end record of a zip stands at the end, whatever the file begins with. */
export async function endsAsZip(reader: RangeReader): Promise<boolean> {
  const length = Math.min(reader.size, 65_557);
  if (length < 22) return false;
  const tail = Buffer.alloc(length);
  await reader.read(tail, reader.size - length);
  const at = tail.lastIndexOf("PK\x05\x06", undefined, "latin1");
  return at >= 0 && at + 22 <= length && at + 22 + tail.readUInt16LE(at + 20) === length;
}

const openWithYauzl = promisify(
  (
    reader: yauzl.RandomAccessReader,
    size: number,
    options: yauzl.Options,
    callback: (error: Error | null, zip: yauzl.ZipFile) => void,
  ) => yauzl.fromRandomAccessReader(reader, size, options, callback),
);

/** A reader that answers from blocks, because yauzl asks for a few bytes at a time. */
class BlockReader extends yauzl.RandomAccessReader {
  #block: Buffer = Buffer.alloc(0);
  #start = 0;
  /** The number of answers that were given from inside one another. */
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
      // The answer does not come from inside a promise: yauzl goes on to the next record from here, and its exceptions are not
      // ours.
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
    // To find the end of the directory, yauzl searches the last 64 KiB from behind. In an item of a distributed checkpoint, of
    // which there are very many, the last few of them are enough.
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
