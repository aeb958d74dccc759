/**
 * The index file: it holds what folders hold, in a few bytes each, so that they need not be listed again. It is MessagePack, and
 * `docs/index-format.md` describes every field. This file writes the fields and `fields.ts` reads them; no other file knows their
 * order.
 */

import { createHash } from "node:crypto";
import { decode, encode } from "@msgpack/msgpack";
import { type ErrorCode, isVistaError, VistaError } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { type FrameLayout, layoutKey } from "../opendv/names.js";
import type { Runs } from "../opendv/runs.js";
import type { DatasetIndex, IndexedChain } from "./dataset-index.js";
import { decodeContent, isMap, SPLITS } from "./fields.js";
import { checkMsgpackBounds } from "./msgpack-bounds.js";

const INDEX_FORMAT = "vista-data-index";
const INDEX_VERSION = 2;

/** Returns the bytes of an index file. */
export function encodeIndex(index: DatasetIndex): Uint8Array {
  const layouts: FrameLayout[] = [];
  const layoutNumbers = new Map<string, number>();
  const layoutNumber = (layout: FrameLayout | undefined) => {
    if (layout === undefined) return -1;
    return remember(layoutNumbers, layoutKey(layout), () => layouts.push(layout) - 1);
  };
  const folders = index.opendv?.folders.map(({ path, split, youtuber, videoId, stamp, scan }) => [
    path,
    SPLITS.indexOf(split),
    youtuber ?? null,
    videoId,
    stamp ?? null,
    layoutNumber(scan.layout),
    toDeltas(scan.runs),
    scan.odd.map((odd) => [layoutNumber(odd.layout), toDeltas(odd.duplicates), toDeltas(odd.others)]),
    scan.strays,
    scan.strayCount,
    scan.folders,
  ]);
  const { opendv, nuscenes } = index;
  const content = encode(
    {
      opendv: opendv && {
        root: opendv.root,
        layouts: layouts.map(({ prefix, width, extension }) => [prefix, width, extension]),
        folders,
      },
      nuscenes: nuscenes && { ...nuscenes, chains: nuscenes.chains.map(encodeChain) },
    },
    { ignoreUndefined: true },
  );
  return encode({ format: INDEX_FORMAT, version: INDEX_VERSION, digest: digestOf(content), content });
}

/**
 * Reads the bytes of an index file.
 *
 * @throws VistaError `FORMAT` where this is no index file of this program at all, `UNSUPPORTED` for another version, `CHECKSUM`
 *   where the content is not what was written, `INCONSISTENT` where a field is out of its bounds
 */
export function decodeIndex(bytes: Uint8Array, path: string): DatasetIndex {
  const useless = (code: ErrorCode, what: string, cause?: unknown) =>
    new VistaError(code, what, { path, hint: "Remove it and run `vista-data index` again.", cause });
  const another = {
    path,
    hint: "Name a file that `vista-data index` wrote; if this was one, it is damaged: remove it and run `vista-data index` again.",
  };
  const file = unpack(bytes, "is not an index file: it is no MessagePack", another);
  if (!isMap(file) || file.format !== INDEX_FORMAT) {
    throw new VistaError("FORMAT", "is not an index file of vista-data", another);
  }
  const { version, digest, content } = file;
  if (version !== INDEX_VERSION) {
    const named = typeof version === "number" ? version : "an unknown number";
    throw useless("UNSUPPORTED", `is an index of version ${named}; this program reads ${INDEX_VERSION}`);
  }
  if (!(content instanceof Uint8Array) || !(digest instanceof Uint8Array)) {
    throw useless("CHECKSUM", "is a damaged index file: it has no content or no digest");
  }
  if (!digestOf(content).equals(digest)) {
    throw useless("CHECKSUM", "is a damaged index file: its content does not match its digest");
  }
  try {
    return decodeContent(unpack(content, "its content is no MessagePack", {}));
  } catch (error) {
    if (!isVistaError(error)) throw error;
    throw useless("INCONSISTENT", `is not an index that vista-data wrote: ${error.message}`, error);
  }
}

/** Returns the SHA-256 of the content: without it, one flipped bit in an index would be taken for frames that are not there. */
function digestOf(content: Uint8Array): Buffer {
  return createHash("sha256").update(content).digest();
}

/**
 * The largest number of levels that an index file of this program has: content, `opendv`, `folders`, a folder, `odd`, one of
 * these, its runs.
 */
const MAX_DEPTH = 8;

function unpack(bytes: Uint8Array, what: string, where: { path?: string; hint?: string }): unknown {
  try {
    checkMsgpackBounds(bytes, MAX_DEPTH);
    return decode(bytes);
  } catch (error) {
    throw new VistaError("FORMAT", what, { ...where, cause: error });
  }
}

/**
 * Turns numbers into differences, which take fewer bytes because they are small: `[0, 99, 105, 200]` becomes `[0, 99, 6, 95]`.
 */
function toDeltas(numbers: Runs): number[] {
  return numbers.map((value, i) => (i === 0 ? value : value - numbers[i - 1]!));
}

/**
 * The form of nearly all names, `samples/CAM_FRONT/<log>__CAM_FRONT__<µs>.jpg`, of which only the log and the time are kept. The
 * times are those that stay as they are as numbers: without a zero before them, and below 2^53 (the year 2255).
 */
const CHAIN_NAME = /^(samples|sweeps)\/CAM_FRONT\/(.+)__CAM_FRONT__([1-8][0-9]{15})\.jpg$/;

function encodeChain({ scene, sceneToken, files, keyFrames }: IndexedChain): unknown[] {
  const bits = new Uint8Array(Math.ceil(files.length / 8));
  keyFrames.forEach((key, i) => {
    if (key) bits[i >> 3]! |= 1 << (i & 7);
  });
  const parts = files.map((file) => CHAIN_NAME.exec(file));
  const log = parts[0]?.[2];
  const usual = parts.every(
    (part, i) => part !== null && part[2] === log && (part[1] === "samples") === keyFrames[i],
  );
  if (!usual || log === undefined) return [scene, sceneToken, "", [], bits, files];
  return [scene, sceneToken, log, toDeltas(parts.map((part) => Number(part![3]))), bits, []];
}
