/**
 * Finds the records of a torch zip as regions of a file. yauzl reads the central directory, which alone is trusted (torch leaves
 * sizes and CRCs out of the local headers); here are the rules that torch's own reader does not check.
 *
 * Source: pytorch caffe2/serialize/inline_container.cc; PKWARE's APPNOTE.TXT.
 */

import { incompleteFile, shorten, VistaError, type Where } from "../../core/errors.js";
import type { Region, SourceFile } from "../../core/io/source.js";
import { dataOfDcp, otherZip, zipWithoutPickle } from "./other-kinds.js";
import { nameOf, readDirectory, type Stretch, type ZipEntry } from "./zip-directory.js";
import { ALIGNMENT, LOCAL_HEADER, U32_MAX } from "./zip-form.js";

/** The bytes that are read at once of a local file where the next record is near: the headers of more records lie in them. */
const BLOCK = 64 * 1024;
/** The largest distance in bytes to the next record at which a block is worth its reading, and the least number of records. */
const NEAR = 8 * 1024;
const MANY = 32;

export interface TorchZip {
  readonly file: SourceFile;
  /** The one folder that all records are in: `archive`, `pytorch_model`. */
  readonly root: string;
  /** Returns the names below the root: `data.pkl`, `data/0`. */
  names(): Iterable<string>;
  has(name: string): boolean;
  /**
   * Returns the place of a record's bytes; the first time, its local header is read.
   * @throws VistaError `FORMAT` if there is none or its header contradicts the directory; `UNSUPPORTED` if it is compressed
   */
  record(name: string): Promise<Region>;
}

function damaged(what: string, where: Where): VistaError {
  return new VistaError("FORMAT", what, {
    ...where,
    hint: "The file is damaged or was tampered with: copy it again.",
  });
}

/**
 * Reads the directory of a torch zip.
 * @param place  the place of the zip in the file: torch's distributed checkpoints have one zip after the other
 * @throws VistaError `WRONG_KIND` for a zip of another program; `FORMAT` for no zip, or records that overlap; `TRUNCATED` for
 *   records that leave the file; `UNSUPPORTED` for compressed or encrypted records
 */
export async function openTorchZip(file: SourceFile, place?: Stretch): Promise<TorchZip> {
  // A given place means that the metadata name this item, which may be the only one of its file.
  if (place === undefined && file.path.toLowerCase().endsWith(".distcp")) throw dataOfDcp(file.path);
  const within = place ?? { start: 0, length: file.size };
  const { entries, contradiction } = await readDirectory(file, within);
  const names = entries.map(({ name }) => name);
  const other = otherZip(file.path, names);
  if (other !== undefined) throw other;
  if (contradiction !== undefined) {
    throw damaged(`the zip directory is not what it says: ${contradiction}`, { path: file.path });
  }
  checkLayout(file, within, entries);
  const pickle = names.find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) throw zipWithoutPickle(file.path, names);
  const root = pickle.slice(0, pickle.indexOf("/"));
  // A record is what the directory says of it until the place of its bytes is known: there may be 100,000, so not both are kept.
  const records = new Map<string, ZipEntry | Promise<Region> | Region>();
  const withCapitals: ZipEntry[] = [];
  for (const entry of entries) {
    const refuse = (what: string) => damaged(what, { path: file.path, record: entry.name });
    if (!entry.name.startsWith(`${root}/`))
      throw refuse(`the record lies outside ${shorten(root, 200)}/, where torch wants all of them`);
    const name = entry.name.slice(root.length + 1);
    if (records.has(name)) throw refuse("the zip has two records of this name");
    records.set(name, entry);
    if (/[A-Z]/.test(name)) withCapitals.push(entry);
  }
  // torch looks records up without regard to case, and takes either of two.
  const small = new Set<string>();
  for (const { name } of withCapitals) {
    const below = lowerCase(name.slice(root.length + 1));
    if (!records.has(below) && small.size !== small.add(below).size) continue;
    throw new VistaError("FORMAT", "the zip has another record whose name differs only in capitals", {
      path: file.path,
      record: name,
      hint: "The file was tampered with: what torch reads of it is left to chance.",
    });
  }
  const places = new RecordPlaces(file, within, entries);
  return {
    file,
    root,
    names: () => records.keys(),
    has: (name) => records.has(name),
    record: async (name) => {
      const known = records.get(name);
      if (known === undefined) {
        throw damaged("the zip has no such record", { path: file.path, record: `${root}/${name}` });
      }
      if (!("method" in known)) return known;
      let locating: Promise<Region> | Region;
      try {
        locating = places.of(known);
      } catch (error) {
        // Whoever asks again gets this error, which is one problem and not several.
        locating = Promise.reject(error);
      }
      records.set(name, locating);
      if (!(locating instanceof Promise)) return locating;
      const region = await locating;
      // The region takes the place of the promise, which needs ten times the memory.
      records.set(name, region);
      return region;
    },
  };
}

/** Returns the name in small letters as miniz, with which torch reads zips, has it: ASCII alone. */
function lowerCase(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Checks that every record is stored as it is, lies in the file and shares no byte with another, and sets the limit of each. */
function checkLayout(file: SourceFile, within: Stretch, entries: readonly ZipEntry[]): void {
  const sorted = entries.slice().sort((a, b) => a.offset - b.offset);
  let end = 0;
  let before: ZipEntry | undefined;
  for (const entry of sorted) {
    const start = entry.offset;
    const where = { path: file.path, record: entry.name, offset: within.start + start };
    if (entry.encrypted) {
      throw new VistaError("UNSUPPORTED", "the record is encrypted", {
        ...where,
        hint: "torch.save never does that.",
      });
    }
    if (entry.method !== 0) {
      throw new VistaError(
        "UNSUPPORTED",
        `the record is compressed (method ${entry.method}); torch stores records as they are, and reads such a file wrongly with mmap`,
        { ...where, hint: "The file was repacked by a zip tool: unzip it and pack it again with `zip -0`." },
      );
    }
    if (entry.compressedSize !== entry.size) {
      throw damaged(`a stored record of ${entry.size} bytes takes ${entry.compressedSize} bytes`, where);
    }
    if (start < end) {
      throw damaged(
        `the record starts at ${start}, inside ${before?.name}, which ends at ${end} or later`,
        where,
      );
    }
    end = start + LOCAL_HEADER + entry.nameLength + entry.size;
    if (end > within.length) {
      const what = `the record ends at ${end}, the ${nameOf(file, within)} has ${within.length} bytes`;
      throw incompleteFile(what, where);
    }
    if (before !== undefined) before.limit = start;
    entry.limit = within.length;
    before = entry;
  }
}

/**
 * Returns the place where torch begins the data of a record: a multiple of 64 behind the local header, the name, the sizes of
 * zip64 where they are needed, and 4 bytes of an extra field that fills the rest.
 *
 * Source: pytorch caffe2/serialize/inline_container.cc (getPadding).
 */
function predictedStart({ offset, nameLength, size }: ZipEntry): number {
  let start = offset + LOCAL_HEADER + nameLength + 4;
  if (size >= U32_MAX || offset >= U32_MAX) {
    start += 4;
    if (size >= U32_MAX) start += 16;
    if (offset >= U32_MAX) start += 8;
  }
  return Math.ceil(start / ALIGNMENT) * ALIGNMENT;
}

/** Finds the bytes of records, by their local headers or, over a network, by torch's own rule for where data begin. */
class RecordPlaces {
  #start = 0;
  #block: Buffer = Buffer.alloc(0);
  /** Settles when the block is there; nothing where it is. */
  #reading: Promise<void> | undefined;
  /** Whether headers that lie near one another are read together. A shard of ZeRO-2 has few records, and there are many shards. */
  readonly #isBlockwise: boolean;
  /** Tells whether the rule serves for this file; nothing where all headers are read. */
  readonly #predictable: Promise<boolean> | undefined;

  constructor(
    private readonly file: SourceFile,
    private readonly within: Stretch,
    entries: readonly ZipEntry[],
  ) {
    this.#isBlockwise = file.isLocal && entries.length >= MANY;
    // Over a network each local header would be a request. Those that came with the directory show whether torch's rule holds in
    // this file; if so, it is used for the others, and the checksums of their data confirm it.
    if (!file.isLocal) this.#predictable = this.#holdsHere(entries);
  }

  /** Returns the bytes of a record: at once, where its header is in memory. */
  of(entry: ZipEntry): Promise<Region> | Region {
    return this.#predictable === undefined
      ? this.#locate(entry)
      : this.#predictable.then((holds) =>
          holds && !this.#hasHeader(entry) ? this.#predict(entry) : this.#locate(entry),
        );
  }

  #hasHeader({ offset }: ZipEntry): boolean {
    return this.file.has(this.within.start + offset, LOCAL_HEADER);
  }

  #predict(entry: ZipEntry): Promise<Region> | Region {
    const { name, crc32, size, limit } = entry;
    const start = predictedStart(entry);
    // Without a checksum nothing would confirm the prediction.
    if (crc32 === 0 || start + size > limit) return this.#locate(entry);
    return { file: this.file, name, offset: this.within.start + start, length: size, crc32 };
  }

  /**
   * Tells whether the rule of {@link predictedStart} holds for all records whose local header has been read, and for the last
   * record where they are fewer than two.
   */
  async #holdsHere(entries: readonly ZipEntry[]): Promise<boolean> {
    const known = entries.filter((entry) => this.#hasHeader(entry));
    // Of a large file only the header of the first record is there, so that of the last is asked for.
    if (known.length < 2) known.push(...entries.slice(-1));
    for (const entry of known) {
      const region = await (async () => this.#locate(entry))().catch(() => undefined);
      if (region?.offset !== this.within.start + predictedStart(entry)) return false;
    }
    return known.length > 0;
  }

  #locate(entry: ZipEntry): Promise<Region> | Region {
    const header = this.#header(entry);
    return header instanceof Promise
      ? header.then((read) => this.#behind(read, entry))
      : this.#behind(header, entry);
  }

  /** Returns the header of a record without name and extra field. Those of small records are read together: there may be 100,000. */
  #header({ offset, limit }: ZipEntry): Promise<Buffer> | Buffer {
    const at = this.within.start + offset;
    if (at < this.#start || at + LOCAL_HEADER > this.#start + this.#block.length) {
      const isNear = this.#isBlockwise && limit - offset <= NEAR;
      this.#block = Buffer.allocUnsafe(isNear ? Math.min(BLOCK, this.within.length - offset) : LOCAL_HEADER);
      this.#start = at;
      this.#reading = this.file.readSmall(this.#block, at);
    }
    const header = this.#block.subarray(at - this.#start, at - this.#start + LOCAL_HEADER);
    return this.#reading === undefined ? header : this.#reading.then(() => header);
  }

  #behind(header: Buffer, entry: ZipEntry): Region {
    const { file } = this;
    const base = this.within.start;
    const at = base + entry.offset;
    const where = { path: file.path, record: entry.name, offset: at };
    // Byte 0 of the header begins its signature.
    if (header.readUInt32LE(0) !== 0x04034b50) {
      throw damaged("there is no local header where the zip directory says the record starts", where);
    }
    // Byte 8 begins the compression method.
    if (header.readUInt16LE(8) !== 0) {
      throw damaged("the local header says the record is compressed, the directory says it is not", where);
    }
    // Byte 26 begins the length of the file name, byte 28 that of the extra field.
    const offset = at + LOCAL_HEADER + header.readUInt16LE(26) + header.readUInt16LE(28);
    const length = entry.size;
    if (offset + length > base + entry.limit) {
      throw damaged(
        `the record runs to byte ${offset + length}, where it may run to ${base + entry.limit}`,
        where,
      );
    }
    return { file, name: entry.name, offset, length, crc32: entry.crc32 };
  }
}
