/**
 * The moment in which finished files get their names. A single file is renamed. Several files cannot be renamed at once, so a
 * note lists them first. The last of them is the seal, an index that names the others: the old seal is taken away before the
 * first file is replaced, and the new one gets its name after all others. The files that they replace are kept until then. So
 * nobody finds a mixed set under a seal, and whoever comes after a process that died in between can put back what was there.
 */
import { linkSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted, VistaError } from "../errors.js";
import { livePartials } from "./live-partials.js";
import { commitPath, isLeftBehind, isToken, partialPath } from "./partial-names.js";
import { readRegularSync } from "./regular.js";

/** A file that is complete and on disk under a temporary name. */
export interface FinishedFile {
  readonly temporary: string;
  readonly path: string;
}

export interface CommitOptions {
  readonly force: boolean;
  readonly fsync: boolean;
  /** The token that names the process and the set. */
  readonly token: string;
  readonly signal: AbortSignal | undefined;
}

/** The note at {@link commitPath} while several files get their names; its paths are relative to its folder. */
interface Journal {
  readonly token: string;
  readonly files: readonly { readonly path: string; readonly identity: string; readonly old: string }[];
}

/** The milliseconds that a run waits for another one that is giving names to files of the same output, which takes some ms. */
const PATIENCE_MS = 10_000;

/** The largest size of a note in bytes, enough for 100,000 shards with long names. */
const MAX_JOURNAL = 64 * 2 ** 20;

/** Gives one file its name. @throws VistaError `EXISTS`, errors of the system */
export function commitFile({ temporary, path }: FinishedFile, force: boolean): void {
  if (force) renameSync(temporary, path);
  else renameNew(temporary, path);
}

/**
 * Gives several files their names, the last of them last, with nothing else in between. Where that fails, all is as it was
 * before.
 *
 * @throws VistaError `EXISTS`, `ABORTED`, errors of the system
 */
export async function commitFiles(files: readonly FinishedFile[], options: CommitOptions): Promise<void> {
  const seal = files.at(-1)!;
  const journal = commitPath(seal.path);
  const old = (path: string) => partialPath(path, options.token, "old");
  const fromJournal = (path: string) => relative(resolve(dirname(journal)), resolve(path));
  const entries = files.map(({ temporary, path }) => ({
    path: fromJournal(path),
    identity: identityOf(temporary)!,
    old: fromJournal(old(path)),
  }));
  await writeJournal(journal, { token: options.token, files: entries }, options);
  const replaced: string[] = [];
  const placed: FinishedFile[] = [];
  try {
    if (identityOf(seal.path) !== undefined) {
      if (!options.force) throw outputAppeared(seal.path);
      renameSync(seal.path, old(seal.path));
      replaced.push(seal.path);
    }
    for (const file of files) {
      if (file !== seal && options.force && identityOf(file.path) !== undefined) {
        keep(file.path, old(file.path));
        replaced.push(file.path);
      }
      commitFile(file, options.force);
      placed.push(file);
    }
  } catch (error) {
    for (const { path } of placed) if (!replaced.includes(path)) rmSync(path, { force: true });
    for (const path of replaced.reverse()) renameSync(old(path), path);
    rmSync(journal, { force: true });
    throw error;
  } finally {
    livePartials.delete(journal);
  }
  for (const path of replaced) rmSync(old(path), { force: true });
  rmSync(journal, { force: true });
}

/** Tells whether a note lists a file. @param journal  the path of the note, see {@link commitPath} */
export function isInCommit(journal: string, path: string): boolean {
  return (
    readJournal(journal)?.files.some((file) => resolve(dirname(journal), file.path) === resolve(path)) ??
    false
  );
}

/**
 * Puts back what was there before a process that died while it gave names to several files; where all files have their names
 * already, only removes what the process left behind. It does nothing while the process lives.
 *
 * @param journal  the path of the note, see {@link commitPath}
 */
export function recoverCommit(journal: string): void {
  const noted = readJournal(journal);
  if (noted === undefined || !isLeftBehind(noted.token, journal)) return;
  const { files } = noted;
  const seal = files.at(-1)!;
  const inFolder = (name: string) => join(dirname(journal), name);
  const isComplete = identityOf(inFolder(seal.path)) === seal.identity;
  // The seal comes last here too, so that it never stands over a mixed set.
  for (const entry of files) {
    const { identity } = entry;
    const [path, old] = [inFolder(entry.path), inFolder(entry.old)];
    if (isComplete) rmSync(old, { force: true });
    else if (identityOf(old) !== undefined) renameSync(old, path);
    else if (identityOf(path) === identity) rmSync(path, { force: true });
  }
  if (readJournal(journal)?.token === noted.token) rmSync(journal, { force: true });
}

/** Renames a file, but does not replace one that appeared while we were writing. */
function renameNew(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw outputAppeared(to);
    // There are file systems without hard links (exFAT, some network mounts).
    if (identityOf(to) !== undefined) throw outputAppeared(to);
    renameSync(from, to);
    return;
  }
  unlinkSync(from);
}

/** Returns the error for an output that was not there when its making began. */
export function outputAppeared(path: string): VistaError {
  return new VistaError("EXISTS", "the output appeared while it was being made", {
    path,
    hint: "Use --force to replace it.",
  });
}

/** Gives a file a second name, or another name where a file can have only one. */
function keep(path: string, name: string): void {
  if (!statSync(path).isFile())
    throw new VistaError("WRONG_KIND", "something that is no file took the place of the output", {
      path,
      hint: "Remove it or choose another output.",
    });
  try {
    linkSync(path, name);
  } catch {
    renameSync(path, name);
  }
}

/** Returns what tells a file from any other that has its name before or after it; `undefined` where there is no file. */
function identityOf(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}`;
}

/** Writes a note of what is about to be done; waits while another run is doing the same. */
async function writeJournal(path: string, journal: Journal, options: CommitOptions): Promise<void> {
  const temporary = partialPath(path, options.token, "partial");
  livePartials.set(temporary, options.token);
  try {
    writeFileSync(temporary, JSON.stringify(journal), { flag: "wx", flush: options.fsync });
    for (const end = performance.now() + PATIENCE_MS; ; ) {
      throwIfAborted(options.signal);
      recoverCommit(path);
      try {
        renameNew(temporary, path);
        livePartials.set(path, options.token);
        return;
      } catch (error) {
        if (!(error instanceof VistaError)) throw error;
        if (performance.now() > end)
          throw new VistaError("EXISTS", "another run is giving the files of this output their names", {
            path,
            hint: "Wait for it, or remove this file if no run of vista-ckpt is writing here.",
            cause: error,
          });
        await sleep(20);
      }
    }
  } finally {
    rmSync(temporary, { force: true });
    livePartials.delete(temporary);
  }
}

/**
 * Reads a note. The folder may come from anywhere, and what its note says is done: so a note counts only where its files have the
 * names that {@link commitFiles} gives them, and no other file can be named as one that was replaced.
 *
 * @returns `undefined` where there is no note, or none that counts
 */
function readJournal(path: string): Journal | undefined {
  let noted: Partial<Journal> | null;
  try {
    noted = JSON.parse(readRegularSync(path, MAX_JOURNAL).toString("utf8")) as Partial<Journal> | null;
  } catch {
    return undefined; // The note is gone, or it is none.
  }
  const token = noted?.token;
  const files: unknown = noted?.files;
  if (!isToken(token) || !Array.isArray(files) || files.length === 0) return undefined;
  const isNoted = (file: Partial<Journal["files"][number]> | null) =>
    typeof file?.path === "string" &&
    typeof file.identity === "string" &&
    file.old === partialPath(file.path, token, "old");
  return files.every(isNoted) ? { token, files } : undefined;
}
