/** The rules for the set as a whole, which compare the list of videos with the folders that are there. No file is opened here. */
import { remember } from "../../core/maps.js";
import type { Finding } from "../finding.js";
import { byVideoId, expectedFrames, type Meta, type MetaVideo, youtuberKey } from "./meta.js";
import type { OpenDvRoot, VideoFolder } from "./root.js";
import { finding } from "./rules.js";

/** A list of videos, with its path relative to the root. */
export interface NamedMeta {
  path: string;
  meta: Meta;
}

/** The share of the wanted videos below which a set counts as a part that was taken on purpose. */
const PART = 0.5;

export function* metaFileFindings(files: readonly NamedMeta[]): Generator<Finding> {
  for (const { path, meta } of files) {
    if (meta.unreadable !== undefined) {
      const { reason, offset } = meta.unreadable;
      yield finding("meta-unreadable", path, reason, { offset });
    }
    for (const { kind, row, message } of meta.problems) {
      yield finding(`meta-${kind}`, path, message, { record: `row ${row}` });
    }
    yield* duplicateRows(path, meta);
  }
  // A list may be there as CSV and as the JSON that was made of it; a list of another name may well be another list.
  const readable = files.filter(({ meta }) => meta.unreadable === undefined);
  for (const [i, one] of readable.entries()) {
    const other = readable.slice(i + 1).find(({ path }) => stem(path) === stem(one.path));
    if (other !== undefined) yield* mismatch(one, other);
  }
}

function stem(path: string): string {
  return path.replace(/\.(csv|json)$/i, "");
}

/** Reports rows that name a video again, and in what they differ from the first, as far as it matters ({@link byVideoId}). */
function* duplicateRows(path: string, { videos }: Meta): Generator<Finding> {
  const firstRows = new Map<string, MetaVideo>();
  for (const video of videos) {
    const { videoId, row } = video;
    const first = remember(firstRows, videoId, () => video);
    if (first === video) continue;
    const differences = [
      first.split !== video.split &&
        `in the split ${first.split ?? "unknown"} and not ${video.split ?? "unknown"}`,
      first.folder !== video.folder && `under the youtuber ${first.folder} and not ${video.folder}`,
      expectedFrames(first) !== expectedFrames(video) &&
        `with ${framesOf(first)} and not ${framesOf(video)}, so that its frames are not counted`,
    ].filter((text) => text !== false);
    const message = [`video ${videoId} is listed in row ${first.row} already`, ...differences].join(", ");
    yield finding("meta-duplicate", path, message, { record: `row ${row}` });
  }
}

function framesOf(video: MetaVideo): string {
  return `${expectedFrames(video) ?? "an unknown number of"} frames`;
}

function* mismatch(a: NamedMeta, b: NamedMeta): Generator<Finding> {
  for (const [one, other] of [[a, b] as const, [b, a] as const]) {
    const known = new Set(other.meta.videos.map((video) => video.videoId));
    const missing = one.meta.videos.filter((video) => !known.has(video.videoId));
    if (missing.length === 0) continue;
    const are = missing.length === 1 ? "1 video is" : `${missing.length} videos are`;
    const ids = examples(missing.map((video) => video.videoId));
    const message = `${are} listed here and not in ${other.path}: ${ids}`;
    yield finding("meta-mismatch", one.path, message, { count: missing.length });
  }
}

/**
 * Applies the rules that need the list: which videos have a folder, which should have one, and in which split.
 *
 * @param onMissing  called with each missing video by itself
 */
export function* listFindings(
  found: OpenDvRoot,
  { path: metaPath, meta }: NamedMeta,
  onMissing?: (missing: Finding) => void,
): Generator<Finding> {
  const listed = byVideoId(meta.videos);
  for (const { path, videoId, split, youtuber } of found.folders) {
    const video = listed.get(videoId);
    if (video === undefined) {
      yield finding("unknown-folder", path, `no video of the list has the ID ${videoId}`);
    } else if (split !== undefined && video.split !== undefined && split !== video.split) {
      const message = `the list has video ${videoId} in ${video.split}, its folder is among the ${split} images`;
      yield finding("wrong-split", path, message);
    } else if (youtuber !== undefined && youtuberKey(youtuber) !== youtuberKey(video.folder)) {
      const message = `the list has video ${videoId} under the youtuber ${video.folder}`;
      yield finding("unknown-folder", path, message);
    }
  }
  yield* missingFindings(found, [...listed.values()], metaPath, onMissing);
}

/** Reports videos that are in two folders; the rule about the wrong split already names those in the wrong split. */
export function* twiceFindings(found: OpenDvRoot, meta: Meta | undefined): Generator<Finding> {
  const listed = byVideoId(meta?.videos ?? []);
  const first = new Map<string, VideoFolder>();
  for (const folder of found.folders) {
    const split = listed.get(folder.videoId)?.split;
    if (split !== undefined && folder.split !== undefined && folder.split !== split) continue;
    const other = remember(first, folder.videoId, () => folder);
    if (other !== folder) {
      yield finding("video-twice", folder.path, `the same video is in ${other.path}`);
    }
  }
}

function* missingFindings(
  found: OpenDvRoot,
  listed: readonly MetaVideo[],
  metaPath: string,
  onMissing?: (missing: Finding) => void,
): Generator<Finding> {
  const present = new Set(found.folders.map(({ videoId }) => videoId));
  // Only the splits that are here are taken as wanted, and only the mini subset where nothing else is here.
  const here = listed.filter((video) => present.has(video.videoId));
  if (here.length === 0) return;
  const full = here.some((video) => video.subset !== "Mini");
  const wanted = listed.filter(
    (video) =>
      // The videos behind a link that leads nowhere have been reported with the link.
      !found.broken.some(({ path }) => `${folderOf(video)}/`.startsWith(`${path}/`)) &&
      (found.splits.length === 0 || video.split === undefined || found.splits.includes(video.split)) &&
      (full || video.subset === "Mini"),
  );
  const missing = wanted.filter(
    (video) =>
      !present.has(video.videoId) &&
      !found.skipped.has(video.videoId) &&
      // The discards leave nothing of such a video.
      expectedFrames(video) !== 0,
  );
  const isDownloaded = ({ folder, videoId }: MetaVideo) =>
    found.videos?.has(`${youtuberKey(folder)}/${videoId}`) ?? false;
  const withoutFolder = (video: MetaVideo, text: string) => {
    const one = finding("missing-folder", folderOf(video), text);
    onMissing?.(one);
    return one;
  };
  for (const video of missing.filter(isDownloaded)) {
    yield withoutFolder(video, "the video was downloaded and has no folder of frames");
  }
  const rest = missing.filter((video) => !isDownloaded(video));
  if (rest.length === 0) return;
  const there = wanted.length - missing.length;
  if (there < PART * wanted.length) {
    const message = `${there} of the ${wanted.length} videos of the list are here; the others are not named one by one`;
    yield finding("partial", metaPath, message, { count: rest.length });
    return;
  }
  const youtubersHere = new Set(here.map((video) => video.folder));
  const gone = new Map<string, MetaVideo[]>();
  for (const video of rest) {
    // Where the videos are at hand, they show what was never downloaded; otherwise, a lone hole in a youtuber's videos is a
    // fault.
    if (found.videos === undefined && youtubersHere.has(video.folder)) {
      yield withoutFolder(video, `video ${video.videoId} of the list has no folder`);
    } else {
      onMissing?.(finding("not-downloaded", folderOf(video), "neither a folder nor a video file"));
      remember(gone, video.folder, () => []).push(video);
    }
  }
  for (const [youtuber, videos] of gone) {
    const have = videos.length === 1 ? "1 video has" : `${videos.length} videos have`;
    const message = `${have} neither a folder nor a video file: ${examples(videos.map(({ videoId }) => videoId))}`;
    yield finding("not-downloaded", youtuber, message, { count: videos.length });
  }
}

/** Returns the path where `video2img.py` would put the frames. */
function folderOf(video: MetaVideo): string {
  return `${video.split === "val" ? "val_images" : "full_images"}/${video.folder}/${video.videoId}`;
}

function examples(names: readonly string[]): string {
  return names.slice(0, 5).join(", ") + (names.length > 5 ? " …" : "");
}
