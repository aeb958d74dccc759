/**
 * The fields of an index file, each of which is checked when it is read: what is taken from an index is neither listed nor looked
 * at again, so that a number out of its bounds would end up in annotation files.
 */
import { VistaError } from "../../core/errors.js";
import { isRecord } from "../../core/maps.js";
import type { Split } from "../opendv/meta.js";
import type { FrameLayout } from "../opendv/names.js";
import { MAX_FRAME } from "../opendv/runs.js";
import type { DatasetIndex, IndexedChain, IndexedFolder, Stamp } from "./dataset-index.js";

/** The splits by their number in the file. */
export const SPLITS: readonly (Split | undefined)[] = [undefined, "train", "val"];

/** The largest number of digits that a frame's name may be padded to, which is far more than any real one has. */
const MAX_WIDTH = 64;
/** The bounds of the times in file names, which have 16 digits of microseconds; format.ts writes others as names. */
const MIN_TIME = 1e15;
const MAX_TIME = 9e15 - 1;

type Fields = Readonly<Record<string, unknown>>;

export function isMap(value: unknown): value is Fields {
  return isRecord(value) && !(value instanceof Uint8Array);
}

/**
 * Reads the content of an index file.
 *
 * @param content  what the digest of the file covers
 * @throws VistaError `INCONSISTENT`, with the field as its record
 */
export function decodeContent(content: unknown): DatasetIndex {
  const file = map(content, "content");
  return {
    opendv: file.opendv === undefined ? undefined : decodeOpenDv(map(file.opendv, "opendv")),
    nuscenes: file.nuscenes === undefined ? undefined : decodeNuScenes(map(file.nuscenes, "nuscenes")),
  };
}

function decodeOpenDv(file: Fields): NonNullable<DatasetIndex["opendv"]> {
  const layouts = list(file.layouts, "opendv.layouts").map((each, i): FrameLayout => {
    const at = `opendv.layouts[${i}]`;
    const [prefix, width, extension] = tuple(each, 3, at);
    return {
      prefix: text(prefix, at),
      width: integer(width, 0, MAX_WIDTH, at),
      extension: text(extension, at),
    };
  });
  const folders = list(file.folders, "opendv.folders").map((raw, i) =>
    decodeFolder(raw, layouts, `opendv.folders[${i}]`),
  );
  return { root: text(file.root, "opendv.root"), folders };
}

function decodeFolder(raw: unknown, layouts: readonly FrameLayout[], at: string): IndexedFolder {
  const [path, split, youtuber, videoId, stamp, layout, runs, odd, strays, strayCount, folders] = tuple(
    raw,
    11,
    at,
  );
  const layoutAt = (number: unknown, from: number) =>
    integer(number, from, layouts.length - 1, `${at}.layout`);
  const number = layoutAt(layout, -1);
  const folder: IndexedFolder = {
    path: innerPath(path, `${at}.path`),
    videoId: text(videoId, `${at}.video`),
    split: SPLITS[integer(split, 0, SPLITS.length - 1, `${at}.split`)],
    youtuber: youtuber === null ? undefined : text(youtuber, `${at}.youtuber`),
    stamp: stamp === null ? undefined : decodeStamp(stamp, `${at}.stamp`),
    scan: {
      layout: layouts[number],
      runs: decodeRuns(runs, `${at}.runs`),
      odd: list(odd, `${at}.odd`).map((each, i) => {
        const [layout, duplicates, others] = tuple(each, 3, `${at}.odd[${i}]`);
        return {
          layout: layouts[layoutAt(layout, 0)]!,
          duplicates: decodeRuns(duplicates, `${at}.odd[${i}]`),
          others: decodeRuns(others, `${at}.odd[${i}]`),
        };
      }),
      strays: list(strays, `${at}.strays`).map((each) => text(each, `${at}.strays`)),
      strayCount: integer(strayCount, 0, Number.MAX_SAFE_INTEGER, `${at}.strayCount`),
      folders: list(folders, `${at}.folders`).map((each) => text(each, `${at}.folders`)),
    },
  };
  if (number < 0 && folder.scan.runs.length > 0) throw wrong(`${at}.layout`, "is -1 beside frames");
  return folder;
}

/** Turns differences back into numbers: pairs that ascend, never touch, and are at most {@link MAX_FRAME}. */
function decodeRuns(value: unknown, at: string): number[] {
  const deltas = list(value, at);
  if (deltas.length % 2 !== 0) throw wrong(at, `has ${deltas.length} numbers, which are no pairs`);
  let sum = 0;
  return deltas.map((delta, i) => {
    // At least one frame is missing between two runs; a run may be one frame.
    const least = i === 0 || i % 2 === 1 ? 0 : 2;
    sum += integer(delta, least, MAX_FRAME, `${at}[${i}]`);
    if (sum > MAX_FRAME) throw wrong(`${at}[${i}]`, `is frame ${sum}, beyond ${MAX_FRAME}`);
    return sum;
  });
}

function decodeStamp(value: unknown, at: string): Stamp {
  return tuple(value, 6, at).map((each, i) => {
    // The inode numbers of some file systems are beyond 2^53 and were rounded when they were written.
    if (typeof each !== "number" || !Number.isInteger(each)) throw wrong(`${at}[${i}]`, "is no whole number");
    return each;
  }) as unknown as Stamp;
}

function decodeNuScenes(file: Fields): NonNullable<DatasetIndex["nuscenes"]> {
  return {
    root: text(file.root, "nuscenes.root"),
    version: text(file.version, "nuscenes.version"),
    chains: list(file.chains, "nuscenes.chains").map((raw, i) => decodeChain(raw, `nuscenes.chains[${i}]`)),
    stamp: file.stamp === undefined ? undefined : decodeStamp(file.stamp, "nuscenes.stamp"),
  };
}

function decodeChain(raw: unknown, at: string): IndexedChain {
  const [scene, sceneToken, log, times, bits, names] = tuple(raw, 6, at);
  const theLog = text(log, `${at}.log`);
  const theNames = list(names, `${at}.names`).map((each, i) => text(each, `${at}.names[${i}]`));
  const deltas = list(times, `${at}.times`);
  const [none, count] = theLog === "" ? [deltas, theNames.length] : [theNames, deltas.length];
  if (none.length > 0) throw wrong(at, "has both times and names");
  if (!(bits instanceof Uint8Array) || bits.length !== Math.ceil(count / 8)) {
    throw wrong(`${at}.keyFrames`, `does not have one bit for each of its ${count} images`);
  }
  const keyFrames = Array.from({ length: count }, (_, i) => (bits[i >> 3]! & (1 << (i & 7))) !== 0);
  let time = 0;
  const files =
    theLog === ""
      ? theNames
      : deltas.map((delta, i) => {
          // A broken chain may go back in time.
          time += integer(delta, i === 0 ? MIN_TIME : -MAX_TIME, MAX_TIME, `${at}.times[${i}]`);
          if (time < MIN_TIME || time > MAX_TIME)
            throw wrong(`${at}.times[${i}]`, `is ${time}, no time of a file`);
          return `${keyFrames[i] ? "samples" : "sweeps"}/CAM_FRONT/${theLog}__CAM_FRONT__${time}.jpg`;
        });
  return {
    scene: text(scene, `${at}.scene`),
    sceneToken: text(sceneToken, `${at}.sceneToken`),
    files,
    keyFrames,
  };
}

/** Returns a path below the root. One that led out of it would have the frames of other folders written into annotation files. */
function innerPath(value: unknown, at: string): string {
  const path = text(value, at);
  if (path === "" || path.startsWith("/") || path.split("/").includes(".."))
    throw wrong(at, "leads out of the root");
  return path;
}

function map(value: unknown, at: string): Fields {
  if (!isMap(value)) throw wrong(at, "is no map");
  return value;
}

function list(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value)) throw wrong(at, "is no list");
  return value;
}

function tuple(value: unknown, length: number, at: string): unknown[] {
  const items = list(value, at);
  if (items.length !== length) throw wrong(at, `has ${items.length} fields, not ${length}`);
  return items;
}

function text(value: unknown, at: string): string {
  if (typeof value !== "string") throw wrong(at, "is no text");
  return value;
}

function integer(value: unknown, least: number, most: number, at: string): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    const shown = typeof value === "number" ? String(value) : typeof value;
    throw wrong(at, `is ${shown}, no whole number from ${least} to ${most}`);
  }
  return value;
}

function wrong(record: string, what: string): VistaError {
  return new VistaError("INCONSISTENT", what, { record });
}
