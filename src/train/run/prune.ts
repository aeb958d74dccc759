/** The removal of the older checkpoints of a run, after every byte of those that stay was looked at. */
import { lstat, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, join, sep } from "node:path";
import { cannot, orElse, throwIfAborted, VistaError } from "../../core/errors.js";
import { wayWithin } from "../../core/io/within.js";
import type { RunOptions } from "../../core/progress.js";
import { sum } from "../../core/sum.js";
import { factsOf, lastCheckpoint, listCheckpoints, type RunCheckpoint } from "./checkpoints.js";
import { checkRunFolder } from "./runs.js";

export interface PruneOptions extends RunOptions {
  /** Whether only to verify and report, and remove nothing. */
  dryRun?: boolean | undefined;
}

export interface PruneReport {
  readonly run: string;
  readonly dryRun: boolean;
  /** The checkpoints that stay, oldest first. */
  readonly kept: readonly RunCheckpoint[];
  /** Whether they were verified: they are not where nothing is to be removed. */
  readonly verified: boolean;
  /** The checkpoints that were removed, or would be with `dryRun`, oldest first. */
  readonly removed: readonly RunCheckpoint[];
  /** The bytes of `removed`. */
  readonly bytes: number;
}

/** The pattern of a checkpoint's name while it is being removed, which no training or command takes for a checkpoint. */
const LEFTOVER = /^\..+\.ckpt\.removing$/;

/**
 * Keeps the newest checkpoints of a run, and the one that `--resume RUN` takes, and removes the others. Those that stay are
 * read whole first: where one is damaged, incomplete or holds NaN, nothing is removed. A checkpoint is renamed before its
 * files go, so that none is ever half there; what an interrupted run has left of one is removed by the next.
 *
 * @param keep  how many checkpoints stay, at least 1; a link and what it points to are one
 * @throws VistaError `NOT_FOUND` for a run without checkpoints, `WRONG_KIND` for a file, `INCONSISTENT` where one that stays is not sound or changes while
 *   it is verified, `IO`, `ABORTED`
 */
export async function pruneRun(run: string, keep: number, options: PruneOptions = {}): Promise<PruneReport> {
  const { signal, dryRun = false } = options;
  if (!Number.isSafeInteger(keep) || keep < 1)
    throw new VistaError("USAGE", `cannot keep ${keep} checkpoints`, { hint: "Keep 1 or more." });
  await checkRunFolder(run);
  const checkpoints = await listCheckpoints(run);
  if (checkpoints.length === 0) {
    throw new VistaError("NOT_FOUND", "there are no checkpoints in this run", {
      path: join(run, "checkpoints"),
      hint: "Name the run folder, the one that has `checkpoints` in it.",
    });
  }
  const { kept, old } = await choose(checkpoints, keep);
  if (old.length > 0) {
    await checkOrder(old, checkpoints.filter(({ kind }) => kind === "folder").slice(-keep));
    await checkLinks(old, kept);
    for (const checkpoint of kept) await checkSound(checkpoint, options);
    await checkUnchanged(run, kept);
  }
  if (!dryRun) {
    await removeLeftovers(join(run, "checkpoints"));
    const removed: string[] = [];
    for (const { path, name } of old) {
      if (signal?.aborted && removed.length > 0) throw stopped(removed, signal);
      throwIfAborted(signal);
      await remove(path);
      removed.push(name);
    }
  }
  const bytes = sum(old, (checkpoint) => checkpoint.bytes);
  return { run, dryRun, kept, verified: old.length > 0, removed: old, bytes };
}

/** Chooses what stays. A link and the checkpoint that it points to stay or go together; a link has no bytes of its own. */
async function choose(
  checkpoints: readonly RunCheckpoint[],
  keep: number,
): Promise<{ kept: RunCheckpoint[]; old: RunCheckpoint[] }> {
  const real = new Map<RunCheckpoint, string>();
  for (const checkpoint of checkpoints)
    real.set(
      checkpoint,
      await realpath(checkpoint.path).catch(cannot("look at the checkpoint", checkpoint.path)),
    );

  const staying = new Set<string>();
  // A merged file beside the folders of DeepSpeed is nothing that a training goes on from: each kind is counted by itself.
  for (const kind of ["folder", "file"] as const) {
    const newest = checkpoints.filter((one) => one.kind === kind).map((one) => real.get(one)!);
    for (const path of [...new Set(newest.reverse())].slice(0, keep)) staying.add(path);
  }
  const resumed = await lastCheckpoint(checkpoints);
  if (resumed !== undefined) staying.add(real.get(resumed)!);
  const kept = checkpoints.filter((checkpoint) => staying.has(real.get(checkpoint)!));
  const old: RunCheckpoint[] = [];
  for (const checkpoint of checkpoints) {
    if (staying.has(real.get(checkpoint)!)) continue;
    const isLink = (await lstat(checkpoint.path)).isSymbolicLink();
    old.push(isLink ? { ...checkpoint, bytes: 0 } : checkpoint);
  }
  return { kept, old };
}

/** Checks that times and steps give one order: a copy of a run may have other times, by which the newest would go. */
async function checkOrder(old: readonly RunCheckpoint[], newest: readonly RunCheckpoint[]): Promise<void> {
  const [going, staying] = [(await bySteps(old)).at(-1), (await bySteps(newest))[0]];
  if (going === undefined || staying === undefined || going.steps <= staying.steps) return;
  throw new VistaError(
    "INCONSISTENT",
    `nothing was removed: ${going.name} has ${going.steps} steps and would go, ${staying.name} has ${staying.steps} and would stay, since its files are newer`,
    {
      path: going.path,
      hint: "Where the times are those of a copy, set them right with `touch`; otherwise remove by hand what is not needed.",
    },
  );
}

/** Checks that nothing in a checkpoint that stays is a link into one that goes. */
async function checkLinks(old: readonly RunCheckpoint[], kept: readonly RunCheckpoint[]): Promise<void> {
  for (const { path, kind } of kept) {
    if (kind === "file") continue;
    // A checkpoint that is a link has nothing within it that would go.
    const folder = await realpath(join(path, ".."));
    for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
      if (!entry.isSymbolicLink()) continue;
      const link = join(entry.parentPath, entry.name);
      // A link that leads nowhere is found when the checkpoint is read.
      const target = await realpath(link).catch(orElse(undefined));
      const way = target && wayWithin(folder, target);
      const other = old.find(({ name }) => way === name || way?.startsWith(join(name, sep)));
      if (other === undefined) continue;
      throw new VistaError(
        "INCONSISTENT",
        `nothing was removed: it leads into ${other.name}, which would go`,
        {
          path: link,
          hint: "Put a copy in the place of the link, or keep more.",
        },
      );
    }
  }
}

/** Returns the checkpoints that say their number of steps, in the order of these. */
async function bySteps(
  checkpoints: readonly RunCheckpoint[],
): Promise<(RunCheckpoint & { steps: number })[]> {
  const found: (RunCheckpoint & { steps: number })[] = [];
  for (const one of checkpoints) {
    const steps = (await factsOf(one.path))?.steps;
    if (steps !== undefined) found.push({ ...one, steps });
  }
  return found.sort((a, b) => a.steps - b.steps);
}

async function checkSound({ path }: RunCheckpoint, options: RunOptions): Promise<void> {
  const { verify } = await import("../checkpoint-tools.js");
  const problem = await verify(path, options);
  if (problem === undefined) return;
  throw new VistaError(
    "INCONSISTENT",
    `nothing was removed, since a checkpoint that would stay is not sound: ${problem}`,
    { path, hint: "Move it away, so that an older one stays instead, or keep more." },
  );
}

/** Checks that nothing changed: a running training may write the checkpoint that was verified a minute ago once more. */
async function checkUnchanged(run: string, kept: readonly RunCheckpoint[]): Promise<void> {
  const now = new Map((await listCheckpoints(run)).map((checkpoint) => [checkpoint.path, checkpoint]));
  for (const { path, bytes, modified } of kept) {
    const current = now.get(path);
    if (current?.bytes === bytes && current.modified.getTime() === modified.getTime()) continue;
    throw new VistaError("INCONSISTENT", "nothing was removed, since it changed while it was verified", {
      path,
      hint: "The training still runs: try again when it has ended, or between two checkpoints.",
    });
  }
}

async function remove(path: string): Promise<void> {
  const aside = join(path, "..", `.${basename(path)}.removing`);
  await rename(path, aside).catch(cannot("remove the checkpoint", path));
  await removeAll(aside);
}

async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (LEFTOVER.test(name)) await removeAll(join(folder, name));
}

async function removeAll(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true }).catch(cannot("remove the checkpoint", path));
}

function stopped(removed: readonly string[], signal: AbortSignal): VistaError {
  return new VistaError("ABORTED", "stopped on request", {
    hint: `Removed before: ${removed.join(", ")}.`,
    cause: signal.reason,
  });
}
