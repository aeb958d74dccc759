/**
 * Scans zips. Each record is looked at, whatever its name, and the statements of its two headers are compared. Scanners were
 * passed by with wrong CRCs, flag bits and names that only one of the readers minds, so every such difference is a finding, and
 * the record is looked into all the same.
 */
import { inflateRawSync } from "node:zlib";
import { isVistaError, messageWithin } from "../../core/errors.js";
import { crc32, hexCrc32 } from "../../core/io/crc32.js";
import type { RangeReader } from "../../core/io/source.js";
import { PICKLE_LIMITS } from "../torch/limits.js";
import { readDirectory, type ZipEntry } from "../torch/zip-directory.js";
import { LOCAL_HEADER, U32_MAX } from "../torch/zip-form.js";
import { inside, type Place } from "./findings.js";
import { InMemory, ReadAhead, Slice } from "./readers.js";
import { type NamedStorage, type Scanner, type Subject, storageLength } from "./scanner.js";

/** The possible lengths in bytes of the data descriptor behind a record whose local header leaves sizes and CRC out. */
const DESCRIPTORS = [0, 12, 16, 20, 24];

/** The largest number of bytes that all compressed records of a file together may become; torch itself compresses nothing. */
const MAX_INFLATED = 256 * 2 ** 20;

const STORAGE = /^([^/]+)\/data\/([^/]+)$/;

/** Scans a zip. @returns the kind of its content */
export async function scanZip(scanner: Scanner, { reader: zip, place, depth }: Subject): Promise<string> {
  const { entries, start, contradiction } = await readDirectory(zip);
  if (contradiction !== undefined) scanner.add("contradiction", `the zip directory: ${contradiction}`, place);
  const reader = new ReadAhead(zip);
  checkNames(scanner, entries, place);
  const contents = await checkLayout(scanner, reader, entries, start, place);
  scanner.records += entries.length;
  // The pickles are read first, because they say which records are storages.
  const storages = new Map<string, NamedStorage>();
  for (const entry of entries) {
    if (STORAGE.test(entry.name) || entry.name.endsWith("/")) continue;
    const within = inside(place, entry.name);
    if (/(?:^|\/)code\/.*\.py$/.test(entry.name)) scanner.add("program", "TorchScript code", within);
    else {
      const found = await scanRecord(scanner, contents.get(entry), entry, within, depth);
      for (const storage of found) storages.set(`${entry.name.split("/")[0]}/${storage.key}`, storage);
    }
  }
  for (const entry of entries) {
    const [, root, key] = STORAGE.exec(entry.name) ?? [];
    if (root === undefined) continue;
    const storage = storages.get(`${root}/${key}`);
    const within = inside(place, entry.name);
    if (storage === undefined) await scanRecord(scanner, contents.get(entry), entry, within, depth);
    else checkStorage(scanner, entry, storage, within);
  }
  return entries.some(({ name }) => /^[^/]+\/data\.pkl$/.test(name)) ? "torch zip" : "zip";
}

function checkNames(scanner: Scanner, entries: readonly ZipEntry[], place: Place): void {
  const seen = new Map<string, string>();
  for (const { name } of entries) {
    // Torch's reader looks records up without regard to case.
    const other = seen.get(name.toLowerCase());
    if (other === undefined) seen.set(name.toLowerCase(), name);
    else {
      const what =
        other === name ? "two records of this name" : `its name differs only in case from ${other}`;
      scanner.add("contradiction", what, inside(place, name));
    }
  }
}

/**
 * Compares the directory with the local headers, and looks for bytes between the records.
 * @returns the content of each record that can be found
 */
async function checkLayout(
  scanner: Scanner,
  reader: RangeReader,
  entries: readonly ZipEntry[],
  directory: number,
  place: Place,
): Promise<Map<ZipEntry, RangeReader>> {
  const contents = new Map<ZipEntry, RangeReader>();
  let end = 0;
  let gaps: readonly number[] = [0];
  for (const entry of entries.slice().sort((a, b) => a.offset - b.offset)) {
    const within = inside(place, entry.name);
    const wrong = (what: string) => scanner.add("contradiction", what, within, entry.offset);
    const gap = entry.offset - end;
    if (!gaps.includes(gap)) {
      wrong(gap < 0 ? `begins inside the record before it` : `${gap} bytes before it belong to no record`);
    }
    const header = await localHeader(reader, entry).catch((error: unknown) => {
      if (!isVistaError(error)) throw error;
      return undefined;
    });
    if (header === undefined) {
      wrong("there is no local header where the directory says");
      continue;
    }
    for (const what of header.differences) wrong(what);
    end = header.contentStart + entry.compressedSize;
    gaps = header.hasDescriptor ? DESCRIPTORS : [0];
    try {
      contents.set(entry, new Slice(reader, header.contentStart, entry.compressedSize));
    } catch (error) {
      if (!isVistaError(error)) throw error;
      wrong(`its content leaves the file: ${messageWithin(error, place)}`);
    }
  }
  // A zip64 end record comes after the directory, not before it, so no bytes may be here.
  if (entries.length > 0 && !gaps.includes(directory - end)) {
    const what = `${directory - end} bytes before the zip directory belong to no record`;
    scanner.add("contradiction", what, place);
  }
  return contents;
}

async function localHeader(reader: RangeReader, entry: ZipEntry) {
  const header = Buffer.alloc(LOCAL_HEADER);
  await reader.read(header, entry.offset);
  if (header.readUInt32LE(0) !== 0x04034b50) return undefined;
  const flags = header.readUInt16LE(6);
  const method = header.readUInt16LE(8);
  const crc = header.readUInt32LE(14);
  const compressed = header.readUInt32LE(18);
  const size = header.readUInt32LE(22);
  const nameLength = header.readUInt16LE(26);
  const name = Buffer.alloc(nameLength);
  await reader.read(name, entry.offset + LOCAL_HEADER);
  const differences: string[] = [];
  const hasDescriptor = (flags & 8) !== 0;
  const differ = (what: string, local: number | string, central: number | string) => {
    if (local !== central)
      differences.push(`${what} is ${local} in the local header, ${central} in the directory`);
  };
  differ("its name", name.toString("utf8"), entry.name);
  differ("the method", method, entry.method);
  if ((flags & 1) !== 0 || entry.encrypted) differences.push("the headers say that it is encrypted");
  const zip64 = compressed === U32_MAX || size === U32_MAX;
  if (!(hasDescriptor && crc === 0)) differ("the CRC-32", crc, entry.crc32);
  if (!zip64 && !(hasDescriptor && compressed === 0)) differ("the size", compressed, entry.compressedSize);
  if (!zip64 && !(hasDescriptor && size === 0)) differ("the full size", size, entry.size);
  if (entry.method === 0 && entry.compressedSize !== entry.size)
    differ("a stored record's full size", entry.size, entry.compressedSize);
  const contentStart = entry.offset + LOCAL_HEADER + nameLength + header.readUInt16LE(28);
  return { differences, hasDescriptor, contentStart };
}

/** Scans a record that is no storage. @returns the storages that a pickle in it names */
async function scanRecord(
  scanner: Scanner,
  stored: RangeReader | undefined,
  entry: ZipEntry,
  place: Place,
  depth: number,
): Promise<readonly NamedStorage[]> {
  if (stored === undefined) return [];
  const isStored = entry.method === 0;
  const unparsed = (what: string): [] => {
    scanner.add("unparsed", what, place);
    return [];
  };
  if (!isStored && entry.method !== 8) return unparsed(`compressed by method ${entry.method}`);
  if (stored.size > PICKLE_LIMITS.size)
    return unparsed(`${stored.size} bytes that are no storage, the limit is ${PICKLE_LIMITS.size}`);
  let bytes = Buffer.allocUnsafeSlow(stored.size);
  await stored.read(bytes, 0);
  if (!isStored) {
    try {
      const left = MAX_INFLATED - scanner.inflated;
      bytes = inflateRawSync(bytes, { maxOutputLength: Math.max(1, Math.min(entry.size, left)) });
      scanner.inflated += bytes.length;
    } catch (error) {
      return unparsed(`cannot be decompressed to ${entry.size} bytes: ${(error as Error).message}`);
    }
    const inflated = `${bytes.length} bytes decompressed, the directory says ${entry.size}`;
    if (bytes.length !== entry.size) scanner.add("contradiction", inflated, place);
  }
  // A CRC-32 of 0 means "not computed" (torch.serialization.set_crc32_options(False)).
  const crc = crc32(bytes);
  if (entry.crc32 !== 0 && crc !== entry.crc32)
    scanner.add(
      "contradiction",
      `its CRC-32 is ${hexCrc32(crc)}, the directory says ${hexCrc32(entry.crc32)}`,
      place,
    );
  const reader = new InMemory(place.path, bytes);
  return (await scanner.content({ reader, place, depth: depth + 1 })).storages ?? [];
}

function checkStorage(scanner: Scanner, entry: ZipEntry, storage: NamedStorage, place: Place): void {
  if (entry.method !== 0) scanner.add("contradiction", "a storage that is compressed", place);
  const length = storageLength(storage);
  if (length !== undefined && length !== entry.size)
    scanner.add("contradiction", `a storage of ${entry.size} bytes, the pickle says ${length}`, place);
}
