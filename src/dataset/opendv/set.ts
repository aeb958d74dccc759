/** Rules for the set as a whole: the list of videos against the folders that are there. No file is opened here. */
import { finding } from "../define-rules.js";
import type { Finding } from "../finding.js";
import { expectedFrames, type Meta, type MetaVideo, youtuberKey } from "./meta.js";
import type { OpenDvRoot, VideoFolder } from "./root.js";
import { OPENDV_RULES as RULES } from "./rules.js";

/** A list of videos, with its path relative to the root. */
export interface NamedMeta {
  path: string;
  meta: Meta;
}

/** Below this share of the wanted videos a set counts as a part that was taken on purpose. */
const PART = 0.5;

export function metaFileFindings(files: readonly NamedMeta[]): Finding[] {
  const findings: Finding[] = [];
  for (const { path, meta } of files) {
    if (meta.unreadable !== undefined) {
      const { reason, offset } = meta.unreadable;
      findings.push(finding(RULES["meta-unreadable"], path, reason, offset === undefined ? {} : { offset }));
    }
    for (const { kind, row, message } of meta.problems) {
      findings.push(finding(RULES[`meta-${kind}`], path, message, { record: `row ${row}` }));
    }
    findings.push(...duplicateRows(path, meta));
  }
  // One list as CSV and as the JSON that was made of it; a list of another name may well be another list.
  const readable = files.filter(({ meta }) => meta.unreadable === undefined);
  for (const [i, one] of readable.entries()) {
    const other = readable.slice(i + 1).find(({ path }) => stem(path) === stem(one.path));
    if (other !== undefined) findings.push(...mismatch(one, other));
  }
  return findings;
}

function stem(path: string): string {
  return path.replace(/\.(csv|json)$/i, "");
}

function duplicateRows(path: string, meta: Meta): Finding[] {
  const rows = new Map<string, number>();
  const findings: Finding[] = [];
  for (const { videoId, row } of meta.videos) {
    const first = rows.get(videoId);
    if (first === undefined) rows.set(videoId, row);
    else {
      const message = `video ${videoId} is listed in row ${first} already`;
      findings.push(finding(RULES["meta-duplicate"], path, message, { record: `row ${row}` }));
    }
  }
  return findings;
}

function mismatch(a: NamedMeta, b: NamedMeta): Finding[] {
  const findings: Finding[] = [];
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const known = new Set(other.meta.videos.map((video) => video.videoId));
    const missing = one.meta.videos.filter((video) => !known.has(video.videoId));
    if (missing.length === 0) continue;
    const message = `${missing.length === 1 ? "1 video is" : `${missing.length} videos are`} listed here and not in ${other.path}: ${examples(missing.map((video) => video.videoId))}`;
    findings.push(finding(RULES["meta-mismatch"], one.path, message, { count: missing.length }));
  }
  return findings;
}

/**
 * The rules that need the list: which videos have a folder, which should, and in which split.
 *
 * @param onMissing  called with each missing video by itself
 */
export function listFindings(
  found: OpenDvRoot,
  { path: metaPath, meta }: NamedMeta,
  onMissing?: (missing: Finding) => void,
): Finding[] {
  const byId = new Map<string, MetaVideo>();
  for (const video of meta.videos) if (!byId.has(video.videoId)) byId.set(video.videoId, video);
  const present = new Map<string, VideoFolder[]>();
  for (const folder of found.folders) {
    present.set(folder.videoId, [...(present.get(folder.videoId) ?? []), folder]);
  }

  const findings: Finding[] = [];
  for (const folder of found.folders) {
    const video = byId.get(folder.videoId);
    if (video === undefined) {
      const message = `no video of the list has the ID ${folder.videoId}`;
      findings.push(finding(RULES["unknown-folder"], folder.path, message));
    } else if (folder.split !== undefined && video.split !== undefined && folder.split !== video.split) {
      const message = `the list has video ${folder.videoId} in ${video.split}, its folder is among the ${folder.split} images`;
      findings.push(finding(RULES["wrong-split"], folder.path, message));
    } else if (folder.youtuber !== undefined && youtuberKey(folder.youtuber) !== youtuberKey(video.folder)) {
      const message = `the list has video ${folder.videoId} under the youtuber ${video.folder}`;
      findings.push(finding(RULES["unknown-folder"], folder.path, message));
    }
  }
  findings.push(...missingFindings(found, [...byId.values()], present, metaPath, onMissing));
  return findings;
}

/** Videos in two folders; those in the wrong split are named by that rule already. */
export function twiceFindings(found: OpenDvRoot, meta: Meta | undefined): Finding[] {
  const splits = new Map(meta?.videos.map((video) => [video.videoId, video.split]));
  const first = new Map<string, VideoFolder>();
  const findings: Finding[] = [];
  for (const folder of found.folders) {
    const split = splits.get(folder.videoId);
    if (split !== undefined && folder.split !== undefined && folder.split !== split) continue;
    const other = first.get(folder.videoId);
    if (other === undefined) first.set(folder.videoId, folder);
    else findings.push(finding(RULES["video-twice"], folder.path, `the same video is in ${other.path}`));
  }
  return findings;
}

function missingFindings(
  found: OpenDvRoot,
  listed: readonly MetaVideo[],
  present: ReadonlyMap<string, readonly VideoFolder[]>,
  metaPath: string,
  onMissing?: (missing: Finding) => void,
): Finding[] {
  // Only the splits that are here, and only the mini subset where nothing else is, are taken as wanted.
  const here = listed.filter((video) => present.has(video.videoId));
  if (here.length === 0) return [];
  const full = here.some((video) => video.subset !== "Mini");
  const wanted = listed.filter(
    (video) =>
      // What lies behind a link that leads nowhere has been reported with it.
      !found.broken.some(({ path }) => `${folderOf(video)}/`.startsWith(`${path}/`)) &&
      (found.splits.length === 0 || video.split === undefined || found.splits.includes(video.split)) &&
      (full || video.subset === "Mini"),
  );
  const missing = wanted.filter(
    (video) =>
      !present.has(video.videoId) &&
      !found.skipped.has(video.videoId) &&
      // Its discards leave nothing of it.
      expectedFrames(video) !== 0,
  );
  const downloaded = missing.filter((video) =>
    found.videos?.has(`${youtuberKey(video.folder)}/${video.videoId}`),
  );
  const findings = downloaded.map((video) =>
    finding(RULES["missing-folder"], folderOf(video), "the video was downloaded and has no folder of frames"),
  );
  for (const one of findings) onMissing?.(one);
  const rest = missing.filter((video) => !downloaded.includes(video));
  if (rest.length === 0) return findings;
  if (wanted.length - missing.length < PART * wanted.length) {
    const message = `${wanted.length - missing.length} of the ${wanted.length} videos of the list are here; the others are not named one by one`;
    findings.push(finding(RULES.partial, metaPath, message, { count: rest.length }));
    return findings;
  }
  const youtubersHere = new Set(here.map((video) => video.folder));
  const gone = new Map<string, MetaVideo[]>();
  for (const video of rest) {
    // With the videos at hand one knows what was never downloaded; without, a lone hole in a youtuber's videos is a fault.
    if (found.videos === undefined && youtubersHere.has(video.folder)) {
      const text = `video ${video.videoId} of the list has no folder`;
      const hole = finding(RULES["missing-folder"], folderOf(video), text);
      onMissing?.(hole);
      findings.push(hole);
    } else {
      onMissing?.(finding(RULES["not-downloaded"], folderOf(video), "neither a folder nor a video file"));
      gone.set(video.folder, [...(gone.get(video.folder) ?? []), video]);
    }
  }
  for (const [youtuber, videos] of gone) {
    const ids = examples(videos.map((video) => video.videoId));
    const message = `${videos.length === 1 ? "1 video has" : `${videos.length} videos have`} neither a folder nor a video file: ${ids}`;
    findings.push(finding(RULES["not-downloaded"], youtuber, message, { count: videos.length }));
  }
  return findings;
}

/** Where `video2img.py` would put the frames. */
function folderOf(video: MetaVideo): string {
  return `${video.split === "val" ? "val_images" : "full_images"}/${video.folder}/${video.videoId}`;
}

function examples(names: readonly string[]): string {
  return names.slice(0, 5).join(", ") + (names.length > 5 ? " …" : "");
}
