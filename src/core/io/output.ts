/**
 * Output that is either whole or absent: written beside the target under a temporary name, fsynced, renamed.
 * At no moment is there a half file under the final name, and an old file stays until the new one is complete.
 */
import { rmSync } from "node:fs";
import { type FileHandle, link, lstat, open, realpath, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fromSystem, VistaError } from "../errors.js";

export interface OutputOptions {
  /** Replace an existing file; without it an existing output is an `EXISTS` error. Default false. */
  force?: boolean;
  /** fsync the file and its folder before the call returns. Default true. */
  fsync?: boolean;
}

/** Temporary files and folders not yet renamed or removed, for {@link removePartialFiles}. */
export const partialFiles = new Set<string>();

/**
 * Removes, synchronously, whatever this process has not finished writing. For the moment before a process ends without
 * unwinding (a second Ctrl-C); an ordinary error or abort cleans up by itself.
 */
export function removePartialFiles(): void {
  for (const path of partialFiles) rmSync(path, { force: true, recursive: true });
  partialFiles.clear();
}

/**
 * Checks, before any work is done, that `path` can become an output: its folder exists, nothing is in the way (or
 * `force` is set and it is a regular file), and `needed` bytes are free.
 *
 * @returns the path to write to: a symbolic link is followed, so that the link stays a link
 * @throws VistaError `EXISTS`, `WRONG_KIND`, `NOT_FOUND`, `NO_SPACE`, `IO`
 */
export async function prepareOutput(
  path: string,
  needed: number,
  options: OutputOptions = {},
): Promise<string> {
  const target = await checkTarget(path, options.force ?? false);
  const folder = dirname(target);
  await checkSpace(folder, needed);
  return target;
}

/**
 * Checks that `folder` exists and has room for `needed` bytes.
 * @throws VistaError `NOT_FOUND`, `NO_SPACE`, `IO`
 */
export async function checkSpace(folder: string, needed: number): Promise<void> {
  let free: number;
  try {
    const fs = await statfs(folder);
    free = fs.bavail * fs.bsize;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new VistaError("NOT_FOUND", "the folder of the output does not exist", {
        path: folder,
        hint: "Make it first, or choose another output.",
        cause: error,
      });
    }
    throw fromSystem(error, folder, "look at the output folder");
  }
  // Some network file systems report 0 blocks in all; there the write itself must tell.
  if (free < needed && free > 0) {
    throw new VistaError("NO_SPACE", `the output needs ${needed} bytes and ${free} are free here`, {
      path: folder,
      hint: "Free some space or choose another output.",
    });
  }
}

async function checkTarget(path: string, force: boolean): Promise<string> {
  let stats: Awaited<ReturnType<typeof lstat>>;
  try {
    stats = await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return path;
    throw fromSystem(error, path, "look at the output");
  }
  if (stats.isSymbolicLink()) {
    let resolved: string;
    try {
      resolved = await realpath(path);
    } catch (error) {
      throw new VistaError("NOT_FOUND", "the output is a symbolic link to nowhere", {
        path,
        hint: "Remove the link or choose another output.",
        cause: error,
      });
    }
    return checkTarget(resolved, force);
  }
  if (stats.isDirectory()) {
    throw new VistaError("WRONG_KIND", "the output is an existing folder", {
      path,
      hint: "Name a file inside it.",
    });
  }
  if (!stats.isFile()) {
    throw new VistaError("WRONG_KIND", "the output exists and is not a regular file", {
      path,
      hint: "Choose another output.",
    });
  }
  if (!force) {
    throw new VistaError("EXISTS", "the output already exists", {
      path,
      hint: "Use --force to replace it, or choose another output.",
    });
  }
  return path;
}

/** A hidden name beside `path` that no other run takes. */
export function temporaryName(path: string): string {
  const own = `${process.pid.toString(36)}${Math.random().toString(36).slice(2, 10)}`;
  return join(dirname(path), `.${basename(path)}.${own}.partial`);
}

/**
 * A file being written under a temporary name. Write through {@link handle}, then call {@link commit}; on any error
 * call {@link discard} (safe to call after commit).
 */
export class AtomicFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly #temporary: string;
  readonly #options: OutputOptions;
  #closed = false;

  private constructor(path: string, temporary: string, handle: FileHandle, options: OutputOptions) {
    this.path = path;
    this.handle = handle;
    this.#temporary = temporary;
    this.#options = options;
  }

  /** @param path  as {@link prepareOutput} returned it */
  static async create(path: string, options: OutputOptions = {}): Promise<AtomicFile> {
    const temporary = temporaryName(path);
    try {
      // 0o666 less the umask: the mode that `cp` and `torch.save` give a new file.
      const handle = await open(temporary, "wx", 0o666);
      partialFiles.add(temporary);
      return new AtomicFile(path, temporary, handle, options);
    } catch (error) {
      throw fromSystem(error, path, "create the output");
    }
  }

  /** Makes the file appear under its final name. */
  async commit(): Promise<void> {
    try {
      if (this.#options.fsync !== false) await this.handle.sync();
      await this.#close();
      if (this.#options.force) await rename(this.#temporary, this.path);
      else await renameNew(this.#temporary, this.path);
      partialFiles.delete(this.#temporary);
      if (this.#options.fsync !== false) await syncFolder(dirname(this.path));
    } catch (error) {
      await this.discard();
      throw fromSystem(error, this.path, "finish the output");
    }
  }

  /** Removes the temporary file; the target stays as it was. */
  async discard(): Promise<void> {
    await this.#close().catch(() => {});
    if (!partialFiles.has(this.#temporary)) return;
    await rm(this.#temporary, { force: true }).catch(() => {});
    partialFiles.delete(this.#temporary);
  }

  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.handle.close();
  }
}

/** rename() that does not replace a file which appeared while we were writing. */
async function renameNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") {
      throw new VistaError("EXISTS", "the output appeared while it was being made", {
        path: to,
        hint: "Use --force to replace it.",
      });
    }
    // No hard links on this file system (exFAT, some network mounts).
    await rename(from, to);
    return;
  }
  await rm(from, { force: true });
}

/** A rename is on disk only when its folder is. */
export async function syncFolder(path: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch {
    return; // a folder that may be written but not read
  }
  try {
    await handle.sync();
  } catch {
    // Some file systems refuse fsync on a folder; the file itself is safe.
  } finally {
    await handle.close();
  }
}

/**
 * Makes one output, whole or not at all.
 * @param bytes  its size
 * @throws VistaError what {@link prepareOutput} and `write` throw, `IO`
 */
export async function writeAtomically(
  path: string,
  bytes: number,
  options: OutputOptions,
  write: (handle: FileHandle) => Promise<unknown>,
): Promise<void> {
  const target = await prepareOutput(path, bytes, options);
  const file = await AtomicFile.create(target, options);
  try {
    await write(file.handle);
    await file.commit();
  } catch (error) {
    await file.discard();
    throw fromSystem(error, path, "write the output");
  }
}

/** Writes a small text or byte output (a report, an index, a script) in the same whole-or-absent way. */
export function writeWhole(
  path: string,
  content: string | Uint8Array,
  options: OutputOptions = {},
): Promise<void> {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return writeAtomically(path, bytes.byteLength, options, (handle) => handle.writeFile(bytes));
}
