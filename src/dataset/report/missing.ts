/**
 * The text of `check --list-missing`: what to fetch again, sorted by what is known of where it comes from, with one file or video
 * a line.
 */

import { oneLine } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { sum } from "../../core/sum.js";
import { compareText, formatCount as count, plural } from "../../core/text.js";
import type { Finding } from "../finding.js";

/**
 * The words for files that are there and should be fetched again, or that only a finding names, by the rule of the finding. Other
 * missing files come from `onMissing`.
 */
const FAULTS: ReadonlyMap<string, string> = new Map([
  ["nuscenes/empty-file", "empty"],
  ["nuscenes/not-an-image", "damaged"],
  ["nuscenes/truncated-image", "damaged"],
  ["nuscenes/bad-point-cloud", "damaged"],
  ["nuscenes/missing-map", "missing"],
  ["nuscenes/bad-map", "damaged"],
  ["nuscenes/can-bus-missing", "missing"],
  ["nuscenes/can-bus-damaged", "damaged"],
  ["nuscenes/missing-table", "missing"],
  ["nuscenes/empty-table", "empty"],
  ["nuscenes/bad-json", "damaged"],
]);

/**
 * The faults of a video's frames, by rule. The video is the folder that a finding names, or that of the picture that it names.
 */
const VIDEO_FAULTS: ReadonlyMap<string, string> = new Map([
  ["opendv/gap", "frames missing"],
  ["opendv/short", "frames missing at the end"],
  ["opendv/only-last-frame", "frames missing"],
  ["opendv/empty-folder", "no frame"],
  ["opendv/truncated-last-frame", "pictures damaged"],
  ["opendv/empty-image", "pictures empty"],
  ["opendv/truncated-image", "pictures damaged"],
  ["opendv/not-an-image", "pictures damaged"],
  ["opendv/damaged-image", "pictures damaged"],
  ["opendv/missing-folder", "folder missing"],
  ["opendv/not-downloaded", "never downloaded"],
  ["annos/folder-missing", "folder missing"],
  ["annos/frame-missing", "frames missing that annotations need"],
  ["annos/past-end", "frames missing that annotations need"],
  ["annos/over-gap", "frames missing that annotations need"],
]);

/** The pattern of a path of a nuScenes set: the place of the set, and what lies below. */
const NUSCENES = /^(?:(.*)\/)?((?:samples|sweeps|maps|can_bus|lidarseg|panoptic|v\d[^/]*)(?:\/.*)?)$/;
const SENSOR_FILE = /^((?:samples|sweeps)\/[^/]+)\/(.+?)__[^/]+$/;
const PICTURE = /\.(jpe?g|png|webp)$/i;

export class MissingList {
  /** The faults of files: by set, by where the files come from, and by path. */
  readonly #sets = new Map<string, Map<string, Map<string, string>>>();
  /** The faults of each video, with the numbers of places that they stand for; 0 where they have no number. */
  readonly #videos = new Map<string, Map<string, number>>();
  #unnamed = 0;

  /** Takes a finding of the check. */
  add(found: Finding): void {
    if (found.rule === "opendv/partial") this.#unnamed += found.count ?? 1;
    const fault = FAULTS.get(found.rule);
    if (fault !== undefined) this.#file(found, fault);
    else if (found.rule.startsWith("opendv/") && !MISSING_VIDEOS.has(found.rule)) this.#video(found);
  }

  /** Takes something that is not there, as `onMissing` names it. */
  addMissing(missing: Finding): void {
    if (VIDEO_FAULTS.has(missing.rule) && !NUSCENES.test(missing.path)) this.#video(missing);
    else this.#file(missing, "missing");
  }

  get videos(): readonly string[] {
    return [...this.#videos.keys()];
  }

  #file({ path, message, count: files }: Finding, fault: string): void {
    const match = NUSCENES.exec(path);
    const root = match?.[1] ?? ".";
    const below = match?.[2] ?? path;
    const groups = remember(this.#sets, root, () => new Map());
    const paths = remember(groups, sourceOf(below), () => new Map());
    const isFolder = files !== undefined;
    paths.set(isFolder ? `${below}/` : below, isFolder ? `${fault}: ${message}` : fault);
  }

  #video({ rule, path, count: places }: Finding): void {
    const fault = VIDEO_FAULTS.get(rule);
    if (fault === undefined) return;
    const isPicture = PICTURE.test(path);
    const folder = isPicture ? path.slice(0, Math.max(path.lastIndexOf("/"), 0)) : path;
    const faults = remember(this.#videos, folder, () => new Map());
    const add = isPicture ? (places ?? 1) : (places ?? 0);
    faults.set(fault, (faults.get(fault) ?? 0) + add);
  }

  /** Returns the list as text. @param head  lines about the check: what it checked, and how much of that it saw */
  text(head: readonly string[], links: ReadonlyMap<string, string>): string {
    const lines = head.map((line) => `# ${field(line)}`);
    const files = [...this.#sets.values()].flatMap((groups) => [...groups.values()]);
    const total = sum(files, (paths) => paths.size);
    lines.push(
      `# To fetch again: ${plural(total, "file or folder", "files or folders")}, ${plural(this.#videos.size, "video")}.`,
    );
    for (const [root, groups] of inOrder(this.#sets)) {
      lines.push(
        "",
        `## nuScenes in ${field(root)}: path below it, what is wrong`,
        "# Neither names nor tables say which of the numbered blobs archives holds a file; the log in its name has the date.",
      );
      for (const [group, paths] of inOrder(groups)) {
        lines.push(`# ${field(group)}: ${count(paths.size)}`);
        for (const [path, fault] of inOrder(paths)) lines.push(`${field(path)}\t${field(fault)}`);
      }
    }
    if (this.#videos.size > 0 || this.#unnamed > 0)
      lines.push("", "## OpenDV-YouTube: video ID, folder, link in the list of videos, what is wrong");
    if (this.#unnamed > 0) {
      lines.push(
        `# ${plural(this.#unnamed, "more video")} of the list of videos not here, and not named: most of the list is not (opendv/partial).`,
      );
    }
    for (const [folder, faults] of inOrder(this.#videos)) {
      const id = folder.slice(folder.lastIndexOf("/") + 1);
      const what = [...inOrder(faults)].map(([fault, places]) =>
        places > 0 ? `${fault}: ${count(places)}` : fault,
      );
      // Links are not cut, because they were looked at when they were read.
      lines.push([field(id), field(folder), links.get(id) ?? "-", what.join(", ")].join("\t"));
    }
    return `${lines.join("\n")}\n`;
  }
}

/** The rules whose findings count videos together, which `onMissing` names one by one. */
const MISSING_VIDEOS = new Set(["opendv/missing-folder", "opendv/not-downloaded"]);

/** Returns where the owners of a data set offer a file, as far as its name tells. */
function sourceOf(path: string): string {
  const file = SENSOR_FILE.exec(path);
  if (file !== null) return `${file[1]}, log ${file[2]}`;
  if (path.startsWith("can_bus")) return "can_bus.zip";
  if (path.startsWith("maps") || /^v\d/.test(path)) return "the metadata archive of the version";
  return path;
}

function inOrder<Value>(map: ReadonlyMap<string, Value>): [string, Value][] {
  return [...map].sort(([a], [b]) => compareText(a, b));
}

/** Returns a text on one line, because tabs part the fields and line ends the rows. */
function field(text: string): string {
  return oneLine(text, 4096);
}
