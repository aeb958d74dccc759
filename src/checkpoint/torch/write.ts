/**
 * Writes a state dict as torch.save does: a zip of stored records, each payload at a multiple of 64 bytes, one storage for
 * each distinct tensor, zip64 where sizes, offsets or counts need it.
 *
 * Source: pytorch caffe2/serialize/inline_container.cc (PyTorchStreamWriter), miniz, PKWARE's APPNOTE.TXT.
 */
import { basename, extname } from "node:path";
import { VistaError } from "../../core/errors.js";
import { combineCrc32, crc32 } from "../../core/io/crc32.js";
import type { OutputPart } from "../copy/parts.js";
import { dtypeInfo } from "../tensor/dtype.js";
import type { StateDict, Tensor } from "../tensor/tensor.js";
import { pickleStateDict } from "./pickle-writer.js";

/** torch aligns payloads so that they can be mapped into memory. */
const ALIGNMENT = 64;
const U32_MAX = 0xffffffff;

/** "FB", torch's extra field for padding. */
const PADDING_ID = 0x4246;

/** What torch 2 writes into the record `version`. */
const FORMAT_VERSION = "3\n";

interface ZipRecord {
  /** Not as bytes, nor its header: of 100,000 records these would take 80 MB. */
  readonly name: string;
  readonly nameLength: number;
  readonly length: number;
  readonly headerOffset: number;
  crc32: number;
}

/** The parts of a torch file in order, and its size in bytes. */
export interface TorchParts {
  readonly parts: readonly OutputPart[];
  readonly length: number;
}

/**
 * Plans a torch file of a state dict. Two names with one tensor share a storage in it.
 * @param path  of the output: its name is the root folder in the zip
 * @throws VistaError `UNSUPPORTED` for a dtype torch does not have
 */
export function planTorchFile(state: StateDict, path: string): TorchParts {
  const keys = new Map<Tensor, string>();
  for (const [tensor, name] of state.unique()) {
    if (dtypeInfo(tensor.dtype).torch === undefined || tensor.dtype === "F4") {
      throw new VistaError("UNSUPPORTED", `torch has no tensors of dtype ${tensor.dtype}`, {
        record: name,
        hint: "Write safetensors instead.",
      });
    }
    keys.set(tensor, String(keys.size));
  }
  const tensors = [...state.tensors].map(([name, { dtype, shape }]) => `${name}\0${dtype}\0${shape}\n`);
  const storages = [...keys].map(([tensor, key]): TorchStorageRecord => ({ key, content: [tensor] }));
  return planTorchRecords(path, pickleStateDict(state, keys), storages, Buffer.from(tensors.join("")));
}

/** A storage of a torch file: tensors one after the other, and zeros where only their number is given (in bytes). */
export interface TorchStorageRecord {
  readonly key: string;
  readonly content: readonly (Tensor | number)[];
}

/**
 * The parts of a torch file around a pickle that was made elsewhere, in order, and its size in bytes.
 * @param path  of the output: its name is the root folder in the zip
 * @param identity  what the file's id depends on; default: the pickle
 */
export function planTorchRecords(
  path: string,
  pickle: Uint8Array,
  storages: readonly TorchStorageRecord[],
  identity: Uint8Array = pickle,
): TorchParts {
  // The root folder is the file's name without its last extension; torch reads any.
  const name = basename(path);
  const root = basename(name, extname(name)) || "archive";
  const plan = new ZipPlan();
  plan.addBytes(`${root}/data.pkl`, pickle);
  plan.addBytes(`${root}/byteorder`, Buffer.from("little"));
  for (const { key, content } of storages) plan.addStorage(`${root}/data/${key}`, content);
  plan.addBytes(`${root}/version`, Buffer.from(FORMAT_VERSION));
  plan.addBytes(`${root}/.data/serialization_id`, Buffer.from(serializationId(identity)));
  return plan.finish();
}

/** 40 digits that torch uses to tell files apart; here they depend on what is in the file, so that output is reproducible. */
function serializationId(text: Uint8Array): string {
  const digits = (seed: number) => crc32(text, seed).toString().padStart(10, "0");
  return [0, 1, 2, 3].map(digits).join("");
}

class ZipPlan {
  readonly #parts: OutputPart[] = [];
  readonly #records: ZipRecord[] = [];
  #offset = 0;
  /** What follows the last tensor: bytes, and those that depend on CRCs. Together one part, since a folder may have thousands of files. */
  #run: (Uint8Array | LateBytes)[] = [];

  addBytes(name: string, bytes: Uint8Array): void {
    const record = this.#open(name, bytes.byteLength);
    record.crc32 = crc32(bytes);
    this.#add(bytes);
    if (record.length > 0) this.#add(descriptor(record));
  }

  addStorage(name: string, content: readonly (Tensor | number)[]): void {
    const length = content.reduce<number>((sum, part) => sum + sizeOf(part), 0);
    const record = this.#open(name, length);
    for (const part of content) {
      if (typeof part === "number") {
        const zeros = new Uint8Array(part);
        const crc = crc32(zeros);
        // In its turn: the CRCs of what comes before are known then, and those of what follows are not.
        if (part > 0) {
          this.#late(part, () => {
            record.crc32 = combineCrc32(record.crc32, crc, part);
            return zeros;
          });
        }
        continue;
      }
      this.#endRun();
      this.#parts.push({
        kind: "tensor",
        tensor: part,
        onCrc32: (crc) => {
          record.crc32 = combineCrc32(record.crc32, crc, part.byteLength);
        },
      });
      this.#offset += part.byteLength;
    }
    // Like torch, no descriptor after an empty record.
    if (length > 0) this.#late(descriptorLength(record), () => descriptor(record));
  }

  /** The directory at the end: one entry a record, then the end records, zip64's always, as torch has them. */
  finish(): TorchParts {
    const start = this.#offset;
    const size = this.#records.reduce((sum, record) => sum + entryLength(record), 0);
    this.#late(size, () => {
      const bytes = Buffer.alloc(size);
      let at = 0;
      for (const record of this.#records) at += writeEntry(bytes.subarray(at), record);
      return bytes;
    });
    this.#add(endRecords(this.#records.length, size, start));
    this.#endRun();
    return { parts: this.#parts, length: this.#offset };
  }

  #add(bytes: Uint8Array): void {
    this.#run.push(bytes);
    this.#offset += bytes.byteLength;
  }

  /** For what depends on CRCs. */
  #late(length: number, bytes: () => Uint8Array): void {
    this.#run.push({ length, bytes });
    this.#offset += length;
  }

  #endRun(): void {
    const run = this.#run;
    if (run.length === 0) return;
    this.#run = [];
    const joined = () => Buffer.concat(run.map((part) => (part instanceof Uint8Array ? part : part.bytes())));
    if (run.every((part) => part instanceof Uint8Array)) this.#parts.push({ kind: "bytes", bytes: joined() });
    else
      this.#parts.push({
        kind: "late",
        length: run.reduce((sum, { length }) => sum + length, 0),
        bytes: joined,
      });
  }

  #open(name: string, length: number): ZipRecord {
    const nameLength = Buffer.byteLength(name);
    const record = { name, nameLength, length, headerOffset: this.#offset, crc32: 0 };
    this.#late(headerLength(record), () => header(record));
    this.#records.push(record);
    return record;
  }
}

/** Padding, in the extra field "FB" with 4 bytes of its own, brings the payload to its alignment. */
function headerLength({ headerOffset, nameLength }: ZipRecord): number {
  return Math.ceil((headerOffset + 30 + nameLength + 4) / ALIGNMENT) * ALIGNMENT - headerOffset;
}

/** The local header: CRC and sizes follow the payload (flag 0x0008). */
function header(record: ZipRecord): Uint8Array {
  const { name, nameLength, length } = record;
  const bytes = Buffer.alloc(headerLength(record));
  bytes.writeUInt32LE(0x04034b50, 0); // signature
  bytes.writeUInt16LE(zip64Version(length), 4); // version needed to extract
  bytes.writeUInt16LE(0x0808, 6); // flags: sizes follow, name is UTF-8
  bytes.writeUInt16LE(0, 8); // method: stored
  bytes.writeUInt32LE(EPOCH, 10); // time and date
  bytes.writeUInt16LE(nameLength, 26);
  const extra = 30 + nameLength;
  bytes.writeUInt16LE(bytes.length - extra, 28);
  bytes.write(name, 30);
  bytes.writeUInt16LE(PADDING_ID, extra);
  bytes.writeUInt16LE(bytes.length - extra - 4, extra + 2);
  bytes.fill(0x5a, extra + 4); // "Z"
  return bytes;
}

/** Bytes that are known when everything before them is written. */
interface LateBytes {
  readonly length: number;
  readonly bytes: () => Uint8Array;
}

function descriptorLength({ length }: ZipRecord): number {
  return length >= U32_MAX ? 24 : 16;
}

/** The data descriptor: CRC and sizes. */
function descriptor(record: ZipRecord): Uint8Array {
  const bytes = Buffer.alloc(descriptorLength(record));
  bytes.writeUInt32LE(0x08074b50, 0); // signature
  bytes.writeUInt32LE(record.crc32, 4);
  if (record.length >= U32_MAX) {
    bytes.writeBigUInt64LE(BigInt(record.length), 8);
    bytes.writeBigUInt64LE(BigInt(record.length), 16);
  } else {
    bytes.writeUInt32LE(record.length, 8);
    bytes.writeUInt32LE(record.length, 12);
  }
  return bytes;
}

function sizeOf(part: Tensor | number): number {
  return typeof part === "number" ? part : part.byteLength;
}

/** 1 January 1980, 00:00, the earliest a zip can say: output must not depend on the clock. */
const EPOCH = 0x00210000;

function zip64Version(length: number): number {
  return length >= U32_MAX ? 45 : 0;
}

const NO_EXTRA = Buffer.alloc(0);

/** Extended information for what does not fit into 32 bits, in the fixed order: size, stored size, offset. */
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

/** @param entry  zeros, the entry at their beginning. @returns its length */
function writeEntry(entry: Buffer, record: ZipRecord): number {
  const extra = zip64Extra(record);
  entry.writeUInt32LE(0x02014b50, 0); // signature
  entry.writeUInt16LE(0, 4); // version made by
  entry.writeUInt16LE(extra.length > 0 ? 45 : 0, 6); // version needed to extract
  entry.writeUInt16LE(0x0808, 8); // flags
  entry.writeUInt32LE(EPOCH, 12); // time and date
  entry.writeUInt32LE(record.crc32, 16);
  const size = Math.min(record.length, U32_MAX);
  entry.writeUInt32LE(size, 20);
  entry.writeUInt32LE(size, 24);
  entry.writeUInt16LE(record.nameLength, 28);
  entry.writeUInt16LE(extra.length, 30);
  entry.writeUInt32LE(Math.min(record.headerOffset, U32_MAX), 42);
  entry.write(record.name, 46);
  entry.set(extra, 46 + record.nameLength);
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
