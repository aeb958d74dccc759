/**
 * Scans zips. Each record is looked at, whatever its name, and the statements of its two headers are compared. Scanners were
 * passed by with wrong CRCs, flag bits and names that only one of the readers minds, so every such difference is a finding, and
 * the record is looked into all the same.
 */
import { inflateRawSync } from "node:zlib";
import { isVistaError } from "../../core/errors.js";
import { crc32 } from "../../core/io/crc32.js";
import type { RangeReader } from "../../core/io/source.js";
import { dtypeInfo, dtypeOfStorage } from "../tensor/dtype.js";
import { PICKLE_LIMITS } from "../torch/limits.js";
import { readDirectory, type ZipEntry } from "../torch/zip-directory.js";
import { inside, type Place, withoutPlace } from "./findings.js";
import { InMemory, ReadAhead, Slice } from "./readers.js";
import type { NamedStorage, Scanner } from "./scanner.js";

const LOCAL_HEADER = 30;

/** The possible lengths in bytes of the data descriptor behind a record whose local header leaves sizes and CRC out. */
const DESCRIPTORS = [0, 12, 16, 20, 24];

/** The largest number of bytes that all compressed records of a file together may become; torch itself compresses nothing. */
const MAX_INFLATED = 256 * 2 ** 20;

const STORAGE = /^([^/]+)\/data\/([^/]+)$/;

export async function scanZip(
  scanner: Scanner,
  zip: RangeReader,
  place: Place,
  depth: number,
): Promise<string> {
  const { entries, start, contradiction } = await readDirectory(zip);
  if (contradiction !== undefined) scanner.add("contradiction", `the zip directory: ${contradiction}`, place);
  const reader = new ReadAhead(zip);
  checkNames(scanner, entries, place);
  const contents = await checkLayout(scanner, reader, entries, start, place);
  scanner.records += entries.length;
  // The pickles are read first, because they say which records are storages.
  const storages = new Map<string, NamedStorage>();
  const later: [ZipEntry, string, string][] = [];
  for (const entry of entries) {
    const [, root, key] = STORAGE.exec(entry.name) ?? [];
    if (root !== undefined && key !== undefined) {
      later.push([entry, root, key]);
      continue;
    }
    if (entry.name.endsWith("/")) continue;
    const within = inside(place, entry.name);
    if (/(?:^|\/)code\/.*\.py$/.test(entry.name)) scanner.add("program", "TorchScript code", within);
    else {
      const found = await scanRecord(scanner, contents, entry, within, depth);
      for (const storage of found) storages.set(`${entry.name.split("/")[0]}/${storage.key}`, storage);
    }
  }
  for (const [entry, root, key] of later) {
    const storage = storages.get(`${root}/${key}`);
    const within = inside(place, entry.name);
    if (storage === undefined) await scanRecord(scanner, contents, entry, within, depth);
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
 * @returns the content of each record; `undefined` where it cannot be found
 */
async function checkLayout(
  scanner: Scanner,
  reader: RangeReader,
  entries: readonly ZipEntry[],
  directory: number,
  place: Place,
): Promise<Map<ZipEntry, RangeReader | undefined>> {
  const contents = new Map<ZipEntry, RangeReader | undefined>();
  let end = 0;
  let gaps: readonly number[] = [0];
  for (const entry of entries.slice().sort((a, b) => a.offset - b.offset)) {
    const within = inside(place, entry.name);
    const wrong = (what: string) => scanner.add("contradiction", what, within, entry.offset);
    const gap = entry.offset - end;
    if (!gaps.includes(gap)) {
      wrong(gap < 0 ? `begins inside the record before it` : `${gap} bytes before it belong to no record`);
    }
    let header: Awaited<ReturnType<typeof localHeader>>;
    try {
      header = await localHeader(reader, entry);
    } catch (error) {
      if (!isVistaError(error)) throw error;
      header = undefined;
    }
    if (header === undefined) {
      wrong("there is no local header where the directory says");
      contents.set(entry, undefined);
      continue;
    }
    for (const what of header.differences) wrong(what);
    end = header.contentStart + entry.compressedSize;
    gaps = header.hasDescriptor ? DESCRIPTORS : [0];
    try {
      contents.set(entry, new Slice(reader, header.contentStart, entry.compressedSize));
    } catch (error) {
      if (!isVistaError(error)) throw error;
      wrong(`its content leaves the file: ${withoutPlace(error.message, place)}`);
      contents.set(entry, undefined);
    }
  }
  // A zip64 end record comes after the directory, not before it, so no bytes may be here.
  if (entries.length > 0 && !gaps.includes(directory - end)) {
    scanner.add(
      "contradiction",
      `${directory - end} bytes before the zip directory belong to no record`,
      place,
    );
  }
  return contents;
}

async function localHeader(reader: RangeReader, entry: ZipEntry) {
  const header = Buffer.alloc(LOCAL_HEADER);
  await reader.read(header, entry.offset);
  if (header.readUInt32LE(0) !== 0x04034b50) return undefined;
  const flags = header.readUInt16LE(6);
  const method = header.readUInt16LE(8);
  const [crc, compressed, size] = [14, 18, 22].map((at) => header.readUInt32LE(at)) as [
    number,
    number,
    number,
  ];
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
  const zip64 = compressed === 0xffffffff || size === 0xffffffff;
  if (!(hasDescriptor && crc === 0)) differ("the CRC-32", crc, entry.crc32);
  if (!zip64 && !(hasDescriptor && compressed === 0)) differ("the size", compressed, entry.compressedSize);
  if (!zip64 && !(hasDescriptor && size === 0)) differ("the full size", size, entry.size);
  if (entry.method === 0 && entry.compressedSize !== entry.size)
    differ("a stored record's full size", entry.size, entry.compressedSize);
  const contentStart = entry.offset + LOCAL_HEADER + nameLength + header.readUInt16LE(28);
  return { differences, hasDescriptor, contentStart };
}

/**
 * Scans a record that is no storage.
 * @returns the storages that a pickle in it names
 */
async function scanRecord(
  scanner: Scanner,
  contents: ReadonlyMap<ZipEntry, RangeReader | undefined>,
  entry: ZipEntry,
  place: Place,
  depth: number,
): Promise<readonly NamedStorage[]> {
  const stored = contents.get(entry);
  if (stored === undefined) return [];
  const isStored = entry.method === 0;
  if (!isStored && entry.method !== 8) {
    scanner.add("unparsed", `compressed by method ${entry.method}`, place);
    return [];
  }
  if (stored.size > PICKLE_LIMITS.size) {
    scanner.add(
      "unparsed",
      `${stored.size} bytes that are no storage, the limit is ${PICKLE_LIMITS.size}`,
      place,
    );
    return [];
  }
  let bytes = Buffer.allocUnsafeSlow(stored.size);
  await stored.read(bytes, 0);
  if (!isStored) {
    try {
      const left = MAX_INFLATED - scanner.inflated;
      bytes = inflateRawSync(bytes, { maxOutputLength: Math.max(1, Math.min(entry.size, left)) });
      scanner.inflated += bytes.length;
    } catch (error) {
      scanner.add(
        "unparsed",
        `cannot be decompressed to ${entry.size} bytes: ${(error as Error).message}`,
        place,
      );
      return [];
    }
    if (bytes.length !== entry.size)
      scanner.add(
        "contradiction",
        `${bytes.length} bytes decompressed, the directory says ${entry.size}`,
        place,
      );
  }
  // A CRC-32 of 0 means "not computed" (torch.serialization.set_crc32_options(False)).
  const crc = crc32(bytes);
  if (entry.crc32 !== 0 && crc !== entry.crc32)
    scanner.add("contradiction", `its CRC-32 is ${hex(crc)}, the directory says ${hex(entry.crc32)}`, place);
  return (await scanner.content(new InMemory(place.path, bytes), place, depth + 1)).storages;
}

function checkStorage(scanner: Scanner, entry: ZipEntry, { cls, numel }: NamedStorage, place: Place): void {
  const dtype = dtypeOfStorage(cls);
  if (entry.method !== 0) scanner.add("contradiction", "a storage that is compressed", place);
  if (numel === undefined || (dtype === undefined && cls !== "UntypedStorage")) return;
  const length = dtype === undefined ? numel : (numel * dtypeInfo(dtype).bits) / 8;
  if (length !== entry.size)
    scanner.add("contradiction", `a storage of ${entry.size} bytes, the pickle says ${length}`, place);
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0");
}
