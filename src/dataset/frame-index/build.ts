/** `buildIndex`, which lists what is there, or takes it from an earlier index where nothing has changed since. */

import { statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { fromSystem, throwIfAborted, VistaError } from "../../core/errors.js";
import { readRegular } from "../../core/io/regular.js";
import type { RunOptions } from "../../core/progress.js";
import { Turns } from "../../core/turns.js";
import { type FolderScan, scanFolder } from "../opendv/folder-listing.js";
import type { OpenDvRoot } from "../opendv/root.js";
import { type DataParts, recognise } from "../recognise.js";
import type { DatasetIndex, IndexedFolder, Stamp } from "./dataset-index.js";
import { readLarge } from "./index-task.js";

/** The options of {@link buildIndex}. */
export interface BuildIndexOptions extends RunOptions {
  /** An earlier index of the same data: folders that have not changed since are taken from it. */
  previous?: DatasetIndex | undefined;
}

/** An index, and how much of it was read anew. */
export interface BuiltIndex {
  index: DatasetIndex;
  /** The number of folders and tables that were read. */
  read: number;
  /** The number of those that were taken from the earlier index. */
  reused: number;
}

/**
 * The time in milliseconds after a change during which a listing is not used a second time. Some file systems keep times to 1 s
 * (NFS, ext3) or 2 s (FAT), so that a folder that changed this shortly before it was listed may change again without a new time.
 */
const COARSE_MS = 2500;

/**
 * Indexes the OpenDV-YouTube frames and the nuScenes CAM_FRONT chains below `root`.
 *
 * @throws VistaError `NOT_FOUND` where there is neither set, `IO`, `FORMAT`, `ABORTED`
 */
export async function buildIndex(root: string, options: BuildIndexOptions = {}): Promise<BuiltIndex> {
  return indexParts(recognise(root, { kinds: ["nuscenes", "opendv"] }), options);
}

/** Does the same as {@link buildIndex} where it is already known where the data is. */
export async function indexParts(
  { opendv, nuscenes }: DataParts,
  options: BuildIndexOptions = {},
): Promise<BuiltIndex> {
  const built: BuiltIndex = { index: {}, read: 0, reused: 0 };
  if (opendv !== undefined) await indexOpenDv(opendv.found, built, options);
  if (nuscenes !== undefined) await indexNuScenes(nuscenes, built, options);
  return built;
}

async function indexOpenDv(found: OpenDvRoot, built: BuiltIndex, options: BuildIndexOptions): Promise<void> {
  const { signal, onProgress } = options;
  const known = knownScans(options.previous);
  // Videos are no frames: the check alone asks for them.
  const broken = found.broken.find(({ path }) => path.split("/")[0] !== "videos");
  if (broken !== undefined) {
    throw new VistaError("IO", broken.reason, {
      path: join(found.root, broken.path),
      hint: "Mount the disk, mend the link, or remove it: what it leads to would be left out.",
    });
  }
  const folders: IndexedFolder[] = [];
  const turns = new Turns();
  for (const folder of found.folders) {
    throwIfAborted(signal);
    if (turns.due()) {
      onProgress?.({
        phase: "index frames",
        done: folders.length,
        total: found.folders.length,
        unit: "folders",
      });
      await nextTurn();
    }
    const absolute = join(found.root, folder.path);
    try {
      const stamp = stampOf(absolute);
      const before = known(folder.path, stamp);
      if (before !== undefined) built.reused++;
      else built.read++;
      const scan = before ?? scanFolder(absolute, signal);
      // What links lead to comes and goes without a trace in the folder, so that such a one is listed every time.
      folders.push({ ...folder, stamp: scan.broken === undefined ? stamp : undefined, scan });
    } catch (error) {
      throw fromSystem(error, absolute, "list the folder");
    }
  }
  built.index.opendv = { root: found.root, folders };
}

/** Indexes the version that is trained on, where there are several. */
async function indexNuScenes(
  { root, versions }: NonNullable<DataParts["nuscenes"]>,
  built: BuiltIndex,
  options: BuildIndexOptions,
): Promise<void> {
  const version = versions.includes("v1.0-trainval") ? "v1.0-trainval" : versions[0]!;
  const folder = join(root, version);
  const table = join(folder, "sample_data.json");
  let stamp: Stamp | undefined;
  try {
    stamp = stampOf(table);
  } catch (error) {
    throw fromSystem(error, table, "read the table");
  }
  const before = options.previous?.nuscenes;
  const unchanged = before?.version === version && isSame(before.stamp, stamp) ? before : undefined;
  if (unchanged !== undefined) built.reused++;
  else built.read++;
  const chains = unchanged?.chains ?? (await readLarge("chains", folder, [table], options));
  built.index.nuscenes = { root, version, stamp, chains };
}

/** Returns the stamp of a file or folder, or undefined where it changed so shortly ago that the stamp proves nothing. */
export function stampOf(path: string): Stamp | undefined {
  const stats = statSync(path, { bigint: true });
  const changed = Math.max(Number(stats.mtimeMs), Number(stats.ctimeMs));
  if (Math.abs(Date.now() - changed) < COARSE_MS) return undefined;
  const split = (ns: bigint): [number, number] => [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];
  return [...split(stats.mtimeNs), ...split(stats.ctimeNs), Number(stats.ino), Number(stats.size)];
}

/** Tells whether two stamps prove that nothing has changed. */
function isSame(a: Stamp | undefined, b: Stamp | undefined): boolean {
  return a !== undefined && b !== undefined && a.every((value, i) => value === b[i]);
}

/** Reads an index file. @throws VistaError `NOT_FOUND`, `IO`, `FORMAT`, `UNSUPPORTED`, `CHECKSUM`, `INCONSISTENT` */
export async function readIndex(path: string): Promise<DatasetIndex> {
  try {
    // The decoder comes with MessagePack, which nothing else needs.
    const { decodeIndex } = await import("./format.js");
    return decodeIndex(await readRegular(path), path);
  } catch (error) {
    throw fromSystem(error, path, "read the index");
  }
}

/**
 * Returns a function that gives the listing of a folder from an index where the folder, whose stamp it gets, has not changed since
 * the index was made, and undefined elsewhere.
 */
export function knownScans(index: DatasetIndex | undefined) {
  const folders = new Map(index?.opendv?.folders.map((folder) => [folder.path, folder]));
  return (path: string, stamp: Stamp | undefined): FolderScan | undefined => {
    const folder = folders.get(path);
    return isSame(folder?.stamp, stamp) ? folder!.scan : undefined;
  };
}
