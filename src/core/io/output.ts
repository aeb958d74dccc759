/**
 * Output that is either whole or absent: a file is written beside the target under a temporary name, fsynced and renamed.
 * At no moment is there a half file under the final name, and an old file stays until the new one is complete. All programs
 * write through this module: one file by {@link writeAtomically} or {@link writeWhole}, several that belong together by
 * {@link AtomicFile} and {@link commitTogether}.
 */
import { existsSync, type Stats, writeSync } from "node:fs";
import { type FileHandle, lstat, open, readdir, realpath, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { abortedError, cannot, fromSystem, isUrl, throwIfAborted, VistaError } from "../errors.js";
import { commitFile, commitFiles, isInCommit, recoverCommit } from "./commit.js";
import { livePartials } from "./live-partials.js";
import { withRoom } from "./local-file.js";
import { isLeftBehind, newToken, parseCommit, parsePartial, partialPath } from "./partial-names.js";
import { settleAll } from "./settle.js";

export interface OutputOptions {
  /** Whether to replace an existing output, which is an `EXISTS` error otherwise. The default is false. */
  force?: boolean | undefined;
  /** Whether to fsync the output and its folder before the call returns. The default is true. */
  fsync?: boolean | undefined;
}

type StoppableOutput = OutputOptions & { readonly signal?: AbortSignal };

/**
 * Checks, before any work is done, that `path` can become an output: its folder exists, nothing is in the way (or
 * `force` is set and it is a regular file), and `needed` bytes are free. What a dead process left of the same output is cleared.
 *
 * @param isOurs  tells whether another name in the folder belongs to the output too, as those of its shards do
 * @returns the path to write to: a symbolic link is followed, so that the link stays a link
 * @throws VistaError `EXISTS`, `WRONG_KIND`, `NOT_FOUND`, `NO_SPACE`, `IO`
 */
export async function prepareOutput(
  path: string,
  needed: number,
  options: OutputOptions = {},
  isOurs: (name: string) => boolean = () => false,
): Promise<string> {
  await clearLeftBehind(path, isOurs);
  const target = await checkTarget(path, options.force ?? false);
  await checkSpace(dirname(target), needed);
  return target;
}

/** Checks that `folder` exists and has room for `needed` bytes. @throws VistaError `NOT_FOUND`, `NO_SPACE`, `IO` */
export async function checkSpace(folder: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      throw fromSystem(error, folder, "look at the output folder");
    throw new VistaError("NOT_FOUND", "the folder of the output does not exist", {
      path: folder,
      hint: isUrl(folder) ? "Outputs are local files." : "Make it first, or choose another output.",
      cause: error,
    });
  });
  const free = bavail * bsize;
  // Some network file systems report 0 blocks in all; there only the write itself can tell.
  if (free < needed && free > 0) {
    throw new VistaError("NO_SPACE", `the output needs ${needed} bytes and ${free} are free here`, {
      path: folder,
      hint: "Free some space or choose another output.",
    });
  }
}

/** Looks at what has the name of an output, without following a link. @returns `undefined` where there is nothing */
export async function lookAtOutput(path: string): Promise<Stats | undefined> {
  return lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw fromSystem(error, path, "look at the output");
  });
}

async function checkTarget(path: string, force: boolean): Promise<string> {
  const stats = await lookAtOutput(path);
  if (stats === undefined) return path;
  if (stats.isSymbolicLink()) {
    const resolved = await realpath(path).catch((error: unknown) => {
      throw new VistaError("NOT_FOUND", "the output is a symbolic link to nowhere", {
        path,
        hint: "Remove the link or choose another output.",
        cause: error,
      });
    });
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
  if (!force) throw outputExists(path);
  return path;
}

/** Returns the error for an output that is there already. @param it  what `--force` would replace */
export function outputExists(path: string, it = "it"): VistaError {
  return new VistaError("EXISTS", "the output already exists", {
    path,
    hint: `Use --force to replace ${it}, or choose another output.`,
  });
}

/** Clears what dead processes left of an output: files that are half written, and sets that are half replaced. */
export async function clearLeftBehind(
  path: string,
  isOurs: (name: string) => boolean = () => false,
): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const folder = dirname(target);
  const names = await readdir(folder).catch(() => [] as string[]); // A later step says what is wrong with the folder.
  const hidden = names.filter((name) => name.startsWith("."));
  const belongs = (name: string) => name === basename(target) || isOurs(name);
  try {
    for (const name of hidden) {
      const of = parseCommit(name);
      if (of === undefined) continue;
      const journal = join(folder, name);
      // The note may be that of a set whose seal has another name: all files of the set are put back.
      if (belongs(of) || isInCommit(journal, target)) recoverCommit(journal);
    }
    for (const name of hidden) {
      const partial = parsePartial(name);
      if (partial === undefined || !belongs(parseCommit(partial.of) ?? partial.of)) continue;
      const file = join(folder, name);
      if (!isLeftBehind(partial.token, file)) continue;
      const of = join(folder, partial.of);
      // This is a folder that had stepped aside, or a power cut has taken the note of what was being replaced.
      if (partial.kind === "old" && !existsSync(of)) await rename(file, of);
      else await rm(file, { recursive: true, force: true });
    }
  } catch (error) {
    throw fromSystem(error, folder, "clear what a run that was killed left");
  }
}

/**
 * A file being written under a temporary name. Write through {@link handle}, then call {@link commit}, or
 * {@link commitTogether} for several; on any error call {@link discard} (safe to call after commit).
 */
export class AtomicFile {
  #finishing: Promise<void> | undefined;
  #syncing = false;

  private constructor(
    readonly path: string,
    readonly temporary: string,
    readonly handle: FileHandle,
    readonly options: StoppableOutput,
  ) {}

  /** Creates the file under its temporary name. @param path  the path that {@link prepareOutput} returned */
  static async create(path: string, options: StoppableOutput = {}): Promise<AtomicFile> {
    const token = newToken();
    const temporary = partialPath(path, token, "partial");
    try {
      // 0o666 less the umask is the mode that `cp` and `torch.save` give a new file.
      const handle = await withRoom(() => open(temporary, "wx", 0o666));
      livePartials.set(temporary, token);
      return new AtomicFile(path, temporary, handle, options);
    } catch (error) {
      throw fromSystem(error, path, "create the output");
    }
  }

  /** Writes at the end. @throws VistaError `NO_SPACE`, `IO` */
  async write(content: string | Uint8Array): Promise<void> {
    await this.handle.writeFile(content).catch(cannot("write the output", this.path));
  }

  /**
   * Waits until the file is on disk and closes it; it still has its temporary name.
   * @throws VistaError `NO_SPACE`, `IO`, `ABORTED`
   */
  finish(): Promise<void> {
    this.#finishing ??= this.#finish();
    return this.#finishing;
  }

  async commit(): Promise<void> {
    await commitTogether([this]);
  }

  /** Removes the temporary file; the target stays as it was. */
  async discard(): Promise<void> {
    if (livePartials.has(this.temporary)) await rm(this.temporary, { force: true }).catch(() => {});
    livePartials.delete(this.temporary);
    const closing = this.handle.close().catch(() => {});
    // Closing waits for a sync that is under way, which can take a minute; whoever pressed Ctrl-C does not wait for it.
    if (!(this.#syncing && this.options.signal?.aborted)) await closing;
  }

  async #finish(): Promise<void> {
    try {
      if (this.options.fsync !== false) {
        this.#syncing = true;
        await unlessAborted(this.handle.sync(), this.options.signal);
      }
      await this.handle.close();
    } catch (error) {
      throw fromSystem(error, this.path, "finish the output");
    }
  }
}

/** Returns what `work` gives, or throws `ABORTED` as soon as the signal comes; work that cannot be stopped goes on alone. */
async function unlessAborted<Result>(
  work: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  throwIfAborted(signal);
  if (signal === undefined) return work;
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedError(signal));
    signal.addEventListener("abort", onAbort);
  });
  work.catch(() => {});
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Makes files that belong together appear under their final names, all or none. Between the first name and the last there
 * is nothing but renames, since all files are complete and on disk before. The last file is the seal of the set (an index, the
 * report that a person opens): it is there only while the set is whole.
 *
 * @param stale  files of an older set that the new one leaves out; they are removed at the end
 * @throws VistaError `EXISTS`, `NO_SPACE`, `IO`, `ABORTED`
 */
export async function commitTogether(
  files: readonly AtomicFile[],
  stale: readonly string[] = [],
): Promise<void> {
  const last = files.at(-1);
  if (last === undefined) return;
  const { force = false, fsync = true, signal } = last.options;
  try {
    await settleAll(files.map((file) => file.finish()));
    throwIfAborted(signal);
    if (files.length === 1) commitFile(last, force);
    else await commitFiles(files, { force, fsync, token: newToken(), signal });
    for (const { temporary } of files) livePartials.delete(temporary);
    for (const path of stale) await rm(path, { force: true });
    if (fsync) for (const folder of new Set(files.map(({ path }) => dirname(path)))) await syncFolder(folder);
  } catch (error) {
    await settleAll(files.map((file) => file.discard()));
    throw fromSystem(error, last.path, "finish the output");
  }
}

/** Writes all bytes with calls that block. */
export function writeAllSync(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.byteLength; )
    done += writeSync(fd, bytes, done, bytes.byteLength - done, position + done);
}

/** Fsyncs a folder, since a rename is on disk only when the folder is. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r").catch(() => undefined); // The folder may be written but not read.
  await handle?.sync().catch(() => {}); // Some file systems refuse fsync on a folder; the file itself is safe.
  await handle?.close();
}

/**
 * Makes one output, whole or not at all.
 * @throws VistaError what {@link prepareOutput} and `write` throw, `IO`
 */
export async function writeAtomically(
  path: string,
  bytes: number,
  options: StoppableOutput,
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
  options: StoppableOutput = {},
): Promise<void> {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return writeAtomically(path, bytes.byteLength, options, (handle) => handle.writeFile(bytes));
}
