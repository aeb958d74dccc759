/** The places of what records name, and what names say by themselves. */
import { existsSync } from "node:fs";
import { basename, dirname, isAbsolute, join, posix, resolve } from "node:path";
import { isSystemError, rethrowExhausted } from "../../core/errors.js";
import { sizeOf } from "../../core/io/regular.js";
import { type FolderScan, scanFolder } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";
import { findOpenDvRoot, splitOf } from "../opendv/root.js";
import { MAX_FRAME } from "../opendv/runs.js";
import { recognise } from "../recognise.js";
import { VISTA_PLACES } from "../vista-places.js";
import { Places } from "./places.js";

/** Joins a name of a record to the data root as the loader's os.path.join does: an absolute one stands for itself. */
export function loaderPath(root: string, name: string): string {
  return isAbsolute(name) ? name : join(root, name);
}

/** What the name of a picture of nuScenes says. */
export interface DriveFrame {
  /** The name of the log, which is that of the drive. */
  log: string;
  channel: string;
  /** The time in microseconds. */
  time: number;
}

const DRIVE_FRAME = /^(.*)__([^_]\w*)__([0-9]{13,17})\.[a-z]+$/i;
/** The length of the longest name that a file can have. */
const MAX_NAME = 255;

/** Returns what a picture's name says, or undefined where it is not named like those of nuScenes. */
export function driveFrame(path: string): DriveFrame | undefined {
  const name = path.slice(path.lastIndexOf("/") + 1);
  // The pattern would take minutes on a name of a megabyte.
  const match = name.length > MAX_NAME ? null : DRIVE_FRAME.exec(name);
  return match === null ? undefined : { log: match[1]!, channel: match[2]!, time: Number(match[3]) };
}

/** The folders below a data root, as records name them. */
export class FolderSource {
  /** The last name is remembered with its path because the clips of a folder come one after the other. */
  #known: string | undefined;
  #path = "";
  readonly #places: Places;

  constructor(
    private readonly root: string,
    private readonly splits: ReadonlyMap<string, Split>,
  ) {
    this.#places = new Places(root);
  }

  /** Returns the folder's listing; undefined where the folder is not there. */
  scan(name: string): FolderScan | undefined {
    try {
      return scanFolder(this.#pathOf(name));
    } catch (error) {
      if (!isSystemError(error)) throw error;
      rethrowExhausted(error);
      return undefined;
    }
  }

  /** Tells whether a file of a folder can be opened, without listing the folder. */
  has(name: string, file: string): boolean {
    // What may not be read, or has too long a name, the loader would not open either.
    return sizeOf(`${this.#pathOf(name)}/${file}`) !== -1;
  }

  /** Returns the split of a video's folder, by the name that it has here or by the place that this leads to. */
  split(name: string): Split | undefined {
    const named = this.#splitOf(name);
    if (named === "val") return named;
    const root = this.#places.pathOf("");
    const place = this.#places.pathOf(posix.normalize(name));
    // The folders above the root say nothing of what is in it.
    return this.#splitOf(place.startsWith(root) ? place.slice(root.length) : place) ?? named;
  }

  #splitOf(name: string): Split | undefined {
    return this.splits.get(posix.basename(posix.normalize(name))) ?? splitOfPath(name);
  }

  #pathOf(name: string): string {
    if (name !== this.#known) [this.#known, this.#path] = [name, loaderPath(this.root, name)];
    return this.#path;
  }
}

/** Returns the split that a folder's place tells: `val_images/…` is validation data. */
export function splitOfPath(name: string): Split | undefined {
  const folders = posix.normalize(name).split("/").slice(0, -1);
  return folders.map(splitOf).find((split) => split !== undefined);
}

/** Returns why the loader cannot count on from this name, or undefined where it can. */
export function misreadName(name: string): string | undefined {
  const parts = name.split(".");
  if (parts.length !== 2) {
    return `"${name}" has ${parts.length - 1} dots; the loader takes it apart at exactly one`;
  }
  if (!/^[0-9]+$/.test(parts[0]!)) return `"${name}": what is before the dot is not a number`;
  if (Number(parts[0]) > MAX_FRAME) return `"${name}": the number is too large for a frame's`;
  return undefined;
}

/** Returns the folder that an annotation file belongs to: the one above `annos/`, or that of the file. */
export function rootOf(file: string): string {
  const folder = dirname(file);
  return basename(resolve(folder)) === "annos" ? join(folder, "..") : folder;
}

/**
 * Returns the folder that names in the records of a kind start from: Vista's `data/YouTube` or `data/nuscenes` or, without that, the set
 * that is in the root; undefined where there is none.
 */
export function dataOf(kind: "NuScenes" | "YouTube", root: string): string | undefined {
  const usual = join(root, VISTA_PLACES[kind].data);
  if (existsSync(usual)) return usual;
  if (!existsSync(root)) return undefined;
  const kinds = [kind === "NuScenes" ? "nuscenes" : "opendv"] as const;
  const { nuscenes, opendv } = recognise(root, { kinds, orNothing: true });
  return nuscenes?.root ?? opendv?.dataRoot;
}

/** Returns the folder that names in language files start from: an OpenDV root, which may be a folder in `data/YouTube`. */
export function opendvDataRoot(path: string): string {
  return findOpenDvRoot(path)?.root ?? path;
}
