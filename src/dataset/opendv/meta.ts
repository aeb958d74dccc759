/**
 * OpenDV's list of videos: the sheet as CSV, or the JSON that DriveAGI's `meta_preprocess.py` makes of it. Both are read into the
 * same form, and what is odd in them is reported rather than refused.
 */

import { isUtf8 } from "node:buffer";
import { fromSystem, VistaError } from "../../core/errors.js";
import { readRegular } from "../../core/io/regular.js";
import { isRecord } from "../../core/maps.js";
import { textOf } from "../../core/text.js";
import { readRows } from "../json/rows.js";

/** The split that a video belongs to. */
export type Split = "train" | "val";

export interface MetaVideo {
  /** The row in the file, from 0; the header of a CSV is not counted. */
  row: number;
  videoId: string;
  /** The name of the youtuber, without the blanks around it. */
  youtuber: string;
  /**
   * The name of the youtuber's folder, in which each space becomes an underscore, also one at the end (`youtuber_formatize` in
   * DriveAGI).
   */
  folder: string;
  split?: Split;
  subset?: "Mini" | "Full";
  /** The nation or area. */
  area?: string;
  /** The place where the video can be seen: a URL of printable ASCII, as it stands in the list. */
  link?: string;
  /** The length of the video in seconds. */
  length?: number;
  /** The number of seconds that are cut off at the start; `endDiscard` is the same for the end. */
  startDiscard?: number;
  endDiscard?: number;
}

/**
 * Something odd in the list. `row` is a row that no script could use. `spelling` is a split or subset that is meant, but not
 * spelled as the scripts compare it. `blank` is a length or discard that is not given.
 */
interface MetaProblem {
  kind: "row" | "spelling" | "blank";
  row: number;
  message: string;
}

export interface Meta {
  videos: MetaVideo[];
  problems: MetaProblem[];
  /** The reason why the file could not be read to its end, and at which byte if that is known; undefined where it could. */
  unreadable?: { reason: string; offset?: number };
}

/**
 * The fields, under the names that `meta_preprocess.py` gives them, each with the start of the sheet's column name in small
 * letters without blanks and underscores.
 */
const COLUMNS: readonly (readonly [field: string, header: string])[] = [
  ["videoid", "videoid"],
  ["youtuber", "youtuber"],
  ["duration", "duration"],
  ["split", "train/val"],
  ["subset", "mini/fullset"],
  ["area", "nationorarea"],
  ["link", "link"],
  ["start_discard", "discardedlengthatthebegin"],
  ["end_discard", "discardedlengthattheend"],
];

/**
 * Reads the videos of some lists, each of which is of no use unless it can be read, by their IDs ({@link byVideoId}).
 *
 * @throws VistaError as {@link readMeta} does; `FORMAT` where a list is no list, so that nobody knows
 */
export async function readVideos(files: readonly string[]): Promise<Map<string, MetaVideo>> {
  const lists: MetaVideo[][] = [];
  for (const file of files) {
    const { videos, unreadable } = await readMeta(file);
    if (unreadable !== undefined) {
      const hint =
        "`vista-data check` says more. Mend the list or remove it: without one, folders alone tell the split.";
      throw new VistaError("FORMAT", unreadable.reason, { path: file, offset: unreadable.offset, hint });
    }
    lists.push(videos);
  }
  return byVideoId(lists.flat());
}

/**
 * Reads from lists of videos which are for training and which for validation, by ID; videos of which they say nothing are left out.
 * @throws VistaError as {@link readVideos} does
 */
export async function readSplits(files: readonly string[]): Promise<Map<string, Split>> {
  const splits = new Map<string, Split>();
  for (const [videoId, { split }] of await readVideos(files))
    if (split !== undefined) splits.set(videoId, split);
  return splits;
}

/**
 * Returns videos by their IDs. Where several rows have one ID, the first counts, but a video that any of them has for validation
 * is for validation, so that nothing is trained on it; and where they promise different numbers of frames, none is promised,
 * because nobody knows by which of them `video2img.py` was last run.
 */
export function byVideoId(videos: readonly MetaVideo[]): Map<string, MetaVideo> {
  const found = new Map<string, MetaVideo>();
  for (const video of videos) {
    const first = found.get(video.videoId) ?? video;
    const split = video.split === "val" ? "val" : (first.split ?? video.split);
    const length = expectedFrames(first) === expectedFrames(video) ? first.length : undefined;
    found.set(video.videoId, { ...first, split, length });
  }
  return found;
}

/**
 * Reads a list of videos.
 *
 * @param path  the path of a `.csv` or `.json` file
 * @throws VistaError where the file cannot be opened
 */
export async function readMeta(path: string): Promise<Meta> {
  try {
    return /\.csv$/i.test(path) ? await parseCsv(await readRegular(path)) : readJson(path);
  } catch (error) {
    throw fromSystem(error, path, "read the list of videos");
  }
}

async function parseCsv(bytes: Buffer): Promise<Meta> {
  const meta: Meta = { videos: [], problems: [] };
  if (!isUtf8(bytes)) {
    meta.unreadable = { reason: "it is not UTF-8, which pandas stops at: save it as CSV UTF-8" };
    return meta;
  }
  // The parser is loaded for the first such list, because the whole of a command is not much larger.
  const { CsvError, parse } = await import("csv-parse/sync");
  let lines: string[][];
  try {
    // As in pandas, a quote within a cell that is not quoted is a letter.
    lines = parse(bytes, { bom: true, relax_column_count: true, relax_quotes: true, skip_empty_lines: true });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    meta.unreadable = { reason: error.message };
    return meta;
  }
  const header = (lines.shift() ?? []).map((name) => name.toLowerCase().replace(/[\s_]+/g, ""));
  const columns = COLUMNS.map(
    ([field, start]) =>
      [field, header.findIndex((name) => name.startsWith(start) || name === field)] as const,
  );
  const missing = columns.filter(([, index]) => index < 0).map(([field]) => field);
  if (missing.includes("videoid") || missing.includes("youtuber")) {
    meta.unreadable = { reason: `it has no column for ${missing.join(", ")}` };
    return meta;
  }
  for (const [row, line] of lines.entries()) {
    if (line.length > header.length) {
      const message = `has ${line.length} cells, the header ${header.length}: pandas stops at it, or moves all columns`;
      meta.problems.push({ kind: "row", row, message });
    }
    // The export of a sheet often ends in rows of nothing but commas.
    if (line.every((cell) => cell.trim() === "")) continue;
    const fields = Object.fromEntries(columns.map(([field, index]) => [field, line[index] ?? ""]));
    addVideo(meta, row, fields);
  }
  return withRows(meta);
}

/** Marks a list without a single row as unreadable, because it is of no use to anybody. */
function withRows(meta: Meta): Meta {
  if (meta.videos.length === 0 && meta.problems.length === 0 && meta.unreadable === undefined) {
    meta.unreadable = { reason: "it lists not one video" };
  }
  return meta;
}

function readJson(path: string): Meta {
  const meta: Meta = { videos: [], problems: [] };
  const { error } = readRows(path, {
    value(value, _offset, row) {
      if (isRecord(value)) addVideo(meta, row, value);
      else meta.problems.push({ kind: "row", row, message: "is not an object" });
    },
  });
  if (error !== undefined) meta.unreadable = error;
  return withRows(meta);
}

/** The largest number of characters of a link; the links of YouTube have 43. */
const MAX_LINK = 2048;

/** The largest number of seconds of a video, or of a part that is discarded: a year. YouTube takes 12 hours at most. */
const MAX_SECONDS = 366 * 86_400;

function addVideo(meta: Meta, row: number, fields: Record<string, unknown>): void {
  const problem = (kind: MetaProblem["kind"], message: string) => meta.problems.push({ kind, row, message });
  const videoId = text(fields.videoid);
  const youtuber = text(fields.youtuber);
  if (videoId === "" || youtuber === "") {
    problem("row", `has no ${videoId === "" ? "video ID" : "youtuber"}`);
    return;
  }
  if (/[/\\]/.test(videoId) || /[/\\]/.test(youtuber) || videoId === ".." || youtuber === "..") {
    problem("row", `has a video ID or youtuber that is no folder name: ${youtuber}/${videoId}`);
    return;
  }
  const video: MetaVideo = { row, videoId, youtuber, folder: textOf(fields.youtuber).replaceAll(" ", "_") };
  const named = `of ${videoId}`;

  const split = textOf(fields.split ?? "");
  const folded = split.trim().toLowerCase();
  if (folded === "train" || folded === "val") {
    video.split = folded;
    // The script puts the split into small letters, and does nothing more.
    if (split.toLowerCase() !== folded) problem("spelling", `the split ${named} is "${split}", with blanks`);
  } else {
    problem("row", `the split ${named} is "${split}", neither Train nor Val`);
  }

  const subset = textOf(fields.subset ?? "");
  const subsetFolded = subset.trim().toLowerCase();
  if (subsetFolded === "mini" || subsetFolded === "full") {
    video.subset = subsetFolded === "mini" ? "Mini" : "Full";
    if (subset !== video.subset) problem("spelling", `the subset ${named} is "${subset}"`);
  } else if (subsetFolded !== "") {
    problem("spelling", `the subset ${named} is "${subset}", neither Mini nor Full`);
  }

  const area = text(fields.area);
  if (area !== "" && area !== "N/A" && area !== "nan") video.area = area;

  const link = text(fields.link);
  if (link.length <= MAX_LINK && /^https?:\/\/[!-~]+$/.test(link)) video.link = link;

  const length = typeof fields.length === "number" ? fields.length : seconds(text(fields.duration));
  if (length !== undefined && !(length >= 0 && length <= MAX_SECONDS)) {
    problem("row", `the length ${named} is ${length} seconds`);
  } else if (length === undefined) {
    if (text(fields.duration) === "") problem("blank", `the duration ${named} is blank`);
    else problem("row", `the duration ${named} is "${text(fields.duration)}", not HH:MM:SS or MM:SS`);
  } else {
    video.length = length;
  }
  for (const [field, key, what] of [
    ["start_discard", "startDiscard", "start"],
    ["end_discard", "endDiscard", "end"],
  ] as const) {
    const value = fields[field];
    const number = typeof value === "number" ? value : text(value) === "" ? undefined : Number(text(value));
    if (number !== undefined && number >= 0 && number <= MAX_SECONDS) video[key] = number;
    else if (number === undefined || Number.isNaN(number)) {
      const given = text(value) === "" ? "blank" : `"${text(value)}"`;
      problem("blank", `the length to discard at the ${what} ${named} is ${given}`);
    } else problem("row", `the length to discard at the ${what} ${named} is ${number}`);
  }
  meta.videos.push(video);
}

/**
 * Returns the name of a youtuber's folder in the form in which it is compared. macOS takes letters with accents apart when it
 * copies, and blanks around a name in the sheet are underscores where the script made the folder, and nothing where a person did.
 */
export function youtuberKey(folder: string): string {
  return folder.normalize("NFC").replace(/^_+|_+$/g, "");
}

function text(value: unknown): string {
  return value === null || value === undefined ? "" : textOf(value).trim();
}

/** Returns the seconds of a duration: 3723 for `1:02:03`, and 123 for `02:03`. */
function seconds(duration: string): number | undefined {
  if (!/^\d+:\d{1,2}(:\d{1,2})?$/.test(duration)) return undefined;
  return duration.split(":").reduce((total, part) => total * 60 + Number(part), 0);
}

/** Returns the number of frames that `video2img.py` writes for a video at 10 Hz, or undefined where the list does not say. */
export function expectedFrames(video: MetaVideo): number | undefined {
  if (video.length === undefined || video.startDiscard === undefined || video.endDiscard === undefined) {
    return undefined;
  }
  return Math.max(0, Math.trunc(10 * (Math.floor(video.length) - video.startDiscard - video.endDiscard)));
}

/**
 * Returns how far a count may be from {@link expectedFrames}: 2 seconds for what is rounded (the listed length, the whole seconds
 * that the script counts in, and the last frames that a decoder does not give), and 2 % more, up to 6 seconds in all, because the
 * list is from another encoding of the video (DriveAGI itself accepts a difference of 5 s).
 */
export function frameTolerance(expected: number): number {
  return Math.min(60, 20 + Math.ceil(expected / 50));
}
