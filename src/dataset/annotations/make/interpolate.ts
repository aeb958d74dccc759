/** `writeInterpolatedTables`, which makes nuScenes tables at 12 Hz from those at 2 Hz and the frames between. */
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { fromSystem, throwIfAborted, VistaError } from "../../../core/errors.js";
import type { OutputOptions } from "../../../core/io/output.js";
import {
  type FolderInProgress,
  prepareOutputFolder,
  writeFolderAtomically,
} from "../../../core/io/output-folder.js";
import { openRegular, sizeOf } from "../../../core/io/regular.js";
import { settleAll } from "../../../core/io/settle.js";
import { runWorker, TASK_WORKER_FROM } from "../../../core/io/worker.js";
import type { RunOptions } from "../../../core/progress.js";
import { sum } from "../../../core/sum.js";
import type { SampleData } from "../../nuscenes/read/load.js";
import { loadTables, type Tables } from "../../nuscenes/read/load-tables.js";
import type { TableName } from "../../nuscenes/read/schema.js";
import { rowOf } from "../../nuscenes/read/tables.js";
import { type InterpolationTask, runInterpolation } from "./interpolate-task.js";
import { FRAMES, type InterpolationMessage, LAST, type SampleLinks, timeBetween } from "./interpolation.js";
import { refuseMadeTokens } from "./made-tokens.js";
import { NeededRows, scenesOf } from "./needed-rows.js";
import { pythonFloat } from "./python-json.js";
import { RawRowAt, suffixed, TableWriter } from "./raw-rows.js";
import { findNuScenes, type SceneChoice, sceneNames } from "./source.js";

/** The options of {@link writeInterpolatedTables}. */
export interface InterpolateOptions extends RunOptions, OutputOptions {
  /** The scenes whose samples the tables get: an official split, `all`, or names. The default is `all`. */
  split?: SceneChoice | undefined;
  /**
   * The name of the folder of the tables, such as `v1.0-mini`. The default is the one that is there or, of several, the one that
   * the split belongs to.
   */
  version?: string | undefined;
}

/** The figures of 12 Hz tables that were written. */
export interface InterpolatedTables {
  /** The version that the tables were made from. */
  version: string;
  /** The path of the folder that was written. */
  folder: string;
  /** The number of scenes whose samples the tables have. */
  scenes: number;
  /** The number of samples at 2 Hz. */
  keySamples: number;
  /** The number of samples that were made, at 12 Hz. */
  samples: number;
  /** The number of boxes that were made, which are the rows of sample_annotation. */
  annotations: number;
  /** The number of rows of sample_data that were made. */
  sampleData: number;
  /** The size of all tables in bytes. */
  bytes: number;
  /** The number of boxes and key frames that were left out because their samples are not there. */
  unattached: number;
}

/** The tables that are the same at 12 Hz. */
const COPIED: readonly TableName[] = [
  ...(["category", "attribute", "visibility", "instance", "sensor"] as const),
  ...(["calibrated_sensor", "ego_pose", "log", "scene", "map"] as const),
];
const COPY_BYTES = 1 << 20;
/**
 * Writes the tables that MagicDrive, OpenDWM, UniScene, DriveArena and others read as `interp_12Hz_trainval`. They have six
 * samples for each sample that has a next one, boxes between those of two samples (moved in a line, turned by slerp), and each
 * key frame again with the files and poses of the frames after it. They are the same as those of ASAP's generator, with the same
 * tokens, but keep the order of the tables given.
 *
 * This takes about 200 bytes of memory for each row of sample_data and 100 for each box.
 *
 * @param root  a nuScenes root, or a Vista root with `data/nuscenes`
 * @param out  the folder to write; where it is undefined, `interp_12Hz_…` beside the version's own. With `force`, a folder with
 *   such tables is replaced
 * @throws VistaError `FORMAT` where a table is no whole JSON list, or a row that is needed is damaged or not there, `INCOMPLETE`
 *   where no scene is wanted, `UNSUPPORTED` where a row that is made would have the token of another, `NOT_FOUND`, `AMBIGUOUS`, `EXISTS`, `NO_SPACE`, `IO`, `ABORTED`
 */
export async function writeInterpolatedTables(
  root: string,
  out?: string,
  options: InterpolateOptions = {},
): Promise<InterpolatedTables> {
  const { split = "all", signal, onProgress, force = false, fsync = true } = options;
  const source = findNuScenes(root, options.version, split);
  const tables = join(source.root, source.version);
  const folder = out ?? join(source.root, `interp_12Hz_${source.version.replace(/^v\d+\.\d+-/, "")}`);
  const output = { force, fsync, inputs: [tables], replaceable: isTables, signal };
  // At least the tables that are copied are written; how large the others become is seen only while they are made.
  const needed = sum(COPIED, (name) => tableBytes(join(tables, `${name}.json`)));
  await prepareOutputFolder(folder, needed, output);
  const small = await loadTables(tables, { signal, only: [...COPIED, "sample"] });
  // A table that is cut off or damaged would be copied as it is, and nobody would be told.
  for (const name of COPIED) new NeededRows(small, name).close();
  const { links, scenes } = linkSamples(small, sceneNames(split));
  if (scenes === 0) {
    throw new VistaError("INCOMPLETE", "no scene of the split is in the tables: there is nothing to write", {
      path: tables,
      hint: "Name another --split or --version.",
    });
  }
  const wanted = small.small.sample!.values.filter((_, row) => links.wanted[row] === 1);
  refuseMadeTokens(join(tables, "sample.json"), new Set(wanted.map(({ token }) => String(token))));
  const result: InterpolatedTables = {
    ...{ version: source.version, folder, scenes, keySamples: sum(links.wanted) },
    ...{ samples: 0, annotations: 0, sampleData: 0, bytes: 0, unattached: 0 },
  };
  await writeFolderAtomically(folder, needed, output, async (made) => {
    const job: Job = { tables, made, links, fsync, result, signal, onProgress };
    for (const name of COPIED) await copyTable(name, job);
    await writeSamples(small, job);
    await writeLarge(job);
  });
  return result;
}

/** What is made, from which tables. */
interface Job extends RunOptions {
  /** The folder of the tables at 2 Hz. */
  tables: string;
  made: FolderInProgress;
  links: SampleLinks;
  fsync: boolean;
  result: InterpolatedTables;
}

/** Returns the size of a table in bytes; 0 where it is not there, which reading it will tell. */
function tableBytes(path: string): number {
  return Math.max(0, sizeOf(path));
}

/** Tells whether `force` may replace a folder with these files: there must be nothing but tables, and sample.json among them. */
function isTables(names: readonly string[]): boolean {
  return names.every((name) => name.endsWith(".json")) && names.includes("sample.json");
}

/**
 * Links the samples of the wanted scenes by their rows.
 *
 * @throws VistaError `FORMAT` where a sample that is wanted is damaged or names one that is not there
 */
function linkSamples(
  tables: Tables,
  names: ReadonlySet<string> | undefined,
): { links: SampleLinks; scenes: number } {
  const samples = new NeededRows(tables, "sample");
  const sceneRows = new NeededRows(tables, "scene");
  const { sample } = tables.small;
  const rows = sample!.values.length;
  const links: SampleLinks = {
    table: sample!.table,
    wanted: new Uint8Array(new SharedArrayBuffer(rows)),
    prev: new Int32Array(new SharedArrayBuffer(rows * 4)).fill(-1),
    next: new Int32Array(new SharedArrayBuffer(rows * 4)).fill(-1),
    time: new Float64Array(new SharedArrayBuffer(rows * 8)),
  };
  const scenes = new Set<number>();
  for (const [row, at] of scenesOf(samples, tables.small)) {
    const { name } = sceneRows.read(at, ["name"]);
    if (names?.has(name as string) === false) continue;
    scenes.add(at);
    links.wanted[row] = 1;
    const values = samples.read(row, ["prev", "next"]);
    for (const side of ["prev", "next"] as const) {
      if (values[side] === "") continue;
      const to = rowOf(sample!, values[side]);
      if (to < 0) samples.refuseLink(row, side, "sample");
      links[side][row] = to;
    }
    links.time[row] = samples.timeOf(row);
  }
  for (let row = 0; row < rows; row++) {
    const next = links.next[row]!;
    if (next < 0 || (links.wanted[next] === 1 && links.time[next]! > links.time[row]!)) continue;
    const what = links.wanted[next] === 1 ? "is not later" : "is of a scene that is not wanted";
    throw samples.error(row, `the next sample ${what}`);
  }
  samples.close();
  return { links, scenes: scenes.size };
}

async function copyTable(name: TableName, { tables, made, result, signal }: Job): Promise<void> {
  const path = join(tables, `${name}.json`);
  let input: FileHandle | undefined;
  try {
    input = (await openRegular(path)).handle;
    const buffer = Buffer.alloc(COPY_BYTES);
    const output = await made.create(`${name}.json`);
    try {
      for (let got = -1; got !== 0; ) {
        throwIfAborted(signal);
        got = (await input.read(buffer, 0, buffer.length, null)).bytesRead;
        await output.writeFile(buffer.subarray(0, got));
        result.bytes += got;
      }
      await made.settle(output);
    } finally {
      await output.close();
    }
  } catch (error) {
    throw fromSystem(error, path, "copy the table");
  } finally {
    await input?.close();
  }
}

/** Writes sample.json, with as many rows for each sample as there are frames up to the next sample. */
async function writeSamples({ small }: Tables, { tables, made, links, fsync, result }: Job): Promise<void> {
  const reader = new RawRowAt(join(tables, "sample.json"));
  const writer = new TableWriter(await made.place("sample.json"));
  try {
    for (const [row, offset] of small.sample!.offset.entries()) {
      if (links.wanted[row] === 0) continue;
      const raw = reader.at(offset);
      const own = raw.template();
      const [token, prev, next] = [raw.text("token"), raw.text("prev"), raw.text("next")];
      const isLast = links.next[row]! < 0;
      const changes: Record<string, string> = isLast ? {} : { next: suffixed(token, 1) };
      // The generator gives `prev` of a scene's last sample a number although there may be no sample before it.
      if (isLast || links.prev[row]! >= 0) changes.prev = suffixed(prev, LAST);
      writer.add(own.with(changes));
      for (let k = 1; !isLast && k < FRAMES; k++) {
        writer.add(
          own.with({
            token: suffixed(token, k),
            timestamp: pythonFloat(timeBetween(links.time[row]!, links.time[links.next[row]!]!, k)),
            prev: k === 1 ? token : suffixed(token, k - 1),
            next: k === LAST ? next : suffixed(token, k + 1),
          }),
        );
      }
    }
    writer.finish(fsync);
  } finally {
    writer.close();
    reader.close();
  }
  result.samples = writer.rows;
  result.bytes += writer.bytes;
}

/**
 * Refuses rows of wanted samples that would be left out, or written twice, without a word: those that do not say whether they are key
 * frames, and key frames with the token of another row.
 */
function refuseDoubtfulRows(rows: NeededRows, data: SampleData, { wanted }: SampleLinks): void {
  rows.refuseOtherRows();
  const isWanted = (row: number) => data.sample[row]! < 0 || wanted[data.sample[row]!] === 1;
  for (const { message, index } of data.problems.first)
    if (message.startsWith('field "is_key_frame"') && isWanted(index)) throw rows.error(index, message);
  for (const [row] of data.duplicates.first)
    if (data.keyFrame[row] === 1 && isWanted(row)) throw rows.error(row, "two rows have this token");
}

/** Makes the two large tables side by side, in threads of their own where the tables are large enough for that. */
async function writeLarge(job: Job): Promise<void> {
  const { tables, made, links: samples, fsync: sync, result, signal, onProgress } = job;
  const path = (name: TableName) => join(tables, `${name}.json`);
  const [boxBytes, dataBytes] = [tableBytes(path("sample_annotation")), tableBytes(path("sample_data"))];
  // Both tables are read twice.
  const total = 2 * (boxBytes + dataBytes);
  const read = { annotations: 0, load: 0, sampleData: 0 };
  const report = (part: keyof typeof read, bytes: number) => {
    read[part] = bytes;
    const done = read.annotations + read.load + read.sampleData;
    onProgress?.({ phase: "interpolate", done, total, unit: "bytes" });
  };
  const filesOf = async (name: TableName) => {
    return { from: path(name), to: await made.place(`${name}.json`), samples, sync };
  };
  const perform = async (task: InterpolationTask) => {
    const take = (message: InterpolationMessage) => {
      if (message.kind === "bytes") return report(task.kind, message.bytes);
      result[task.kind] = message.rows;
      result.bytes += message.bytes;
      result.unattached += message.unattached;
    };
    try {
      if (boxBytes + dataBytes < TASK_WORKER_FROM) runInterpolation(task, take);
      else await runWorker(new URL("./interpolate-worker.js", import.meta.url), task, signal, take);
    } catch (error) {
      throw fromSystem(error, task.from, "make the table");
    }
  };
  const boxes = async () => perform({ kind: "annotations", ...(await filesOf("sample_annotation")) });
  const frames = async () => {
    const loaded = await loadTables(tables, {
      only: ["scene", "sample", "calibrated_sensor", "sample_data"],
      onProgress: ({ done }) => report("load", Math.min(done, dataBytes)),
      signal,
    });
    const rows = new NeededRows(loaded, "sample_data");
    try {
      refuseDoubtfulRows(rows, loaded.sampleData!, samples);
    } finally {
      rows.close();
    }
    const { offset, keyFrame, sample, next } = loaded.sampleData!;
    await perform({ kind: "sampleData", ...(await filesOf("sample_data")), offset, keyFrame, sample, next });
  };
  // Both must have ended, well or not, before the folder that they write into is removed.
  await settleAll([boxes(), frames()]);
}
