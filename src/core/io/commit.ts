/**
 * The moment in which finished files get their names. One file is a rename. Several cannot be renamed at once: they are noted in a
 * file of their own first, the last of them (the seal: an index that names the others) is taken away before the first is
 * replaced and put there when all are, and what they replace is kept until then. So nobody finds a mixed set under a seal, and
 * whoever comes after a process that died in between can put back what was there.
 */
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted, VistaError } from "../errors.js";
import { commitPath, isLeftBehind, isToken, livePartials, partialPath } from "./partial-names.js";
import { readRegularSync } from "./regular.js";

/** A file that is complete and on disk under a temporary name. */
export interface FinishedFile {
  readonly temporary: string;
  readonly path: string;
}

export interface CommitOptions {
  /** Replace what is there. */
  readonly force: boolean;
  readonly fsync: boolean;
  /** Of the process and the set. */
  readonly token: string;
  readonly signal: AbortSignal | undefined;
}

/** What {@link commitPath} holds while several files get their names; paths from its folder. */
interface Journal {
  readonly token: string;
  readonly files: readonly { readonly path: string; readonly identity: string; readonly old: string }[];
}

/** Milliseconds that a run waits for another one that is giving names to files of the same output: that takes some ms. */
const PATIENCE_MS = 10_000;

/** Bytes of a note: 100,000 shards with long names. */
const MAX_JOURNAL = 64 * 2 ** 20;

/** Gives one file its name. @throws VistaError `EXISTS`, errors of the system */
export function commitFile({ temporary, path }: FinishedFile, force: boolean): void {
  if (force) renameSync(temporary, path);
  else renameNew(temporary, path);
}

/**
 * Gives several files their names, the last of them last, without anything else in between. Where that fails, all is as it was.
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
      if (!options.force) throw appeared(seal.path);
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

/** Whether a note speaks of a file among others. @param journal  see {@link commitPath} */
export function isInCommit(journal: string, path: string): boolean {
  return (
    readJournal(journal)?.files.some((file) => resolve(dirname(journal), file.path) === resolve(path)) ??
    false
  );
}

/**
 * Puts back what was there before a process that died while it gave names to several files, or takes away what it left behind
 * if they all have theirs. Nothing happens where the process lives.
 *
 * @param journal  see {@link commitPath}
 */
export function recoverCommit(journal: string): void {
  const noted = readJournal(journal);
  if (noted === undefined || !isLeftBehind(noted.token, journal)) return;
  const { files } = noted;
  const seal = files.at(-1)!;
  const inFolder = (name: string) => join(dirname(journal), name);
  const isComplete = identityOf(inFolder(seal.path)) === seal.identity;
  // The seal is the last here too.
  for (const entry of files) {
    const { identity } = entry;
    const [path, old] = [inFolder(entry.path), inFolder(entry.old)];
    if (isComplete) rmSync(old, { force: true });
    else if (identityOf(old) !== undefined) renameSync(old, path);
    else if (identityOf(path) === identity) rmSync(path, { force: true });
  }
  if (readJournal(journal)?.token === noted.token) rmSync(journal, { force: true });
}

/** rename() that does not replace a file which appeared while we were writing. */
function renameNew(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw appeared(to);
    // There are file systems without hard links (exFAT, some network mounts).
    if (identityOf(to) !== undefined) throw appeared(to);
    renameSync(from, to);
    return;
  }
  unlinkSync(from);
}

function appeared(path: string): VistaError {
  return new VistaError("EXISTS", "the output appeared while it was being made", {
    path,
    hint: "Use --force to replace it.",
  });
}

/** Gives a file a second name; where a file can have only one, another one. */
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

/** What tells a file from any other that has its name before or after; `undefined` where there is none. */
function identityOf(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}`;
}

/** Notes what is about to be done; waits while another run is doing the same. */
async function writeJournal(path: string, journal: Journal, options: CommitOptions): Promise<void> {
  const temporary = partialPath(path, options.token, "partial");
  livePartials.set(temporary, options.token);
  try {
    const file = openSync(temporary, "wx", 0o666);
    try {
      writeFileSync(file, JSON.stringify(journal));
      if (options.fsync) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    for (const end = performance.now() + PATIENCE_MS; ; ) {
      throwIfAborted(options.signal);
      recoverCommit(path);
      try {
        renameNew(temporary, path);
        livePartials.set(path, options.token);
        return;
      } catch (error) {
        if (!(error instanceof VistaError) || performance.now() > end) throw busy(error, path);
        await sleep(20);
      }
    }
  } finally {
    rmSync(temporary, { force: true });
    livePartials.delete(temporary);
  }
}

function busy(error: unknown, path: string): unknown {
  if (!(error instanceof VistaError)) return error;
  return new VistaError("EXISTS", "another run is giving the files of this output their names", {
    path,
    hint: "Wait for it, or remove this file if no run of vista-ckpt is writing here.",
    cause: error,
  });
}

/**
 * A note comes with a folder from anywhere, and what it says is done: only names that {@link commitFiles} gives are taken from
 * it, so that nobody's file can be named as one that was replaced.
 */
function readJournal(path: string): Journal | undefined {
  let noted: Partial<Journal> | null;
  try {
    noted = JSON.parse(readRegularSync(path, MAX_JOURNAL).toString("utf8")) as Partial<Journal> | null;
  } catch {
    return undefined; // gone, or no journal
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
