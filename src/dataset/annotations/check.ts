/** `checkAnnotations`, which checks Vista's nuScenes.json, nuScenes_val.json and YouTube.json, and DriveAGI's language files. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { isVistaError, throwIfAborted, VistaError } from "../../core/errors.js";
import { runWorker, TASK_WORKER_FROM } from "../../core/io/worker.js";
import { formatCount as count, plural } from "../../core/text.js";
import type { AnnotationTally, Check, CheckOptions, CheckSummary, Finding, QuickTally } from "../finding.js";
import { readSplits, type Split } from "../opendv/meta.js";
import { findOpenDvRoot } from "../opendv/root.js";
import { isFirst, requireCheckOptions, requireCount } from "../options.js";
import { pathFrom } from "../paths.js";
import type { UnusableRecords } from "./clean.js";
import { dataOf, rootOf } from "./clips.js";
import { type AnnotationMessage, type AnnotationTask, runAnnotations, totalBytes } from "./run.js";

/** The options of {@link checkAnnotations}. */
export interface AnnotationCheckOptions extends CheckOptions {
  /**
   * The folder that the paths in findings are relative to. The default is the folder above `annos/`, or that of the first file.
   */
  root?: string | undefined;
  /**
   * The folder of the frames that nuScenes.json names. The default is `data/nuscenes` below the root, else the nuScenes set that is in
   * the root, or the root itself where it holds `samples/`. With `false`, nobody looks for frames.
   */
  nuscenes?: string | false | undefined;
  /**
   * The folder of the folders that YouTube.json names. The default is `data/YouTube` below the root, else that from which `annos youtube`
   * of the root makes names. With `false`, nobody looks for frames.
   */
  youtube?: string | false | undefined;
  /** The number of frames of a clip in training. The default is 25. */
  numFrames?: number | undefined;
  /**
   * The bounds of the quick form of the check, for a look before a training starts. It looks at the shape of all records that can
   * be read in a given time. For nuScenes it looks for the frames of all these records; for clips of consecutive frames, it looks
   * for those of some records and of the last clip of each folder. `summary.sampled` then says what was left out. By default,
   * everything is looked at.
   */
  quick?:
    | {
        /** The number of seconds for reading each file; what follows may take twice as long again. The default is 20. */
        seconds?: number | undefined;
        /** The number of records, chosen at random (with `seed`), whose frames are looked for. The default is 400. */
        records?: number | undefined;
      }
    | undefined;
  /**
   * The object to be filled in with the records of one of the files that Vista cannot use, for {@link writeClean}. It does not go
   * together with `quick`.
   */
  unusable?: UnusableRecords | undefined;
}

/**
 * The defaults of {@link AnnotationCheckOptions.quick}. Where 1 % of the records have a fault, 400 records show it with a chance
 * of 98 %.
 */
export const QUICK: Readonly<Record<"seconds" | "records", number>> = { seconds: 20, records: 400 };

/**
 * Checks annotation files. The records of a file show which kind it is; its name only says whether it is for validation.
 * The iteration throws `USAGE` where there is no file to check.
 */
export function checkAnnotations(files: readonly string[], options: AnnotationCheckOptions = {}): Check {
  const root = options.root ?? rootOf(files[0] ?? ".");
  const summary: CheckSummary = {
    kind: "annotations",
    title: `annotations: ${files.map((file) => basename(file)).join(", ")}`,
    root,
    coverage: [],
    unseen: ["sizes and contents of the frames that annotations name"],
    interrupted: true,
  };
  return { summary, [Symbol.asyncIterator]: () => findings(files, summary, options) };
}

async function* findings(
  files: readonly string[],
  summary: CheckSummary,
  options: AnnotationCheckOptions,
): AsyncGenerator<Finding> {
  requireCheckOptions(options);
  requireCount("numFrames", options.numFrames);
  if (files.length === 0)
    throw new VistaError("USAGE", "there is no annotation file to check", {
      hint: "Give the paths of some.",
    });
  throwIfAborted(options.signal);
  const records = { what: "annotation records", checked: 0, total: 0 };
  summary.coverage.push(records);
  // An annotation file is not split, so the first shard does all of it.
  if (!isFirst(options.shard)) {
    summary.interrupted = false;
    return;
  }
  const task = await makeTask(files, summary, options);
  const found: Finding[] = [];
  const tallies: AnnotationTally[] = [];
  const total = totalBytes(task);
  const onMessage = (message: AnnotationMessage) => {
    if (message.kind === "bytes") {
      options.onProgress?.({ phase: "check annotations", done: message.bytes, total, unit: "bytes" });
      return;
    }
    for (const one of message.findings) found.push(one);
    if (message.tally !== undefined) tallies.push(message.tally);
    if (message.unusable !== undefined) Object.assign(options.unusable!, message.unusable);
    for (const one of message.missing) options.onMissing?.(one);
  };
  if (total >= TASK_WORKER_FROM) {
    await runWorker(new URL("./annotations-worker.js", import.meta.url), task, options.signal, onMessage);
  } else await runAnnotations(task, onMessage, () => options.signal?.aborted ?? false);
  throwIfAborted(options.signal);
  summary.annotations = tallies;
  for (const tally of tallies) {
    records.checked += tally.records;
    records.total += tally.quick?.total ?? tally.records;
    const { quick } = tally;
    if (quick === undefined) continue;
    const left = leftOut(tally, quick, options.seed ?? 0);
    if (left.length > 0) summary.sampled = [...(summary.sampled ?? []), ...left];
  }
  // The records of a file that cannot be read are in no count.
  const [checked, all] = [tallies.length, task.files.length];
  if (checked < all) summary.coverage.push({ what: "annotation files", checked, total: all });
  yield* found;
  summary.interrupted = false;
}

/** Returns what a quick check did not look at in one file. */
function leftOut({ path, records }: AnnotationTally, quick: QuickTally, seed: number): string[] {
  const { total, read, size, sampled, frames } = quick;
  const parts: string[] = [];
  const whole = read >= size;
  const all = whole ? count(total) : `about ${count(total)}`;
  if (!whole) {
    const share = `${count(records - sampled)} in the first ${Math.floor((read / size) * 100)} % of the file`;
    parts.push(
      `${count(records)} of ${all} records of ${path} (${share}, ${count(sampled)} from the rest, seed ${seed})`,
    );
  }
  if (frames !== undefined && !frames.all) {
    parts.push(
      `frames of ${count(frames.records)} of ${all} records of ${path} (seed ${seed}) and the last one of ${plural(frames.folders, "folder")}`,
    );
  }
  return parts;
}

async function makeTask(
  files: readonly string[],
  summary: CheckSummary,
  options: AnnotationCheckOptions,
): Promise<AnnotationTask> {
  const { root } = summary;
  const pictures = existsSync(join(root, "samples")) ? root : undefined;
  const nuscenes = options.nuscenes ?? dataOf("NuScenes", root) ?? pictures;
  const youtube = options.youtube ?? dataOf("YouTube", root);
  const { unusable, quick, seed = 0 } = options;
  const nameOf = (path: string) => pathFrom(root, path);
  const folder = (path: string | false | undefined) => (path ? { name: nameOf(path), path } : undefined);
  return {
    files: files.map((path) => ({ name: nameOf(path) || basename(path), path })),
    unusable: unusable && nameOf(unusable.path),
    data: { NuScenes: folder(nuscenes), YouTube: folder(youtube) },
    listMissing: options.onMissing !== undefined,
    splits: await knownSplits(youtube, summary),
    frames: options.numFrames ?? 25,
    quick: quick && {
      seconds: quick.seconds ?? QUICK.seconds,
      records: quick.records ?? QUICK.records,
      seed,
    },
  };
}

/** Reads the splits of the videos; where a list cannot be read, the summary says that they are not known. */
async function knownSplits(
  youtube: string | false | undefined,
  summary: CheckSummary,
): Promise<Map<string, Split>> {
  const found = youtube ? findOpenDvRoot(youtube) : undefined;
  const unseen = (why: string) => {
    summary.unseen = [...(summary.unseen ?? []), `validation videos of the list of videos (${why})`];
    return new Map<string, Split>();
  };
  const lost = found?.broken.find(({ path }) => path.endsWith("meta"));
  if (lost !== undefined) return unseen(`${lost.path}: ${lost.reason}`);
  try {
    return await readSplits(found?.metaFiles ?? []);
  } catch (error) {
    if (!isVistaError(error)) throw error;
    return unseen(error.message);
  }
}
