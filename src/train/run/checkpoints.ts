/** The checkpoints in a run folder that train.py made, and the one among them that it would go on from. */
import type { Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { asUndefined, cannot, fromSystem, VistaError } from "../../core/errors.js";
import { statsOf } from "../../core/io/regular.js";
import type { FolderFacts } from "../checkpoint-tools.js";

/** A checkpoint of a run: a folder (DeepSpeed) or a file (other strategies). */
export interface RunCheckpoint {
  /** The name, such as `last.ckpt` or `epoch=03.ckpt`. */
  name: string;
  path: string;
  kind: "folder" | "file";
  /** The bytes of all files in it. */
  bytes: number;
  /** The time of its newest file. */
  modified: Date;
}

/** Lists all checkpoints of a run, oldest first; the list is empty where there is none or no such folder. */
export async function listCheckpoints(run: string): Promise<RunCheckpoint[]> {
  const folder = join(run, "checkpoints");
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fromSystem(error, folder, "list the checkpoints");
  }
  const found: RunCheckpoint[] = [];
  for (const name of names) if (name.endsWith(".ckpt")) found.push(await measure(join(folder, name)));
  return found.sort((a, b) => a.modified.getTime() - b.modified.getTime() || byName.compare(a.name, b.name));
}

/** The order of names: `epoch=9` comes before `epoch=10`, and `last` after both. */
const byName = new Intl.Collator("en", { numeric: true });

/**
 * Looks at a checkpoint and adds up its files. A link to nothing is a file of 0 bytes, as it is to train.py, which takes it.
 * @throws VistaError `NOT_FOUND`, `IO`
 */
export async function measure(path: string): Promise<RunCheckpoint> {
  const own = await statsOrLink(path).catch(cannot("look at the checkpoint", path));
  const checkpoint: RunCheckpoint = {
    name: basename(path),
    path,
    kind: own.isDirectory() ? "folder" : "file",
    bytes: own.isFile() ? own.size : 0,
    modified: own.mtime,
  };
  if (!own.isDirectory()) return checkpoint;
  let newest = 0;
  for (const file of await filesBelow(path)) {
    checkpoint.bytes += file.size;
    newest = Math.max(newest, file.mtimeMs);
  }
  if (newest > 0) checkpoint.modified = new Date(newest);
  return checkpoint;
}

/** Returns what a path leads to, or the link itself where that leads nowhere. */
function statsOrLink(path: string): Promise<Stats> {
  return stat(path).catch(() => lstat(path));
}

async function filesBelow(path: string): Promise<Stats[]> {
  const files: Stats[] = [];
  // Without their types, entries that are links to folders would be gone into.
  for (const { parentPath, name } of await readdir(path, { withFileTypes: true, recursive: true })) {
    const stats = await statsOf(join(parentPath, name));
    if (stats?.isFile()) files.push(stats);
  }
  return files;
}

/**
 * Finds the checkpoint that `train.py --resume RUN` takes: the newest `last*.ckpt` by the time of the entry itself, as
 * `get_checkpoint_name` of train.py finds it.
 */
export async function lastCheckpoint(
  checkpoints: readonly RunCheckpoint[],
): Promise<RunCheckpoint | undefined> {
  let best: { checkpoint: RunCheckpoint; time: number } | undefined;
  // Of those with the same time, as all folders of some mounted buckets have it, train.py takes the last by its name.
  for (const checkpoint of [...checkpoints].sort((a, b) => byName.compare(a.name, b.name))) {
    if (!checkpoint.name.startsWith("last")) continue;
    const time = (await statsOrLink(checkpoint.path)).mtimeMs;
    if (best === undefined || time >= best.time) best = { checkpoint, time };
  }
  return best?.checkpoint;
}

/** The weights for `--finetune`. */
export interface Weights {
  /** The file that train.py loads. */
  file: string;
  /** The checkpoint folder whose shards are merged into `file`; undefined where a file was named. */
  checkpoint: string | undefined;
  /** Whether the file is made already, and nothing has changed since. */
  fresh: boolean;
}

/**
 * Finds out what a `--finetune` path is: a weights file, a checkpoint folder, or a run folder (its last checkpoint).
 *
 * Merged weights go into the run folder: `pytorch_model.bin` for the last checkpoint, `pytorch_model-epoch=03.bin` for
 * another one.
 *
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND` where the folder holds neither checkpoint nor run
 */
export async function resolveWeights(path: string): Promise<Weights> {
  const own = await stat(path).catch(cannot("open the weights", path));
  if (!own.isDirectory()) return single(path);
  if (await isShardFolder(path)) return shards(path);
  const checkpoints = await listCheckpoints(path);
  const last = (await lastCheckpoint(checkpoints)) ?? checkpoints.at(-1);
  if (last === undefined) {
    throw new VistaError(
      "WRONG_KIND",
      "the folder is neither a DeepSpeed checkpoint nor a run with checkpoints",
      {
        path,
        hint: "Name a .bin or .safetensors file, a checkpoint folder (it has a file `latest`), or a run folder of Vista.",
      },
    );
  }
  return last.kind === "file" ? single(last.path) : shards(last.path);
}

function single(file: string): Weights {
  return { file, checkpoint: undefined, fresh: true };
}

async function shards(checkpoint: string): Promise<Weights> {
  const run = runFolderOf(checkpoint);
  const name = basename(checkpoint).replace(/\.ckpt$/, "");
  const last = run === undefined ? undefined : await lastCheckpoint(await listCheckpoints(run));
  const isLast = last?.name === basename(checkpoint);
  const file = join(run ?? dirname(checkpoint), isLast ? "pytorch_model.bin" : `pytorch_model-${name}.bin`);
  const merged = await statsOf(file);
  if (merged === undefined) return { file, checkpoint, fresh: false };
  const files = await filesBelow(checkpoint);
  const fresh = files.every((own) => lastChange(own) <= lastChange(merged));
  return { file, checkpoint, fresh };
}

/** Returns when a file was last written or put in its place: a newer checkpoint that `rsync -a` brings keeps its older time. */
function lastChange({ mtimeMs, ctimeMs }: Stats): number {
  return Math.max(mtimeMs, ctimeMs);
}

/** Returns the run folder of a checkpoint, `RUN` of `RUN/checkpoints/X.ckpt`; undefined for one that lies elsewhere. */
export function runFolderOf(checkpoint: string): string | undefined {
  const parent = dirname(checkpoint);
  return basename(parent) === "checkpoints" ? dirname(parent) : undefined;
}

/** Reads what a checkpoint says of itself; undefined where it cannot be read. */
export async function factsOf(path: string): Promise<FolderFacts | undefined> {
  const { readFolder } = await import("../checkpoint-tools.js");
  return readFolder(path).catch(asUndefined);
}

/** Tells whether a folder is a DeepSpeed checkpoint (it has `latest`) or the tag folder in one. */
async function isShardFolder(path: string): Promise<boolean> {
  const names = await readdir(path);
  return names.some((name) => name === "latest" || name.endsWith("_model_states.pt"));
}
