/**
 * Plans a zip as torch writes it: stored records, each payload at a multiple of 64 bytes, zip64 where sizes, offsets or counts need
 * it.
 *
 * Source: pytorch caffe2/serialize/inline_container.cc (PyTorchStreamWriter), miniz, PKWARE's APPNOTE.TXT.
 */
import { VistaError } from "../../core/errors.js";
import { combineCrc32, crc32 } from "../../core/io/crc32.js";
import { sum } from "../../core/sum.js";
import type { OutputPart } from "../copy/parts.js";
import type { Tensor } from "../tensor/tensor.js";
import { MAX_RECORDS } from "./limits.js";
import { ALIGNMENT, LOCAL_HEADER, U32_MAX } from "./zip-form.js";

/** The id of torch's extra field for padding, "FB". */
const PADDING_ID = 0x4246;

/** A record of a zip. There may be 100,000, so neither the whole name nor its bytes nor the header is kept. */
class ZipRecord {
  readonly nameLength: number;
  crc32 = 0;

  constructor(
    readonly root: string,
    /** The name below the root folder. */
    readonly place: string,
    readonly length: number,
    readonly headerOffset: number,
  ) {
    this.nameLength = Buffer.byteLength(root) + 1 + Buffer.byteLength(place);
  }

  get name(): string {
    return `${this.root}/${this.place}`;
  }
}

export class ZipPlan {
  readonly #parts: OutputPart[] = [];
  readonly #records: ZipRecord[] = [];
  #offset = 0;
  /**
   * The bytes since the last tensor, known ones and those that depend on CRCs. They become one part together, since a folder may
   * have thousands of files.
   */
  #run: (Uint8Array | LateBytes)[] = [];

  constructor(private readonly root: string) {}

  addBytes(name: string, bytes: Uint8Array): void {
    const record = this.#open(name, bytes.byteLength);
    record.crc32 = crc32(bytes);
    this.#add(bytes);
    if (record.length > 0) this.#add(new Descriptor(record));
  }

  addStorage(name: string, content: readonly (Tensor | number)[]): void {
    const length = sum(content, sizeOf);
    const record = this.#open(name, length);
    for (const part of content) {
      if (typeof part === "number") {
        if (part > 0) this.#add(new Zeros(record, part));
        continue;
      }
      this.#endRun();
      this.#parts.push(new StoragePart(part, record));
      this.#offset += part.byteLength;
    }
    // Torch writes no descriptor after an empty record either.
    if (length > 0) this.#add(new Descriptor(record));
  }

  /**
   * Adds the directory at the end: one entry for each record, then the end records, always with those of zip64, as torch does.
   * @returns the parts of the file in order
   */
  finish(): readonly OutputPart[] {
    const start = this.#offset;
    const size = sum(this.#records, entryLength);
    this.#add(new Directory(this.#records, size));
    this.#add(endRecords(this.#records.length, size, start));
    this.#endRun();
    return this.#parts;
  }

  #add(bytes: Uint8Array | LateBytes): void {
    this.#run.push(bytes);
    this.#offset += bytes.length;
  }

  #endRun(): void {
    if (this.#run.length === 0) return;
    // A list that grew has room for 17 parts, and there is one for each of 100,000 records.
    this.#parts.push(new LatePart(this.#run.slice()));
    this.#run = [];
  }

  #open(place: string, length: number): ZipRecord {
    if (this.#records.length === MAX_RECORDS) {
      throw new VistaError("UNSUPPORTED", `the file would have more than ${MAX_RECORDS} records`, {
        hint: "Write the tensors to several files with --max-shard-size.",
      });
    }
    const record = new ZipRecord(this.root, place, length, this.#offset);
    this.#add(new LocalHeader(record));
    this.#records.push(record);
    return record;
  }
}

/**
 * Bytes that depend on CRCs or would take memory, and so are made when everything before them is written. They are classes and not
 * closures, which took 40 MB for 100,000 records.
 */
interface LateBytes {
  readonly length: number;
  /** Writes the bytes over zeros. */
  write(target: Buffer, at: number): void;
}

class LocalHeader implements LateBytes {
  constructor(private readonly record: ZipRecord) {}

  /** Padding, in the extra field "FB" with 4 bytes of its own, brings the payload to its alignment. */
  get length(): number {
    const { headerOffset, nameLength } = this.record;
    return Math.ceil((headerOffset + LOCAL_HEADER + nameLength + 4) / ALIGNMENT) * ALIGNMENT - headerOffset;
  }

  /** Writes the header, which says that CRC and sizes follow the payload (flag 0x0008). */
  write(target: Buffer, at: number): void {
    const { name, nameLength, length } = this.record;
    const end = at + this.length;
    const extra = at + LOCAL_HEADER + nameLength;
    target.writeUInt32LE(0x04034b50, at); // signature
    target.writeUInt16LE(length >= U32_MAX ? 45 : 0, at + 4); // version needed to extract, that of zip64
    target.writeUInt16LE(0x0808, at + 6); // flags: sizes follow, name is UTF-8
    target.writeUInt32LE(EPOCH, at + 10); // time and date, behind the method 0: stored
    target.writeUInt16LE(nameLength, at + 26);
    target.writeUInt16LE(end - extra, at + 28);
    target.write(name, at + LOCAL_HEADER);
    target.writeUInt16LE(PADDING_ID, extra);
    target.writeUInt16LE(end - extra - 4, extra + 2);
    target.fill(0x5a, extra + 4, end); // "Z"
  }
}

class Descriptor implements LateBytes {
  constructor(private readonly record: ZipRecord) {}

  get length(): number {
    return this.record.length >= U32_MAX ? 24 : 16;
  }

  write(target: Buffer, at: number): void {
    const { length } = this.record;
    target.writeUInt32LE(0x08074b50, at); // signature
    target.writeUInt32LE(this.record.crc32, at + 4);
    if (length >= U32_MAX) {
      target.writeBigUInt64LE(BigInt(length), at + 8);
      target.writeBigUInt64LE(BigInt(length), at + 16);
    } else {
      target.writeUInt32LE(length, at + 8);
      target.writeUInt32LE(length, at + 12);
    }
  }
}

/**
 * Zeros within a record. Their CRC is added when their turn comes: the CRCs of what comes before are known then, those of what
 * follows are not.
 */
class Zeros implements LateBytes {
  constructor(
    private readonly record: ZipRecord,
    readonly length: number,
  ) {}

  write(target: Buffer, at: number): void {
    const crc = crc32(target.subarray(at, at + this.length));
    this.record.crc32 = combineCrc32(this.record.crc32, crc, this.length);
  }
}

class Directory implements LateBytes {
  constructor(
    private readonly records: readonly ZipRecord[],
    readonly length: number,
  ) {}

  write(target: Buffer, start: number): void {
    let at = start;
    for (const record of this.records) at += writeEntry(target, at, record);
  }
}

class LatePart {
  readonly kind = "late";
  readonly length: number;

  constructor(private readonly run: readonly (Uint8Array | LateBytes)[]) {
    this.length = sum(run, ({ length }) => length);
  }

  bytes(): Uint8Array {
    const bytes = Buffer.alloc(this.length);
    let at = 0;
    for (const part of this.run) {
      if (part instanceof Uint8Array) bytes.set(part, at);
      else part.write(bytes, at);
      at += part.length;
    }
    return bytes;
  }
}

class StoragePart {
  readonly kind = "tensor";

  constructor(
    readonly tensor: Tensor,
    private readonly record: ZipRecord,
  ) {}

  onCrc32(crc: number): void {
    this.record.crc32 = combineCrc32(this.record.crc32, crc, this.tensor.byteLength);
  }
}

/** Returns the bytes of a part of a storage: a tensor, or so many zeros. */
export function sizeOf(part: Tensor | number): number {
  return typeof part === "number" ? part : part.byteLength;
}

/**
 * The time and date of all records, 1 January 1980, 00:00, which is the earliest that a zip can have: output must not depend on
 * the clock.
 */
const EPOCH = 0x00210000;

const NO_EXTRA = Buffer.alloc(0);

/**
 * Returns the extra field of zip64 for values that do not fit into 32 bits, in the fixed order of size, stored size and offset.
 */
function zip64Extra(record: ZipRecord): Buffer {
  const values: number[] = [];
  if (record.length >= U32_MAX) values.push(record.length, record.length);
  if (record.headerOffset >= U32_MAX) values.push(record.headerOffset);
  if (values.length === 0) return NO_EXTRA;
  const extra = Buffer.alloc(4 + 8 * values.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * values.length, 2);
  values.forEach((value, i) => {
    extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
  });
  return extra;
}

function entryLength(record: ZipRecord): number {
  return 46 + record.nameLength + zip64Extra(record).length;
}

/** Writes the directory's entry of a record over zeros. @returns the length of the entry in bytes */
function writeEntry(target: Buffer, at: number, record: ZipRecord): number {
  const extra = zip64Extra(record);
  target.writeUInt32LE(0x02014b50, at); // signature
  target.writeUInt16LE(extra.length > 0 ? 45 : 0, at + 6); // version needed to extract, behind version made by, 0
  target.writeUInt16LE(0x0808, at + 8); // flags
  target.writeUInt32LE(EPOCH, at + 12); // time and date
  target.writeUInt32LE(record.crc32, at + 16);
  const size = Math.min(record.length, U32_MAX);
  target.writeUInt32LE(size, at + 20);
  target.writeUInt32LE(size, at + 24);
  target.writeUInt16LE(record.nameLength, at + 28);
  target.writeUInt16LE(extra.length, at + 30);
  target.writeUInt32LE(Math.min(record.headerOffset, U32_MAX), at + 42);
  target.write(record.name, at + 46);
  target.set(extra, at + 46 + record.nameLength);
  return entryLength(record);
}

function endRecords(count: number, size: number, start: number): Buffer {
  const end = Buffer.alloc(56 + 20 + 22);
  end.writeUInt32LE(0x06064b50, 0); // zip64 end of central directory
  end.writeBigUInt64LE(44n, 4); // bytes that follow
  end.writeUInt16LE(45, 12); // version made by
  end.writeUInt16LE(45, 14); // version needed
  end.writeBigUInt64LE(BigInt(count), 24);
  end.writeBigUInt64LE(BigInt(count), 32);
  end.writeBigUInt64LE(BigInt(size), 40);
  end.writeBigUInt64LE(BigInt(start), 48);
  end.writeUInt32LE(0x07064b50, 56); // its locator
  end.writeBigUInt64LE(BigInt(start + size), 64);
  end.writeUInt32LE(1, 72); // disks
  end.writeUInt32LE(0x06054b50, 76); // end of central directory
  end.writeUInt16LE(Math.min(count, 0xffff), 84);
  end.writeUInt16LE(Math.min(count, 0xffff), 86);
  end.writeUInt32LE(Math.min(size, U32_MAX), 88);
  end.writeUInt32LE(Math.min(start, U32_MAX), 92);
  return end;
}
