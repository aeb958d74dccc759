/** Tells what bytes are, by their content and never by a name, and looks into each kind. */
import { isUtf8 } from "node:buffer";
import { isVistaError } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";
import { checkLayout, MAX_HEADER, parseHeader } from "../safetensors/header.js";
import { looksLikeSafetensors } from "../safetensors/read.js";
import { dtypeInfo, dtypeOfStorage } from "../tensor/dtype.js";
import { torchForm } from "../torch/form.js";
import { LEGACY_MAGIC } from "../torch/legacy.js";
import { PICKLE_LIMITS } from "../torch/limits.js";
import { asItems } from "../torch/objects.js";
import { endsAsZip } from "../torch/zip-directory.js";
import { scanZip } from "./archive.js";
import { inside, type Place, withoutPlace } from "./findings.js";
import { notePickle, scanPickle, tryPickle } from "./pickles.js";
import { beginning, InMemory, Slice } from "./readers.js";
import type { Content, NamedStorage, Scanner } from "./scanner.js";

/** The greatest depth of pickles in zips in pickles and so on. Real ones go three deep (a tensor's bytes in a DCP item). */
const MAX_DEPTH = 8;

/**
 * The largest number of pickles of one file. Real ones have up to 3,000, one for each parameter of a universal checkpoint's
 * archive.
 */
const MAX_PICKLES = 200_000;

/** The largest size in bytes of text that may be beside checkpoints: configs, scripts, logs. */
const MAX_TEXT = 64 * 2 ** 20;

const NOTHING = { storages: [] as readonly NamedStorage[] };

/** Looks into bytes of any kind. What is in them never makes it throw: what cannot be read is a finding. */
export async function scanContent(
  scanner: Scanner,
  reader: RangeReader,
  place: Place,
  depth: number,
): Promise<Content> {
  scanner.throwIfAborted();
  if (depth > MAX_DEPTH) {
    scanner.add("unparsed", `nested more than ${MAX_DEPTH} deep`, place);
    return { kind: "nested too deep", ...NOTHING };
  }
  try {
    return await lookInto(scanner, reader, place, depth);
  } catch (error) {
    if (!isVistaError(error) || error.code === "ABORTED") throw error;
    scanner.add("unparsed", withoutPlace(error.message, place), place);
    return { kind: "unreadable", ...NOTHING };
  }
}

async function lookInto(
  scanner: Scanner,
  reader: RangeReader,
  place: Place,
  depth: number,
): Promise<Content> {
  const head = await beginning(reader, 512);
  if (head.length === 0) return { kind: "empty", ...NOTHING };
  const magic = head.length >= 4 ? head.readUInt32LE(0) : 0;
  if (magic === 0x04034b50 || magic === 0x06054b50) {
    return { kind: await scanZip(scanner, reader, place, depth), ...NOTHING };
  }
  if (await endsAsZip(reader)) {
    // Python's zipfile reads such a file as a zip, torch reads it as a pickle.
    scanner.add("contradiction", "ends as a zip does and does not begin as one", place);
    await scanZip(scanner, reader, place, depth).catch((error: unknown) => {
      if (!isVistaError(error)) throw error;
      scanner.add("unparsed", withoutPlace(error.message, place), place);
    });
  }
  if (looksLikeSafetensors(head)) return scanSafetensors(scanner, reader, place);
  if (head.subarray(0, 6).equals(Buffer.from("\x93NUMPY", "latin1")))
    return scanNpy(scanner, reader, place, depth);
  if (head.toString("latin1", 257, 262) === "ustar") return scanTar(scanner, reader, place, depth);
  if (torchForm(head) === "legacy" && tryPickle(head, 0, place).value === LEGACY_MAGIC)
    return scanLegacy(scanner, reader, place, depth);
  return scanOther(scanner, reader, place, depth);
}

/** Checks the layout of a safetensors file, which holds JSON and numbers: nothing in it is ever run. */
async function scanSafetensors(scanner: Scanner, reader: RangeReader, place: Place): Promise<Content> {
  const length = Number((await beginning(reader, 8)).readBigUInt64LE(0));
  const header = Buffer.alloc(Math.min(length, MAX_HEADER));
  await reader.read(header, 8);
  const end = 8 + length + checkLayout(parseHeader(header, place.path).entries, place.path);
  // A file with something behind its end may be another file too.
  if (end !== reader.size) {
    scanner.add("contradiction", `its tensors end at ${end}, there are ${reader.size} bytes`, place);
  }
  return { kind: "safetensors", ...NOTHING };
}

/** Looks into a file of NumPy, where an array of objects is a pickle behind a header. */
async function scanNpy(scanner: Scanner, reader: RangeReader, place: Place, depth: number): Promise<Content> {
  const head = await beginning(reader, 12);
  const version = head[6]!;
  const wide = version >= 2;
  const start = (wide ? 12 : 10) + (wide ? head.readUInt32LE(8) : head.readUInt16LE(8));
  const header = (await beginning(reader, Math.min(start, 2 ** 20))).toString("latin1", wide ? 12 : 10);
  const descr = /'descr':\s*('[^']*'|\[[^\]]*\])/.exec(header)?.[1];
  if (descr === undefined || start > 2 ** 20)
    scanner.add("unparsed", "an npy header that cannot be read", place);
  else if (/O/.test(descr)) {
    return {
      ...(await scanRest(scanner, reader, start, inside(place, "objects"), depth)),
      kind: "npy of objects",
    };
  }
  return { kind: "npy", ...NOTHING };
}

/** Looks into each member of a tar, which is torch's form before 0.1.10, or an archive of anything. */
async function scanTar(scanner: Scanner, reader: RangeReader, place: Place, depth: number): Promise<Content> {
  let at = 0;
  while (at + 512 <= reader.size) {
    const header = Buffer.alloc(512);
    await reader.read(header, at);
    if (header.every((byte) => byte === 0)) break;
    const text = (from: number, to: number) => header.toString("latin1", from, to).split("\0")[0]!.trim();
    const size = /^[0-7]+$/.test(text(124, 136)) ? Number.parseInt(text(124, 136), 8) : undefined;
    const member = inside(place, text(0, 100));
    scanner.records++;
    if (size === undefined) {
      scanner.add("unparsed", "a tar header that cannot be read", member, at);
      return { kind: "tar", ...NOTHING };
    }
    if (size > 0) await scanContent(scanner, new Slice(reader, at + 512, size), member, depth + 1);
    at += 512 + 512 * Math.ceil(size / 512);
  }
  return { kind: "tar", ...NOTHING };
}

/** Looks into torch's form before 1.6: five pickles, then for each storage a count and its bytes, to the end of the file. */
async function scanLegacy(
  scanner: Scanner,
  reader: RangeReader,
  place: Place,
  depth: number,
): Promise<Content> {
  for (let window = 2 ** 20; ; window *= 4) {
    const data = await beginning(reader, window);
    const whole = data.length === reader.size || window >= PICKLE_LIMITS.size;
    const pickles: ReturnType<typeof tryPickle>[] = [];
    let at: number | undefined = 0;
    for (let i = 0; i < 5 && at !== undefined; i++) {
      pickles.push(tryPickle(data, at, place));
      at = pickles.at(-1)!.end;
    }
    if (at === undefined && !whole) continue;
    for (const pickle of pickles) await notePickle(scanner, pickle, place, depth);
    if (at !== undefined) checkStorages(scanner, pickles, reader.size - at, place);
    return { kind: "legacy torch", ...NOTHING };
  }
}

function checkStorages(
  scanner: Scanner,
  pickles: readonly ReturnType<typeof tryPickle>[],
  left: number,
  place: Place,
): void {
  const byKey = new Map(pickles.flatMap(({ storages }) => storages.map((storage) => [storage.key, storage])));
  const keys = asItems(pickles.at(-1)!.value);
  if (keys === undefined || new Set(keys).size !== keys.length) {
    scanner.add("unparsed", "the list of storages is none", place);
    return;
  }
  let needed = 0;
  for (const key of keys) {
    const { cls, numel } = byKey.get(String(key)) ?? {};
    const dtype = dtypeOfStorage(cls ?? "");
    if (numel === undefined || (dtype === undefined && cls !== "UntypedStorage")) {
      scanner.add("unparsed", "a storage of unknown size", place);
      return;
    }
    needed += 8 + (dtype === undefined ? numel : (numel * dtypeInfo(dtype).bits) / 8);
  }
  if (needed !== left) {
    scanner.add("contradiction", `${left} bytes behind the pickles, its storages need ${needed}`, place);
  }
}

/** Looks into pickles one after the other, JSON or text; anything else is reported as not understood. */
async function scanOther(
  scanner: Scanner,
  reader: RangeReader,
  place: Place,
  depth: number,
): Promise<Content> {
  const size = Math.min(reader.size, PICKLE_LIMITS.size);
  const data = await beginning(reader, size);
  const isText = data.length === reader.size && data.length <= MAX_TEXT && isPrintable(data);
  if (isText && isJson(data)) return { kind: "JSON", ...NOTHING };
  const first = tryPickle(data, 0, place);
  // A pickle of protocol 0 is text, but it names modules as Python spells them, or comes to its end.
  const names = first.names.some(
    ({ module, qualname }) => /^[\w.]+$/.test(module) && /^[\w.]+$/.test(qualname),
  );
  if (isText && first.end === undefined && !names) return { kind: "text", ...NOTHING };
  const isPickle = data[0] === 0x80 || first.end !== undefined || names;
  if (!isPickle) {
    const begins = JSON.stringify(data.toString("latin1", 0, 12));
    scanner.add("not-understood", `${reader.size} bytes that begin with ${begins}`, place);
    return { kind: "unknown", ...NOTHING };
  }
  await notePickle(scanner, first, place, depth);
  if (first.end === undefined) return { kind: "pickle", storages: first.storages };
  if (first.end < reader.size)
    await scanRest(scanner, new InMemory(place.path, data), first.end, place, depth);
  if (reader.size > size) scanner.add("unparsed", `only the first ${size} bytes were looked at`, place);
  return { kind: "pickle", storages: first.storages };
}

/** Looks into the pickles from `start` to the end, which a program reads that calls pickle.load again. */
async function scanRest(
  scanner: Scanner,
  reader: RangeReader,
  start: number,
  place: Place,
  depth: number,
): Promise<Content> {
  const data = await beginning(reader, Math.min(reader.size, PICKLE_LIMITS.size));
  const storages: NamedStorage[] = [];
  let at: number | undefined = start;
  while (at !== undefined && at < data.length) {
    scanner.throwIfAborted();
    if (scanner.pickles >= MAX_PICKLES) {
      scanner.add("unparsed", `more than ${MAX_PICKLES} pickles`, place, at);
      break;
    }
    const { end, storages: named } = await scanPickle(scanner, data, at, place, depth);
    storages.push(...named);
    at = end;
  }
  return { kind: "pickle", storages };
}

function isPrintable(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false;
  for (const byte of bytes) {
    if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return false;
  }
  return true;
}

function isJson(bytes: Buffer): boolean {
  if (!/^\s*[{[]/.test(bytes.toString("latin1", 0, 64))) return false;
  try {
    JSON.parse(bytes.toString("utf8"));
    return true;
  } catch {
    return false;
  }
}
