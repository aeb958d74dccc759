/** Tells what bytes are, by their content and never by a name, and looks into each kind. */
import { isUtf8 } from "node:buffer";
import { isVistaError, messageWithin } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";
import { jsonOf } from "../../core/text.js";
import { looksLikeSafetensors, MAX_HEADER } from "../safetensors/form.js";
import { checkLayout, parseHeader } from "../safetensors/header.js";
import { torchForm } from "../torch/form.js";
import { LEGACY_MAGIC } from "../torch/legacy.js";
import { PICKLE_LIMITS } from "../torch/limits.js";
import { asItems } from "../torch/objects.js";
import { endsAsZip } from "../torch/zip-directory.js";
import { scanZip } from "./archive.js";
import { inside, type Place } from "./findings.js";
import { NPY_MAGIC, scanNpy } from "./npy.js";
import { notePickle, type ReadPickle, scanPickles, tryPickle } from "./pickles.js";
import { beginning, InMemory, Slice } from "./readers.js";
import { type Content, type Scanner, type Subject, storageLength } from "./scanner.js";

/** The greatest depth of pickles in zips in pickles and so on. Real ones go three deep (a tensor's bytes in a DCP item). */
const MAX_DEPTH = 8;

/** The largest size in bytes of text that may be beside checkpoints: configs, scripts, logs. */
const MAX_TEXT = 64 * 2 ** 20;

/** The number of bytes that are read at once where there should be only zeros. */
const ZEROS = 256 * 1024;

/** Looks into bytes of any kind. What is in them never makes it throw: what cannot be read is a finding. */
export async function scanContent(scanner: Scanner, subject: Subject): Promise<Content> {
  const { place, depth } = subject;
  scanner.throwIfAborted();
  if (depth > MAX_DEPTH) {
    scanner.add("unparsed", `nested more than ${MAX_DEPTH} deep`, place);
    return { kind: "nested too deep" };
  }
  try {
    return await lookInto(scanner, subject);
  } catch (error) {
    if (!isVistaError(error) || error.code === "ABORTED") throw error;
    scanner.add("unparsed", messageWithin(error, place), place);
    return { kind: "unreadable" };
  }
}

async function lookInto(scanner: Scanner, subject: Subject): Promise<Content> {
  const { reader, place } = subject;
  const head = await beginning(reader, 512);
  if (head.length === 0) return { kind: "empty" };
  const magic = head.length >= 4 ? head.readUInt32LE(0) : 0;
  if (magic === 0x04034b50 || magic === 0x06054b50) {
    return { kind: await scanZip(scanner, subject) };
  }
  if (await endsAsZip(reader)) {
    // Python's zipfile reads such a file as a zip, torch reads it as a pickle.
    scanner.add("contradiction", "ends as a zip does and does not begin as one", place);
    await scanZip(scanner, subject).catch((error: unknown) => {
      if (!isVistaError(error)) throw error;
      scanner.add("unparsed", messageWithin(error, place), place);
    });
  }
  if (looksLikeSafetensors(head)) return scanSafetensors(scanner, subject);
  if (head.subarray(0, 6).equals(NPY_MAGIC)) return scanNpy(scanner, subject);
  if (head.toString("latin1", 257, 262) === "ustar") return scanTar(scanner, subject);
  if (torchForm(head) === "legacy" && tryPickle(head, 0, place).value === LEGACY_MAGIC)
    return scanLegacy(scanner, subject);
  return scanOther(scanner, subject);
}

/** Checks the layout of a safetensors file, which holds JSON and numbers: nothing in it is ever run. */
async function scanSafetensors(scanner: Scanner, { reader, place }: Subject): Promise<Content> {
  const length = Number((await beginning(reader, 8)).readBigUInt64LE(0));
  const header = Buffer.alloc(Math.min(length, MAX_HEADER));
  await reader.read(header, 8);
  const end = 8 + length + checkLayout(parseHeader(header, place.path).entries, place.path);
  // A file with something behind its end may be another file too.
  if (end !== reader.size) {
    scanner.add("contradiction", `its tensors end at ${end}, there are ${reader.size} bytes`, place);
  }
  return { kind: "safetensors" };
}

/** Looks into each member of a tar, which is torch's form before 0.1.10, or an archive of anything. */
async function scanTar(scanner: Scanner, { reader, place, depth }: Subject): Promise<Content> {
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
      return { kind: "tar" };
    }
    const content = () => new Slice(reader, at + 512, size);
    if (size > 0) await scanContent(scanner, { reader: content(), place: member, depth: depth + 1 });
    at += 512 + 512 * Math.ceil(size / 512);
  }
  // Behind its end a tar has zeros, which fill its last block; anything else is in no member.
  const behind = await firstNonZero(reader, at);
  if (behind !== undefined)
    scanner.add(
      "contradiction",
      `bytes behind the end of the tar, byte ${at}, belong to no member`,
      place,
      behind,
    );
  return { kind: "tar" };
}

/** Returns the place of the first byte from `start` on that is not 0, if there is one. */
async function firstNonZero(reader: RangeReader, start: number): Promise<number | undefined> {
  for (let at = start; at < reader.size; at += ZEROS) {
    const bytes = Buffer.alloc(Math.min(ZEROS, reader.size - at));
    await reader.read(bytes, at);
    const found = bytes.findIndex((byte) => byte !== 0);
    if (found >= 0) return at + found;
  }
  return undefined;
}

/** Looks into torch's form before 1.6: five pickles, then for each storage a count and its bytes, to the end of the file. */
async function scanLegacy(scanner: Scanner, subject: Subject): Promise<Content> {
  const { reader, place } = subject;
  for (let window = 2 ** 20; ; window *= 4) {
    const data = await beginning(reader, window);
    const whole = data.length === reader.size || window >= PICKLE_LIMITS.size;
    const pickles: ReadPickle[] = [];
    let at: number | undefined = 0;
    for (let i = 0; i < 5 && at !== undefined; i++) {
      pickles.push(tryPickle(data, at, place));
      at = pickles.at(-1)!.end;
    }
    if (at === undefined && !whole) continue;
    for (const pickle of pickles) await notePickle(scanner, pickle, subject);
    if (at !== undefined) checkStorages(scanner, pickles, reader.size - at, place);
    return { kind: "legacy torch" };
  }
}

function checkStorages(scanner: Scanner, pickles: readonly ReadPickle[], left: number, place: Place): void {
  const byKey = new Map(pickles.flatMap(({ storages }) => storages.map((storage) => [storage.key, storage])));
  const keys = asItems(pickles.at(-1)!.value);
  if (keys === undefined || new Set(keys).size !== keys.length) {
    scanner.add("unparsed", "the list of storages is none", place);
    return;
  }
  let needed = 0;
  for (const key of keys) {
    const storage = byKey.get(String(key));
    const length = storage && storageLength(storage);
    if (length === undefined) {
      scanner.add("unparsed", "a storage of unknown size", place);
      return;
    }
    needed += 8 + length;
  }
  if (needed !== left) {
    scanner.add("contradiction", `${left} bytes behind the pickles, its storages need ${needed}`, place);
  }
}

/** Looks into pickles one after the other, JSON or text; anything else is reported as not understood. */
async function scanOther(scanner: Scanner, subject: Subject): Promise<Content> {
  const { reader, place } = subject;
  const size = Math.min(reader.size, PICKLE_LIMITS.size);
  const data = await beginning(reader, size);
  const isText = data.length === reader.size && data.length <= MAX_TEXT && isPrintable(data);
  if (isText && isJson(data)) return { kind: "JSON" };
  const first = tryPickle(data, 0, place);
  // A pickle of protocol 0 is text, but it names modules as Python spells them, or comes to its end.
  const names = first.names.some(
    ({ module, qualname }) => /^[\w.]+$/.test(module) && /^[\w.]+$/.test(qualname),
  );
  if (isText && first.end === undefined && !names) return { kind: "text" };
  const isPickle = data[0] === 0x80 || first.end !== undefined || names;
  if (!isPickle) {
    const begins = JSON.stringify(data.toString("latin1", 0, 12));
    scanner.add("not-understood", `${reader.size} bytes that begin with ${begins}`, place);
    return { kind: "unknown" };
  }
  await notePickle(scanner, first, subject);
  if (first.end === undefined) return { kind: "pickle", storages: first.storages };
  if (first.end < reader.size)
    await scanPickles(scanner, { ...subject, reader: new InMemory(place.path, data) }, first.end);
  if (reader.size > size) scanner.add("unparsed", `only the first ${size} bytes were looked at`, place);
  return { kind: "pickle", storages: first.storages };
}

function isPrintable(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false;
  for (const byte of bytes) {
    if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return false;
  }
  return true;
}

function isJson(bytes: Buffer): boolean {
  return /^\s*[{[]/.test(bytes.toString("latin1", 0, 64)) && jsonOf(bytes.toString("utf8")) !== undefined;
}
