/** The checkpoints of a run looked into: whether they are whole, and which one train.py would go on from. */
import { existsSync } from "node:fs";
import { lstat } from "node:fs/promises";
import { isVistaError } from "../../core/errors.js";
import { namesIn } from "../../core/io/regular.js";
import type { RunOptions } from "../../core/progress.js";
import type { FolderFacts } from "../checkpoint-tools.js";
import { lastCheckpoint, type RunCheckpoint } from "./checkpoints.js";

/** A checkpoint of a run, and whether a training can go on with it. */
export interface CheckpointStatus extends Omit<RunCheckpoint, "kind" | "modified">, FolderFacts {
  /** The time of its newest file, ISO 8601 in UTC. */
  modified: string;
  /**
   * Whether it is whole: false where files are missing, cut off or contradict one another, undefined for a single file, which is
   * not looked into, and for a kind of checkpoint that cannot be read here.
   */
  whole: boolean | undefined;
  /** The reason why it is not whole, or could not be read. */
  problem?: string;
}

/** What is said of a file, such as a merged one, where a strategy of DeepSpeed would go on with it. */
export const SINGLE = "a single file, and DeepSpeed goes on from folders";
const DANGLING = "a link that leads nowhere";

/** Looks at a checkpoint: at a folder's shards by their pickles, at a file only by its size. */
export async function lookAt(
  checkpoint: RunCheckpoint,
  options: Pick<RunOptions, "signal"> = {},
): Promise<CheckpointStatus> {
  const { name, path, kind, bytes, modified } = checkpoint;
  const unknown = { whole: undefined, ranks: undefined, steps: undefined };
  const status: CheckpointStatus = { name, path, bytes, modified: modified.toISOString(), ...unknown };
  const notWhole = (problem: string): CheckpointStatus => ({ ...status, whole: false, problem });
  if (kind === "file") {
    if (bytes > 0) return status;
    return notWhole((await isLink(path)) ? DANGLING : "the file is empty");
  }
  try {
    const { readFolder } = await import("../checkpoint-tools.js");
    const facts = await readFolder(path, options);
    const names = await namesIn(path);
    if (names.some((name) => name === "latest" || name === "latest_universal"))
      return { ...status, whole: true, ...facts };
    return { ...notWhole("no file `latest` in it, without which DeepSpeed loads nothing"), ...facts };
  } catch (error) {
    if (!isVistaError(error) || error.code === "ABORTED") throw error;
    // What cannot be read here may be whole all the same.
    return error.code === "UNSUPPORTED" ? { ...status, problem: error.message } : notWhole(error.message);
  }
}

/** Tells whether a path that was found to have no bytes is a link, and so one that leads to nothing. */
async function isLink(path: string): Promise<boolean> {
  return (await lstat(path)).isSymbolicLink() && !existsSync(path);
}

/**
 * Returns why train.py finds no checkpoint in a run because of its path; undefined where it does.
 *
 * @param given  the path of the run as train.py gets it, or of a folder above
 */
export function pathProblem(given: string): string | undefined {
  if (!/[*?[]/.test(given)) return undefined;
  return `${given}: train.py looks for last*.ckpt with a pattern, to which * ? and [ in the path are signs`;
}

/**
 * Looks at what `train.py --resume RUN` chooses from.
 *
 * @param look  gives the status of a checkpoint
 * @returns the one that it takes; the problem that stops it on the way; the doubt whether another one is not meant
 */
export async function lastChoice(
  found: readonly RunCheckpoint[],
  look: (checkpoint: RunCheckpoint) => CheckpointStatus | Promise<CheckpointStatus>,
): Promise<{ taken?: RunCheckpoint | undefined; problem?: string; doubt?: string }> {
  const taken = await lastCheckpoint(found);
  const others = found.filter(({ name }) => name.startsWith("last") && name !== taken?.name);
  if (taken === undefined || others.length === 0) return { taken };
  const looked: CheckpointStatus[] = [];
  for (const other of others) looked.push(await look(other));
  const broken = looked.find(({ problem }) => problem === DANGLING);
  if (broken !== undefined)
    return {
      taken,
      problem: `${broken.name} is ${DANGLING}, at which train.py stops when it compares times`,
    };
  const { steps = Number.POSITIVE_INFINITY } = await look(taken);
  const further = looked.find((other) => other.steps !== undefined && other.steps > steps);
  if (further === undefined) return { taken };
  return {
    taken,
    doubt: `${further.name} is further, by ${further.steps} steps to ${steps} of ${taken.name}`,
  };
}
