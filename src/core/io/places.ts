/**
 * Paths that may be URLs: these functions do for `https://`, `http://`, `s3://` and `hf://` what `node:path` and `node:fs` do for
 * local paths. Readers of formats use them and do not know which kind of path they have.
 */
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import { cannot, VistaError } from "../errors.js";
import type { Entry, PlaceKind } from "./entries.js";

const REMOTE = /^(https?|s3|hf):\/\//i;

/** Tells whether a path is a URL that is read over the network. */
export function isRemote(path: string): boolean {
  return REMOTE.test(path);
}

/** Refuses what is no text: programs in JavaScript may give a URL object, or nothing. @throws VistaError `USAGE` */
export function requirePath(path: string): void {
  if (typeof path === "string") return;
  throw new VistaError("USAGE", "a path is text, and this is none", {
    hint: "Of a URL object give its href, or fileURLToPath(url) where it is that of a file.",
  });
}

/**
 * Returns how many files of a folder or an index are opened side by side. Over a network each takes a round trip or two, so there
 * are many. Of local files a few are enough for one to wait for the disk while the header of another is read; so there are few
 * pickles in memory, and 32 descriptors are enough.
 */
export function filesAtOnce(path: string): number {
  return isRemote(path) ? 16 : 4;
}

/**
 * Returns the path of a file or folder below `folder`. The query of a URL stays at its end: a presigned URL has its signature
 * there.
 */
export function joinPlace(folder: string, ...names: string[]): string {
  if (!isRemote(folder)) return join(folder, ...names);
  const { scheme, path, query } = split(folder);
  // Names are not URLs: in a URL, these characters would end the path, or spell the two dots that lead out of a folder.
  const shown = /^https?/i.test(scheme)
    ? names.map((name) => name.replace(/[%?#\\]/g, encodeURIComponent))
    : names;
  return `${scheme}${posix.join(path, ...shown)}${query}`;
}

/** Returns the folder of a file; the query stays at the end, where it may be a signature for all that lies there. */
export function parentPlace(file: string): string {
  if (!isRemote(file)) return dirname(file);
  const { scheme, path, query } = split(file);
  return `${scheme}${posix.dirname(path)}${query}`;
}

function split(url: string): { scheme: string; path: string; query: string } {
  const scheme = REMOTE.exec(url)![0];
  const rest = url.slice(scheme.length);
  const end = /^https?/i.test(scheme) ? rest.search(/[?#]/) : -1;
  return { scheme, path: end < 0 ? rest : rest.slice(0, end), query: end < 0 ? "" : rest.slice(end) };
}

/** Returns the last part of a path; for `.` that is the name of the current folder. */
export function placeName(path: string): string {
  return isRemote(path) ? posix.basename(split(path).path) : basename(resolve(path));
}

/**
 * Looks at what is at a path; for anything but a file or a folder, neither `isFile` nor `isFolder` is true.
 * @param doing  what failed where there is nothing to look at, as the words after "cannot"
 * @throws VistaError `NOT_FOUND`, `IO`
 */
export async function lookAt(path: string, doing = "open the checkpoint"): Promise<PlaceKind> {
  if (isRemote(path)) return (await import("./remote/index.js")).lookAtRemote(path);
  const stats = await stat(path).catch(cannot(doing, path));
  return { isFile: stats.isFile(), isFolder: stats.isDirectory(), size: stats.isFile() ? stats.size : 0 };
}

export async function isFile(path: string): Promise<boolean> {
  return (await lookAt(path).catch(() => undefined))?.isFile === true;
}

export async function isFolder(path: string): Promise<boolean> {
  return (await lookAt(path).catch(() => undefined))?.isFolder === true;
}

/** Lists the files and folders directly in a folder, in no order. @throws the system's error; VistaError for a URL */
export async function listFolder(path: string): Promise<Entry[]> {
  if (isRemote(path)) return (await import("./remote/index.js")).listRemote(path);
  const entries = await readdir(path, { withFileTypes: true });
  return entries.map((entry) => ({
    name: entry.name,
    isFolder: entry.isDirectory(),
    isFile: entry.isFile(),
    isLink: entry.isSymbolicLink(),
  }));
}
