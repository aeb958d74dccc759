/** The search for the parts of an OpenDV-YouTube root: the folders of frames by split, the videos, and the list of videos. */

import { type Dirent, existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { basename, join, resolve, sep } from "node:path";
import { rethrowExhausted } from "../../core/errors.js";
import { entriesIn, hasEntry, isAbsent, readRegularSync } from "../../core/io/regular.js";
import { compareText } from "../../core/text.js";
import { isBystander } from "../bystanders.js";
import { joinPath } from "../paths.js";
import { type Split, youtuberKey } from "./meta.js";
import { parseFrameName } from "./names.js";

/** A folder that should hold the frames of one video. */
export interface VideoFolder {
  /** The path relative to the root, with `/` between parts. */
  path: string;
  split?: Split;
  /** The name of the folder above, where there is one below the root or the split. */
  youtuber?: string;
  videoId: string;
}

export interface OpenDvRoot {
  /** The path as the user wrote it, or that of the OpenDV-YouTube folder within it. */
  root: string;
  /** The video folders, sorted by path. */
  folders: VideoFolder[];
  /** The splits that have a folder of their own here. */
  splits: Split[];
  /** The symbolic links that lead nowhere, and the folders that cannot be listed, each with its path and the reason. */
  broken: { path: string; reason: string }[];
  /**
   * The files of `videos/` as `youtuber/videoid`, with the youtuber as {@link youtuberKey} gives it; undefined where there is no
   * such folder.
   */
  videos?: Set<string>;
  /** The IDs of videos that `video2img.py` left out because they are below 720p, according to its own log. */
  skipped: ReadonlySet<string>;
  /** The paths of lists of videos, CSV and JSON, that were found near the root; they are absolute or relative as the root is. */
  metaFiles: string[];
}

/** The pattern of the folders of splits: `full_images`, or also `full_images_2` where a set is spread over disks. */
const SPLIT_FOLDER = /^(full|val)_images([-_.].*)?$/i;
const VIDEO_EXTENSION = /\.(mp4|webm|mkv)$/i;
const META_NAME = /^OpenDV.*\.(csv|json)$/i;
/** The names of folders beside the frames that hold no frames. */
const NO_FRAMES = new Set(["videos", "meta", "annos", "configs", "scripts", "utils", "language"]);

/**
 * Returns the folder that Vista knows as `data/YouTube`: where a root is `full_images`, or a youtuber or a video below it, the
 * folder that holds `full_images`; else the root itself.
 */
export function loaderRoot({ root, folders, videos }: OpenDvRoot): string {
  if (videos !== undefined || folders.some(({ path }) => splitOf(path.split("/")[0]!) !== undefined))
    return root;
  const parts = resolve(root).split(sep);
  const at = parts.findLastIndex((name, i) => i >= parts.length - 3 && splitOf(name) !== undefined);
  return at === -1 ? root : parts.slice(0, at).join(sep) || sep;
}

/**
 * Finds the OpenDV-YouTube root that `path` is or holds; returns undefined where there is none. It recognises a folder with
 * `full_images`, `val_images` or `videos`, a folder that holds such a one as `OpenDV-YouTube`, and plain
 * `<youtuber>/<video>/<frames>`, `<video>/<frames>`, or a folder of frames.
 *
 * @throws VistaError `IO` where the folder is there and cannot be listed
 */
export function findOpenDvRoot(path: string): OpenDvRoot | undefined {
  // Files are left out because full_images.tar is no folder of frames; a link to nowhere stays because it was meant to be one.
  const names = new Set(entriesIn(path).flatMap((entry) => (mayBeFolder(path, entry) ? [entry.name] : [])));
  const isRoot = [...names].some((name) => SPLIT_FOLDER.test(name)) || names.has("videos");
  const nested = join(path, "OpenDV-YouTube");
  if (!isRoot && names.has("OpenDV-YouTube") && existsSync(nested)) return findOpenDvRoot(nested);
  const found: OpenDvRoot = {
    root: path,
    folders: [],
    splits: [],
    broken: [],
    skipped: findSkipped(path),
    metaFiles: [],
  };
  findMeta(found);
  if (isRoot) {
    for (const name of [...names].sort()) {
      const split = splitOf(name);
      if (split === undefined) continue;
      if (!found.splits.includes(split)) found.splits.push(split);
      collect(found, name, split);
    }
    if (names.has("videos")) found.videos = listVideos(found);
  } else if (isVideo(path)) {
    found.folders.push({ path: ".", videoId: basename(resolve(path)) });
  } else {
    const split = splitOf(basename(resolve(path)));
    if (split !== undefined) found.splits.push(split);
    collect(found, "", split);
    const hasFrames = found.folders.some((folder) => holdsFrames(join(path, folder.path)));
    if (!hasFrames) return undefined;
  }
  found.folders.sort((a, b) => compareText(a.path, b.path));
  return found;
}

/** Returns the split that the name of a folder tells. */
export function splitOf(name: string): Split | undefined {
  const match = SPLIT_FOLDER.exec(name);
  return match === null ? undefined : match[1]!.toLowerCase() === "val" ? "val" : "train";
}

/** Collects the video folders below `base` (relative to the root): two levels down, or one level where a set has no youtubers. */
function collect(found: OpenDvRoot, base: string, split: Split | undefined): void {
  const empty: VideoFolder[] = [];
  let flat = false;
  for (const youtuber of subfolders(found, base)) {
    if (base === "" && NO_FRAMES.has(youtuber)) continue;
    const path = joinPath(base, youtuber);
    if (isVideo(join(found.root, path))) {
      found.folders.push({ path, videoId: youtuber, split });
      flat = true;
      continue;
    }
    const videos = subfolders(found, path);
    for (const videoId of videos) {
      found.folders.push({ path: `${path}/${videoId}`, youtuber, videoId, split });
    }
    if (holds(join(found.root, path), ({ name }) => !isBystander(name)) === false)
      empty.push({ path, videoId: youtuber, split });
  }
  // Where folders of frames lie side by side, an empty one is a video's; elsewhere it is a youtuber's, and harmless.
  if (flat) found.folders.push(...empty);
}

/** Returns the names of the folders (and links to folders) in a folder; what cannot be followed or listed goes to `broken`. */
function subfolders(found: Pick<OpenDvRoot, "root" | "broken">, path: string): string[] {
  const names: string[] = [];
  for (const entry of list(found, path)) {
    const { name } = entry;
    if (name.startsWith(".") || isBystander(name)) continue;
    try {
      if (isFolder(join(found.root, path), entry)) names.push(name);
    } catch (error) {
      found.broken.push({ path: joinPath(path, name), reason: reasonOf(error) });
    }
  }
  return names.sort();
}

function reasonOf(error: unknown): string {
  rethrowExhausted(error);
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "is a symbolic link that leads nowhere (a disk that is not mounted?)";
  if (code === "ELOOP") return "is a symbolic link in a circle";
  if (code === "EACCES" || code === "EPERM") return "may not be read (permission denied)";
  return `cannot be read (${code ?? message})`;
}

/** The number of frames with which a folder is a video's whatever else is in it: Vista's clips have as many. */
const CLIP = 25;

/** Tells whether a folder is a video's: one with a few pictures (of the channel, say) beside folders of frames is a youtuber's. */
function isVideo(path: string): boolean {
  if (!holdsFrames(path)) return false;
  const hasFolders = () =>
    subfolders({ root: path, broken: [] }, "").some((name) => holdsFrames(join(path, name)));
  return holdsFrames(path, CLIP) || !hasFolders();
}

/**
 * Tells whether a folder holds frames, so many at least. A folder of frames says so by its first entries, and a youtuber's has few; between thousands of
 * other files (`._000001.jpg` of macOS) a frame is looked for to the end.
 */
function holdsFrames(path: string, least = 1): boolean {
  let frames = 0;
  const isLast = (entry: Dirent) =>
    !entry.isDirectory() && parseFrameName(entry.name) !== undefined && ++frames >= least;
  return holds(path, isLast) ?? false;
}

/** Tells whether a folder has an entry of a kind; undefined where it cannot be listed. */
function holds(path: string, isIt: (entry: Dirent) => boolean): boolean | undefined {
  try {
    return hasEntry(path, isIt);
  } catch (error) {
    rethrowExhausted(error);
    return undefined;
  }
}

function listVideos(found: OpenDvRoot): Set<string> {
  const videos = new Set<string>();
  for (const youtuber of list(found, "videos")) {
    for (const file of list(found, `videos/${youtuber.name}`)) {
      if (VIDEO_EXTENSION.test(file.name)) {
        videos.add(`${youtuberKey(youtuber.name)}/${file.name.replace(VIDEO_EXTENSION, "")}`);
      }
    }
  }
  return videos;
}

/**
 * Finds the lists of videos, which lie in `meta/` beside or within the root, or in the root itself. JSON comes before CSV, because
 * the scripts read it: it counts where both are there.
 */
function findMeta(found: OpenDvRoot): void {
  for (const folder of ["meta", "", "../meta", ".."]) {
    const names = list(found, folder).map((entry) => entry.name);
    const [json, csv] = [/\.json$/i, /\.csv$/i].map((ending) =>
      names.filter((name) => META_NAME.test(name) && ending.test(name)).sort(),
    );
    found.metaFiles = [...json!, ...csv!].map((name) => join(found.root, folder, name));
    if (found.metaFiles.length > 0) return;
  }
}

/**
 * Reads the IDs of skipped videos from the script's log, which consists of JSON objects with commas between them. It lies where
 * the script was started: beside or above the set.
 */
function findSkipped(root: string): Set<string> {
  const skipped = new Set<string>();
  for (const folder of [root, join(root, "..")]) {
    let text: string;
    try {
      text = readRegularSync(join(folder, "vid2img_exceptions.txt")).toString("utf8");
    } catch (error) {
      rethrowExhausted(error);
      continue;
    }
    for (const [, path] of text.matchAll(/"video_path":\s*"([^"]*)",\s*"problem":\s*"< 720p"/g)) {
      skipped.add(basename(path!).replace(VIDEO_EXTENSION, ""));
    }
  }
  return skipped;
}

/** Returns the entries of a folder; one that is there and cannot be listed goes to `broken`. */
function list(found: Pick<OpenDvRoot, "root" | "broken">, path: string): Dirent[] {
  const absolute = join(found.root, path);
  try {
    return readdirSync(absolute, { withFileTypes: true });
  } catch (error) {
    rethrowExhausted(error);
    // A link that leads nowhere was meant to lead to a folder. The folder above the set is nobody's matter.
    const isThere = !isAbsent(error) || lstatSync(absolute, { throwIfNoEntry: false })?.isSymbolicLink();
    if (isThere && path !== "..") found.broken.push({ path, reason: reasonOf(error) });
    return [];
  }
}

/** Tells whether an entry is a folder, or a link to one; the file system may not tell its kind. @throws the system's error */
function isFolder(folder: string, entry: Dirent): boolean {
  return entry.isDirectory() || (!entry.isFile() && statSync(join(folder, entry.name)).isDirectory());
}

function mayBeFolder(folder: string, entry: Dirent): boolean {
  try {
    return isFolder(folder, entry);
  } catch {
    return true;
  }
}
