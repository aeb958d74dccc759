/** The figures of what a data set holds, for `vista-data stats`. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import type { RunOptions } from "../../core/progress.js";
import { sum } from "../../core/sum.js";
import { textOf } from "../../core/text.js";
import {
  COMMANDS,
  type DrivingCommand,
  hasGoal,
  type NuScenesRecord,
  recordFaults,
} from "../annotations/nuscenes-rows.js";
import { indexParts, readIndex } from "../frame-index/build.js";
import type { DatasetIndex, IndexedFolder } from "../frame-index/dataset-index.js";
import { readRecords, readWholeRows } from "../json/rows.js";
import { type MetaVideo, readVideos } from "../opendv/meta.js";
import { countClips, countFrames } from "../opendv/runs.js";
import { recognise } from "../recognise.js";

/** The rates in frames a second: OpenDV's frames are extracted at the first; Vista takes nuScenes' 12 Hz for it. */
const OPENDV_HZ = 10;
const CAM_FRONT_HZ = 12;

/** The distribution of some values. */
export interface Distribution {
  min: number;
  median: number;
  mean: number;
  max: number;
}

/** The figures of an OpenDV-YouTube set. */
export interface OpenDvStats {
  videos: number;
  frames: number;
  /** The length of all frames in hours, at 10 Hz. */
  hours: number;
  /** The number of clips of 25 frames, with one start a frame. */
  clips: number;
  /** The number of runs of frames without a gap. */
  runs: number;
  /** The numbers of videos and hours by split. */
  splits: Record<string, { videos: number; hours: number }>;
  /** The numbers of videos and hours by subset, of the list of videos. */
  subsets: Record<string, { videos: number; hours: number }>;
  /** The numbers of videos and hours by nation or area, of the list of videos. */
  countries: Record<string, { videos: number; hours: number }>;
}

/** The figures of a nuScenes set, for the images of CAM_FRONT. */
export interface NuScenesStats {
  version: string;
  scenes: number;
  /** The number of images of CAM_FRONT. */
  images: number;
  /** The number of these images that are key frames. */
  keyFrames: number;
  /** The length of these images in hours, at 12 Hz. */
  hours: number;
  /** The number of clips of 25 frames that fit, with one start a key frame. */
  clips: number;
  /** The number of scenes by the place of their log. */
  locations: Record<string, number>;
}

/** The figures of what Vista's loader makes of nuScenes.json (`vwm/data/subsets/nuscenes.py`). */
export interface AnnotationStats {
  path: string;
  records: number;
  /** The number of records of the wrong shape, which count nowhere else. */
  unusable: number;
  /** The number of records with each command. */
  commands: Record<DrivingCommand, number>;
  /**
   * The numbers of records that have what the loader's four action modes ask for; speed and angle, which are one mode, are
   * counted apart.
   */
  modes: Record<"trajectory" | "command" | "speed" | "angle" | "goal", number>;
  /** The number of samples when each turn counts 5 times. */
  balanced: number;
  /** The number of samples when, besides, each record with speed, angle and goal counts double. */
  resampled: number;
  /** The speed in km/h from the second key frame to the last, which is what the loader uses. */
  speed?: Distribution;
}

/** The figures of a YouTube.json, or of a language file of DriveAGI's. */
export interface YouTubeStats {
  path: string;
  /** The number of records, each of which is a clip. */
  clips: number;
  /** The number of folders that records name. */
  folders: number;
}

/** The figures of all that a folder holds. */
export interface DataStats {
  root: string;
  opendv?: OpenDvStats;
  nuscenes?: NuScenesStats;
  annotations: AnnotationStats[];
  youtube: YouTubeStats[];
}

/** The options of {@link collectStats}. */
export interface StatsOptions extends RunOptions {
  /** The path of an index file, whose unchanged folders are not listed again. */
  index?: string | undefined;
  /** The paths of annotation files besides those in `annos/`. */
  annos?: readonly string[] | undefined;
}

/** Counts what a data set holds. @throws VistaError `NOT_FOUND` where there is nothing to count, `FORMAT`, `IO`, `ABORTED` */
export async function collectStats(root: string, options: StatsOptions = {}): Promise<DataStats> {
  const stats: DataStats = { root, annotations: [], youtube: [] };
  const { annos = [] } = options;
  const parts = recognise(root, { orNothing: annos.length > 0 });
  // The language files have many gigabytes, and are counted where they are named.
  const usual = parts.annotations.filter((file) => !/^10hz_/i.test(basename(file)));
  const files = [...usual.map((file) => join(root, file)), ...annos];
  const previous = options.index === undefined ? undefined : await readIndex(options.index);
  const { index } = await indexParts(parts, { ...options, previous });
  if (index.opendv !== undefined) {
    const listed = await readVideos(parts.opendv?.found.metaFiles ?? []);
    stats.opendv = opendvStats(index.opendv.folders, listed);
  }
  if (index.nuscenes !== undefined) {
    stats.nuscenes = nuscenesStats(index.nuscenes, parts.nuscenes!.root);
  }
  for (const path of new Set(files)) countFile(path, stats);
  return stats;
}

/** Returns an object without a prototype, for names that come from files: `__proto__` and `toString` are names like any other. */
function named<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

function opendvStats(folders: readonly IndexedFolder[], listed: ReadonlyMap<string, MetaVideo>): OpenDvStats {
  const stats: OpenDvStats = {
    videos: 0,
    frames: 0,
    hours: 0,
    clips: 0,
    runs: 0,
    splits: named(),
    subsets: named(),
    countries: named(),
  };
  const add = (group: OpenDvStats["splits"], key: string | undefined, hours: number) => {
    const name = key ?? "unknown";
    group[name] ??= { videos: 0, hours: 0 };
    group[name].videos++;
    group[name].hours += hours;
  };
  for (const { videoId, split, scan } of folders) {
    const frames = countFrames(scan.runs);
    const hours = frames / OPENDV_HZ / 3600;
    const video = listed.get(videoId);
    stats.videos++;
    stats.frames += frames;
    stats.hours += hours;
    stats.clips += countClips(scan.runs, 25, 1);
    stats.runs += scan.runs.length / 2;
    add(stats.splits, split ?? video?.split, hours);
    add(stats.subsets, video?.subset, hours);
    add(stats.countries, video?.area, hours);
  }
  return stats;
}

function nuscenesStats(
  { chains, version }: NonNullable<DatasetIndex["nuscenes"]>,
  root: string,
): NuScenesStats {
  const images = sum(chains, (chain) => chain.files.length);
  let clips = 0;
  let keyFrames = 0;
  for (const chain of chains) {
    for (const [at, key] of chain.keyFrames.entries()) {
      if (!key) continue;
      keyFrames++;
      if (at + 25 <= chain.files.length) clips++;
    }
  }
  return {
    version,
    scenes: new Set(chains.map((chain) => chain.sceneToken)).size,
    images,
    keyFrames,
    hours: images / CAM_FRONT_HZ / 3600,
    clips,
    locations: locationsOf(join(root, version)),
  };
}

/** Returns the number of scenes by the place of their log. */
function locationsOf(folder: string): Record<string, number> {
  const places = new Map<unknown, string>();
  const [logs, scenes] = [join(folder, "log.json"), join(folder, "scene.json")];
  if (existsSync(logs)) readRecords(logs, (row) => places.set(row.token, textOf(row.location)));
  const locations = named<number>();
  if (!existsSync(scenes)) return locations;
  readRecords(scenes, (row) => {
    const place = places.get(row.log_token) ?? "unknown";
    locations[place] = (locations[place] ?? 0) + 1;
  });
  return locations;
}

function countFile(path: string, stats: DataStats): void {
  const records: AnnotationStats = {
    path,
    records: 0,
    unusable: 0,
    commands: { right: 0, left: 0, stop: 0, forward: 0 },
    modes: { trajectory: 0, command: 0, speed: 0, angle: 0, goal: 0 },
    balanced: 0,
    resampled: 0,
  };
  const speeds: number[] = [];
  const folders = new Set<string>();
  let clips = 0;
  const value = (value: unknown) => {
    const record = value as { folder_name?: unknown; folder?: unknown } | null;
    const folder = record?.folder_name ?? record?.folder;
    if (typeof folder === "string") {
      clips++;
      folders.add(folder);
    } else addRecord(records, value, speeds);
  };
  readWholeRows(path, "read the file", { value });
  if (clips > 0) stats.youtube.push({ path, clips, folders: folders.size });
  if (records.records > 0) {
    if (speeds.length > 0) records.speed = distribution(speeds);
    stats.annotations.push(records);
  }
}

/** Counts a record as the loader would: see `balance_with_actions` and `resample_complete_samples`. */
function addRecord(stats: AnnotationStats, value: unknown, speeds: number[]): void {
  stats.records++;
  if (recordFaults(value).some(({ loader }) => loader !== "trains")) {
    stats.unusable++;
    return;
  }
  const record = value as NuScenesRecord;
  const command = COMMANDS[record.cmd];
  if (command !== undefined) stats.commands[command]++;
  stats.modes.trajectory++;
  stats.modes.command++;
  if (record.speed.length > 0) stats.modes.speed++;
  if (record.angle.length > 0) stats.modes.angle++;
  const goal = hasGoal(record);
  if (goal) stats.modes.goal++;
  const copies = command === "stop" || command === "forward" ? 1 : 5;
  stats.balanced += copies;
  stats.resampled += record.speed.length > 0 && record.angle.length > 0 && goal ? copies * 2 : copies;
  for (const speed of record.speed.slice(1)) speeds.push(speed);
}

export function distribution(values: number[]): Distribution {
  values.sort((a, b) => a - b);
  const middle = values.length >> 1;
  return {
    min: values[0]!,
    median: values.length % 2 === 1 ? values[middle]! : (values[middle - 1]! + values[middle]!) / 2,
    mean: sum(values) / values.length,
    max: values[values.length - 1]!,
  };
}
