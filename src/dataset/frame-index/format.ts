/**
 * The index file: what folders hold, in a few bytes each, so that it need not be listed again. MessagePack; every field
 * is described in `docs/index-format.md`, and this file is the only one that knows the order of the fields.
 */
import { decode, encode } from "@msgpack/msgpack";
import { VistaError } from "../../core/errors.js";
import type { FolderScan } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";
import type { FrameLayout } from "../opendv/names.js";
import type { Runs } from "../opendv/runs.js";

export const INDEX_FORMAT = "vista-data-index";
export const INDEX_VERSION = 1;

/** When and as what the system last saw a file or folder change: seconds and nanoseconds of mtime and ctime, inode. */
export type Stamp = readonly [
  mtime: number,
  mtimeNs: number,
  ctime: number,
  ctimeNs: number,
  inode: number,
  size: number,
];

export interface IndexedFolder {
  /** Relative to the OpenDV root, with `/`. */
  path: string;
  split?: Split;
  youtuber?: string;
  videoId: string;
  /** Undefined where the folder had changed just before it was listed: such a listing is not used again. */
  stamp?: Stamp;
  scan: FolderScan;
}

/** CAM_FRONT images of one scene in the order of their chain. */
export interface IndexedChain {
  scene: string;
  sceneToken: string;
  /** Paths below the nuScenes root. */
  files: string[];
  /** Whether each is a key frame. */
  keyFrames: boolean[];
}

export interface DatasetIndex {
  opendv?: {
    /** As it was given, for people; paths are relative to it. */
    root: string;
    folders: IndexedFolder[];
  };
  nuscenes?: {
    root: string;
    version: string;
    /** Of sample_data.json. */
    stamp?: Stamp;
    chains: IndexedChain[];
  };
}

const SPLITS: readonly (Split | undefined)[] = [undefined, "train", "val"];

export function encodeIndex(index: DatasetIndex): Uint8Array {
  const layouts: FrameLayout[] = [];
  const layoutNumbers = new Map<string, number>();
  const layoutNumber = (layout: FrameLayout | undefined) => {
    if (layout === undefined) return -1;
    const key = `${layout.prefix}|${layout.width}|${layout.extension}`;
    let number = layoutNumbers.get(key);
    if (number === undefined) {
      number = layouts.push(layout) - 1;
      layoutNumbers.set(key, number);
    }
    return number;
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
  return encode({
    format: INDEX_FORMAT,
    version: INDEX_VERSION,
    ...(index.opendv === undefined
      ? {}
      : {
          opendv: {
            root: index.opendv.root,
            layouts: layouts.map(({ prefix, width, extension }) => [prefix, width, extension]),
            folders,
          },
        }),
    ...(index.nuscenes === undefined
      ? {}
      : { nuscenes: { ...index.nuscenes, chains: index.nuscenes.chains.map(encodeChain) } }),
  });
}

/** @throws VistaError `FORMAT`, `UNSUPPORTED` */
export function decodeIndex(bytes: Uint8Array, path: string): DatasetIndex {
  let file: RawIndex;
  try {
    file = decode(bytes) as RawIndex;
  } catch (error) {
    throw new VistaError("FORMAT", "is not an index file: it is no MessagePack", { path, cause: error });
  }
  if (typeof file !== "object" || file === null || file.format !== INDEX_FORMAT) {
    throw new VistaError("FORMAT", "is not an index file of vista-data", { path });
  }
  if (file.version !== INDEX_VERSION) {
    throw new VistaError("UNSUPPORTED", `is an index of version ${file.version}; this program reads 1`, {
      path,
      hint: "Remove it and run `vista-data index` again.",
    });
  }
  try {
    return decodeParts(file);
  } catch (error) {
    throw new VistaError("FORMAT", "is a damaged index file", {
      path,
      hint: "Remove it and run `vista-data index` again.",
      cause: error,
    });
  }
}

interface RawIndex {
  format: string;
  version: number;
  opendv?: { root: string; layouts: [string, number, string][]; folders: RawFolder[] };
  nuscenes?: { root: string; version: string; stamp?: Stamp; chains: RawChain[] };
}
type RawFolder = [
  path: string,
  split: number,
  youtuber: string | null,
  videoId: string,
  stamp: Stamp | null,
  layout: number,
  runs: number[],
  odd: [layout: number, duplicates: number[], others: number[]][],
  strays: string[],
  strayCount: number,
  folders: string[],
];

function decodeParts(file: RawIndex): DatasetIndex {
  const index: DatasetIndex = {};
  if (file.opendv !== undefined) {
    const layouts = file.opendv.layouts.map(([prefix, width, extension]) => ({ prefix, width, extension }));
    const layoutOf = (number: number) => {
      const layout = layouts[number];
      if (layout === undefined) throw new Error(`layout ${number} of ${layouts.length}`);
      return layout;
    };
    const folders = file.opendv.folders.map((raw): IndexedFolder => {
      const [path, split, youtuber, videoId, stamp, layout, runs, odd, strays, strayCount, subfolders] = raw;
      const theSplit = SPLITS[split];
      return {
        path,
        ...(theSplit === undefined ? {} : { split: theSplit }),
        ...(youtuber === null ? {} : { youtuber }),
        videoId,
        ...(stamp === null ? {} : { stamp }),
        scan: {
          ...(layout < 0 ? {} : { layout: layoutOf(layout) }),
          runs: fromDeltas(runs),
          odd: odd.map(([number, duplicates, others]) => ({
            layout: layoutOf(number),
            duplicates: fromDeltas(duplicates),
            others: fromDeltas(others),
          })),
          strays,
          strayCount,
          folders: subfolders,
        },
      };
    });
    index.opendv = { root: file.opendv.root, folders };
  }
  if (file.nuscenes !== undefined) {
    index.nuscenes = { ...file.nuscenes, chains: file.nuscenes.chains.map(decodeChain) };
  }
  return index;
}

/** `[0, 99, 105, 200]` → `[0, 99, 6, 95]`: small numbers take fewer bytes. */
function toDeltas(numbers: Runs): number[] {
  return numbers.map((value, i) => (i === 0 ? value : value - numbers[i - 1]!));
}

function fromDeltas(deltas: readonly number[]): number[] {
  let sum = 0;
  return deltas.map((delta) => {
    sum += delta;
    return sum;
  });
}

/** `samples/CAM_FRONT/<log>__CAM_FRONT__<µs>.jpg`, the form of nearly all names, is kept as log and time. */
type RawChain = [
  scene: string,
  token: string,
  log: string,
  times: number[],
  keyFrames: Uint8Array,
  names: string[],
];

const CHAIN_NAME = /^(samples|sweeps)\/CAM_FRONT\/(.+)__CAM_FRONT__([0-9]{16})\.jpg$/;

function encodeChain({ scene, sceneToken, files, keyFrames }: IndexedChain): RawChain {
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

function decodeChain([scene, sceneToken, log, times, bits, names]: RawChain): IndexedChain {
  const count = Math.max(times.length, names.length);
  const keyFrames = Array.from({ length: count }, (_, i) => (bits[i >> 3]! & (1 << (i & 7))) !== 0);
  const files =
    names.length > 0
      ? names
      : fromDeltas(times).map(
          (time, i) => `${keyFrames[i] ? "samples" : "sweeps"}/CAM_FRONT/${log}__CAM_FRONT__${time}.jpg`,
        );
  return { scene, sceneToken, files, keyFrames };
}
