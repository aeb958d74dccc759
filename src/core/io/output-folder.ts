/**
 * Output folders that are either whole or absent: a folder is built beside the target under a temporary name, its files are
 * fsynced, and then it is renamed.
 */
import { closeSync, fsync, mkdirSync, openSync } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { fromSystem, throwIfAborted, VistaError } from "../errors.js";
import { outputAppeared } from "./commit.js";
import { livePartials } from "./live-partials.js";
import { withRoom } from "./local-file.js";
import {
  checkSpace,
  clearLeftBehind,
  lookAtOutput,
  type OutputOptions,
  outputExists,
  syncFolder,
  writeAllSync,
} from "./output.js";
import { newToken, partialPath } from "./partial-names.js";
import { settleAll } from "./settle.js";
import { wayWithin } from "./within.js";

const syncFile = promisify(fsync);

/** The largest number of small files whose fsync is under way at once. */
const SYNCS = 4;

export interface OutputFolderOptions extends OutputOptions {
  /** Tells whether a folder with these names in it is of the kind that `force` may replace. */
  replaceable: (names: readonly string[]) => boolean;
  /** The folders that are read for this output: it must not be one of them, nor lie above or below one. */
  inputs: readonly string[];
  /** The signal to stop, which is looked at once more before the folder gets its name. */
  signal?: AbortSignal | undefined;
}

export interface FolderInProgress {
  /** Returns a path inside it, after making the folders above that path. */
  place(relativePath: string): Promise<string>;
  /** Creates a file inside it, which the caller closes. */
  create(relativePath: string): Promise<FileHandle>;
  /** Writes a new small file with this content. Where fsync was asked for, it is done at once or beside the next files. */
  write(relativePath: string, content: Uint8Array): Promise<void>;
  /** Fsyncs a file's handle, where that was asked for. */
  settle(handle: FileHandle): Promise<void>;
}

/**
 * Checks, before any work is done, that `path` can become an output folder, and clears what a dead process left of it.
 * @throws VistaError `EXISTS`, `WRONG_KIND`, `NOT_FOUND`, `NO_SPACE`, `USAGE`, `IO`
 */
export async function prepareOutputFolder(
  path: string,
  needed: number,
  options: OutputFolderOptions,
): Promise<void> {
  for (const input of options.inputs) {
    if (wayWithin(input, path) !== undefined || wayWithin(path, input) !== undefined) {
      throw new VistaError("USAGE", `the output is, holds or lies in the input ${input}`, {
        path,
        hint: "Choose an output beside it.",
      });
    }
  }
  await clearLeftBehind(path);
  const stats = await lookAtOutput(path);
  if (stats !== undefined) {
    if (!stats.isDirectory()) {
      throw new VistaError("WRONG_KIND", "the output exists and is no folder", {
        path,
        hint: "Choose another output.",
      });
    }
    const names = await readdir(path);
    if (!options.force) throw outputExists(path);
    const what = "the output is a folder with other things in it, which is not replaced";
    if (names.length > 0 && !options.replaceable(names)) {
      throw new VistaError("EXISTS", what, {
        path,
        hint: "Choose another output, or remove that folder yourself.",
      });
    }
  }
  await checkSpace(dirname(resolve(path)), needed);
}

/**
 * Makes one folder, whole or not at all; with `force` an old one stays until the new one is complete.
 * @throws VistaError what {@link prepareOutputFolder} and `fill` throw, `IO`
 */
export async function writeFolderAtomically(
  path: string,
  needed: number,
  options: OutputFolderOptions,
  fill: (folder: FolderInProgress) => Promise<unknown>,
): Promise<void> {
  await prepareOutputFolder(path, needed, options);
  const target = join(dirname(resolve(path)), basename(resolve(path)));
  const token = newToken();
  const temporary = partialPath(target, token, "partial");
  const sync = options.fsync !== false;
  const folders = new Set<string>([temporary]);
  const syncing: Promise<void>[] = [];
  try {
    await mkdir(temporary);
    livePartials.set(temporary, token);
    const place = (relativePath: string) => {
      const inside = join(temporary, relativePath);
      const parent = dirname(inside);
      if (folders.has(parent)) return inside;
      mkdirSync(parent, { recursive: true });
      for (let above = parent; !folders.has(above); above = dirname(above)) folders.add(above);
      return inside;
    };
    await fill({
      place: async (relativePath) => place(relativePath),
      create: (relativePath) => withRoom(() => open(place(relativePath), "wx", 0o666)),
      // These calls block, since for a file of some kilobytes the way to another thread and back takes ten times as long.
      write: async (relativePath, content) => {
        const fd = await withRoom(async () => createFileSync(place(relativePath)));
        try {
          writeAllSync(fd, content, 0);
        } catch (error) {
          closeSync(fd);
          throw fromSystem(error, join(path, relativePath), "write the output");
        }
        if (!sync) return closeSync(fd);
        const synced = syncFile(fd).finally(() => closeSync(fd));
        synced.catch(() => {}); // A failure is thrown where the promise is awaited.
        syncing.push(synced);
        if (syncing.length >= SYNCS) await syncing.shift();
      },
      settle: async (handle) => {
        if (sync) await handle.sync();
      },
    });
    await settleAll(syncing);
    if (sync) for (const folder of folders) await syncFolder(folder);
    throwIfAborted(options.signal);
    await giveName(temporary, target, options.force ?? false);
    livePartials.delete(temporary);
    if (sync) await syncFolder(dirname(target));
  } catch (error) {
    await Promise.allSettled(syncing);
    if (livePartials.has(temporary)) {
      await rm(temporary, { recursive: true, force: true }).catch(() => {});
      livePartials.delete(temporary);
    }
    throw fromSystem(error, path, "write the output");
  }
}

/**
 * Creates a file in a folder that is being made, for writers in worker threads.
 *
 * @returns its descriptor, which the caller closes
 */
export function createFileSync(path: string): number {
  return openSync(path, "wx", 0o666);
}

/** Gives the folder its name. It cannot be renamed over a folder with something in it, so such a folder steps aside first. */
async function giveName(from: string, to: string, force: boolean): Promise<void> {
  const there = await lstat(to).catch(() => undefined);
  if (there === undefined) return rename(from, to);
  if (!force) throw outputAppeared(to);
  const aside = partialPath(to, newToken(), "old");
  await rename(to, aside);
  try {
    await rename(from, to);
  } catch (error) {
    await rename(aside, to).catch(() => {});
    throw error;
  }
  await rm(aside, { recursive: true, force: true });
}
