/**
 * Reads the header of a safetensors file, and checks every rule that the reference checks before it trusts a byte.
 *
 * Source: safetensors/src/tensor.rs (read_metadata, Metadata::validate).
 */
import { isUtf8 } from "node:buffer";
import { incompleteFile, VistaError, type Where } from "../../core/errors.js";
import type { SourceFile } from "../../core/io/source.js";
import { JsonSyntaxError } from "../../core/json/scan.js";
import { byteLengthOf, type DType, isDType } from "../tensor/dtype.js";
import { MAX_HEADER, MAX_TENSORS, METADATA } from "./form.js";
import { JsonScanner, shownName } from "./json.js";

export interface HeaderEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The first byte of the tensor, counted from the end of the header; `end` is the byte after its last. */
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** The tensors, in the order of their bytes. */
  readonly entries: readonly HeaderEntry[];
  /** The metadata, text by key; `undefined` where the file has none. */
  readonly metadata: ReadonlyMap<string, string> | undefined;
  /** The position of the first tensor byte in the file. */
  readonly dataStart: number;
}

function damaged(what: string, where: Where): VistaError {
  const hint = "The file is damaged or was not written by a safetensors library: copy or convert it again.";
  return new VistaError("FORMAT", what, { ...where, hint });
}

/** Reads and checks the header of an open file. @throws VistaError `TRUNCATED`, `FORMAT` */
export async function readHeader(file: SourceFile): Promise<SafetensorsHeader> {
  const { path, size } = file;
  if (size < 8) {
    throw incompleteFile(`the file has ${size} bytes; a safetensors file begins with 8`, { path });
  }
  const head = Buffer.alloc(8);
  await file.read(head, 0);
  const stated = head.readBigUInt64LE(0);
  if (stated > BigInt(MAX_HEADER)) {
    throw new VistaError("FORMAT", `the header claims ${stated} bytes, the limit is ${MAX_HEADER}`, {
      path,
      hint: "It is no safetensors file, or its first bytes are damaged.",
    });
  }
  const length = Number(stated);
  if (8 + length > size) {
    throw incompleteFile(`the header ends at byte ${8 + length}, the file has ${size} bytes`, { path });
  }
  const bytes = Buffer.allocUnsafeSlow(length);
  await file.read(bytes, 8);
  const { entries, metadata } = parseHeader(bytes, path);
  const dataStart = 8 + length;
  const end = dataStart + checkLayout(entries, path);
  if (end !== size) {
    const what = `the tensors end at byte ${end}, the file has ${size} bytes`;
    if (end < size) throw damaged(`${what}: ${size - end} belong to nothing`, { path });
    throw incompleteFile(`${what}: ${end - size} are missing`, { path });
  }
  return { entries, metadata, dataStart };
}

/**
 * Parses the JSON of a header (without its length).
 * @returns the entries sorted by their bytes, on which {@link checkLayout} has not been called, and the metadata
 * @throws VistaError `FORMAT`
 */
export function parseHeader(
  bytes: Buffer,
  path: string,
): { entries: HeaderEntry[]; metadata: Map<string, string> | undefined } {
  if (!isUtf8(bytes)) {
    throw damaged("the header is not valid UTF-8", { path, offset: 8 });
  }
  const entries: HeaderEntry[] = [];
  let metadata: Map<string, string> | undefined;
  const scanner = new JsonScanner(bytes);
  try {
    scanner.object("the header", (name, at) => {
      if (name === METADATA) metadata = readMetadata(scanner);
      else if (entries.length >= MAX_TENSORS)
        throw new JsonSyntaxError(at, `more than ${MAX_TENSORS} tensors`);
      else entries.push(readEntry(scanner, name, at));
    });
    scanner.end();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw damaged(`the header breaks a rule: ${error.message}`, { path, offset: 8 + error.at });
  }
  entries.sort((a, b) => a.start - b.start || a.end - b.end);
  return { entries, metadata };
}

function readMetadata(scanner: JsonScanner): Map<string, string> | undefined {
  if (scanner.isNull()) return undefined;
  const metadata = new Map<string, string>();
  scanner.object(METADATA, (key) => {
    metadata.set(key, scanner.string(`the metadata ${JSON.stringify(key.slice(0, 80))}`));
  });
  return metadata;
}

function readEntry(scanner: JsonScanner, name: string, at: number): HeaderEntry {
  let dtype: DType | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const what = shownName(name);
  scanner.object(what, (field, fieldAt) => {
    if (field === "dtype") {
      const text = scanner.string(`the dtype of ${what}`);
      if (!isDType(text) || text === "C128") {
        const shown = JSON.stringify(text.slice(0, 40));
        throw new JsonSyntaxError(fieldAt, `the dtype of ${what}, ${shown}, is not known`);
      }
      dtype = text;
    } else if (field === "shape") shape = scanner.counts(`the shape of ${what}`);
    else if (field === "data_offsets") offsets = scanner.counts(`data_offsets of ${what}`);
    else scanner.skip();
  });
  if (dtype === undefined || shape === undefined || offsets === undefined) {
    const missing = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets";
    throw new JsonSyntaxError(at, `${what} has no ${missing}`);
  }
  if (offsets.length !== 2) {
    throw new JsonSyntaxError(at, `data_offsets of ${what} has ${offsets.length} numbers, not 2`);
  }
  return { name, dtype, shape, start: offsets[0]!, end: offsets[1]! };
}

/**
 * Checks that tensors follow one another from byte 0 on, without gaps and overlaps, each exactly as long as its shape and dtype
 * say.
 * @param entries  the tensors, sorted by their bytes
 * @returns the place where the last one ends
 * @throws VistaError `FORMAT`
 */
export function checkLayout(entries: readonly HeaderEntry[], path: string): number {
  let at = 0;
  for (const { name, dtype, shape, start, end } of entries) {
    const fail = (what: string): never => {
      throw damaged(what, { path, record: name.slice(0, 200) });
    };
    const shown = () => `[${shape.slice(0, 16).join(", ")}]`;
    if (end < start) fail(`data_offsets [${start}, ${end}] end before they start`);
    if (start < at) fail(`the tensor starts at ${start}, inside the one before, which ends at ${at}`);
    if (start > at) fail(`the tensor starts at ${start}, the one before ends at ${at}: a gap`);
    // The sizes are multiplied from left to right, as the reference does it: a zero does not excuse an overflow before it.
    let numel = 1;
    for (const dim of shape) {
      numel *= dim;
      if (!Number.isSafeInteger(numel))
        fail(`the shape ${shown()} has more elements than can be counted: an overflow`);
    }
    const bytes = byteLengthOf(dtype, numel);
    if (bytes === undefined) fail(`${numel} elements of ${dtype} do not fill whole bytes, or overflow`);
    if (bytes !== end - start)
      fail(`shape ${shown()} of ${dtype} needs ${bytes} bytes, data_offsets give ${end - start}`);
    at = end;
  }
  return at;
}
