/** The check of one image, or of many, as closely as asked for: by name, by headers, or by a full decode. */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { isNulInPath, rethrowExhausted, throwIfAborted } from "../../core/errors.js";
import { mapOrdered } from "../../core/io/map-ordered.js";
import { openAnything, readInto } from "../../core/io/regular.js";
import { decodeFault } from "./decode.js";
import { type ImageHeader, MOST_PIXELS, NotAnImage, readImageHeader, tooLarge } from "./headers.js";

/**
 * The closeness of a look at an image. `names`: the file exists and is not empty. `headers`: it is a JPEG, PNG or WebP, has a width and
 * a height, and its end marker is there. `decode`: all its pixels decode without a complaint.
 */
export type ImageLevel = "names" | "headers" | "decode";

/**
 * The fault of an image file. `missing`: there is no such file, or it is a symbolic link to nowhere. `not-a-file`: it is a folder
 * or a device. `unreadable`: the system refuses to open or read it, or it has more pixels than are decoded. `empty`: it has 0
 * bytes. `not-an-image`: it is neither JPEG, PNG nor WebP. `truncated`: its end is missing. `damaged`: the decoder stumbles on the way
 * (only `decode` finds this).
 */
export type ImageFault =
  | "missing"
  | "not-a-file"
  | "unreadable"
  | "empty"
  | "not-an-image"
  | "truncated"
  | "damaged";

/** The result of a look at one image file. */
export interface ImageReport {
  path: string;
  /** The size of the file in bytes; 0 where it is not known. */
  bytes: number;
  /** The width in pixels from the header; missing at the level `names` and where there is no readable header. */
  width?: number;
  /** The height in pixels; missing where the width is. */
  height?: number;
  /** The format of the file; missing where the width is. */
  format?: ImageHeader["format"];
  /** The fault of the file; missing where nothing is wrong at this level. */
  fault?: ImageFault;
  /** The description of the fault in one line, with the numbers. */
  detail?: string;
}

/** A fault, and its description. */
type Fault = readonly [fault: ImageFault, detail: string];

/** Looks at one image file. It never throws for what is wrong with the file, because that is what the report is for. */
export async function checkImage(path: string, level: ImageLevel): Promise<ImageReport> {
  const report: ImageReport = { path, bytes: 0 };
  const found = await findFault(report, level).catch(systemFault);
  if (found !== undefined) [report.fault, report.detail] = found;
  return report;
}

/** Returns what is wrong with the file of a report, and fills in what is known of it. @throws the system's error */
async function findFault(report: ImageReport, level: ImageLevel): Promise<Fault | undefined> {
  const { path } = report;
  if (level === "names") return sizeFault(report, await stat(path));
  let header: ImageHeader;
  const handle = await openAnything(path);
  try {
    const stats = await handle.stat();
    const fault = sizeFault(report, stats);
    if (fault !== undefined) return fault;
    header = await readImageHeader(async (offset, length) => {
      const bytes = Buffer.allocUnsafe(length);
      return bytes.subarray(0, await readInto(handle, bytes, offset));
    }, stats.size);
  } catch (error) {
    if (!(error instanceof NotAnImage)) throw error;
    return [error.cut ? "truncated" : "not-an-image", `${error.message} (${report.bytes} bytes)`];
  } finally {
    await handle.close();
  }
  const { width, height, format, complete } = header;
  Object.assign(report, { width, height, format });
  if (!complete) return ["truncated", `has no end marker: cut off at ${report.bytes} bytes`];
  if (level === "headers") return undefined;
  if (width * height > MOST_PIXELS) return ["unreadable", tooLarge(width, height)];
  const complaint = await decodeFault(path, header, report.bytes);
  // The end marker is there, so whatever is missing is missing in the middle.
  return complaint === undefined ? undefined : ["damaged", `does not decode: ${complaint}`];
}

function sizeFault(report: ImageReport, stats: Stats): Fault | undefined {
  if (!stats.isFile()) return ["not-a-file", "is not a regular file"];
  report.bytes = stats.size;
  return stats.size === 0 ? ["empty", "is empty (0 bytes)"] : undefined;
}

function systemFault(error: unknown): Fault {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (isNulInPath(error)) return ["missing", "cannot be there: its name has a NUL character"];
  // A decoder that cannot be loaded is no fault of the file.
  if (syscall === undefined) throw error;
  rethrowExhausted(error);
  if (code === "ENOENT" || code === "ENOTDIR") return ["missing", "is not there"];
  if (code === "ELOOP") return ["missing", "is a symbolic link that leads nowhere"];
  if (code === "EISDIR" || code === "ENXIO") return ["not-a-file", "is not a regular file"];
  return ["unreadable", `cannot be read (${code})`];
}

/** The number of files that are looked at side by side, unless the caller says another. */
export const SIDE_BY_SIDE: Readonly<Record<ImageLevel, number>> = { names: 16, headers: 16, decode: 4 };

/** The options of {@link checkImages}. */
export interface CheckImagesOptions {
  signal?: AbortSignal | undefined;
  /** The number of files that are looked at side by side. The default is 16, or 4 when the files are decoded. */
  concurrency?: number | undefined;
}

/**
 * Looks at many image files, several at a time, and reports in the order of `paths`. At most `concurrency` reports are held in
 * memory, and `paths` is read no further ahead than that.
 *
 * @throws VistaError `ABORTED`
 */
export async function* checkImages(
  paths: Iterable<string> | AsyncIterable<string>,
  level: ImageLevel,
  options: CheckImagesOptions = {},
): AsyncGenerator<ImageReport> {
  const { concurrency = SIDE_BY_SIDE[level], signal } = options;
  for await (const report of mapOrdered(paths, concurrency, (path) => checkImage(path, level))) {
    throwIfAborted(signal);
    yield report;
  }
}
