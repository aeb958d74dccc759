/** Checks of clips of consecutive frames in folders, as YouTube.json and the language files list them. */

import { existsSync, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { isSystemError, rethrowExhausted } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import { type FolderScan, scanFolder } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";
import { describeLayout, frameName } from "../opendv/names.js";
import { findOpenDvRoot, splitOf } from "../opendv/root.js";
import { FrameSet, findRun, MAX_FRAME } from "../opendv/runs.js";
import { recognise } from "../recognise.js";
import type { Clip, ClipFolder } from "./clip.js";
import type { ClipSample } from "./clip-sample.js";
import { type Issues, records } from "./issues.js";
import type { AnnotationRule } from "./rules.js";

/** The number of sampled clips that are looked at before other work gets a turn. */
const BREATH = 10;

export interface FolderSource {
  /** Returns the folder's listing; undefined where the folder is not there. */
  scan(name: string): FolderScan | undefined;
  /** Tells whether a file of a folder can be opened, without listing the folder. */
  has(name: string, file: string): boolean;
  split(name: string): Split | undefined;
}

/** Joins a name of a record to the data root as the loader's os.path.join does: an absolute one stands for itself. */
export function loaderPath(root: string, name: string): string {
  return isAbsolute(name) ? name : join(root, name);
}

/** Returns a source of the folders below a data root. */
export function folderSource(root: string, splits: ReadonlyMap<string, Split>): FolderSource {
  // The last path is remembered because the clips of a folder come one after the other.
  let known: string | undefined;
  let path = "";
  const pathOf = (name: string): string => {
    if (name !== known) [known, path] = [name, loaderPath(root, name)];
    return path;
  };
  return {
    scan(name) {
      try {
        return scanFolder(pathOf(name));
      } catch (error) {
        if (!isSystemError(error)) throw error;
        rethrowExhausted(error);
        return undefined;
      }
    },
    has(name, file) {
      try {
        return statSync(`${pathOf(name)}/${file}`, { throwIfNoEntry: false })?.isFile() ?? false;
      } catch {
        // The file may not be read, or its name is too long: the loader would not open it either.
        return false;
      }
    },
    split: (name) => splits.get(name.slice(name.lastIndexOf("/") + 1)) ?? splitOfPath(name),
  };
}

/** Returns the split that a folder's place tells: `val_images/…` is validation data. */
export function splitOfPath(name: string): Split | undefined {
  const folders = name.split("/").slice(0, -1);
  return folders.map(splitOf).find((split) => split !== undefined);
}

/** Returns why the loader cannot count on from this name, or undefined where it can. */
export function misreadName(name: string): string | undefined {
  const parts = name.split(".");
  if (parts.length !== 2) {
    return `"${name}" has ${parts.length - 1} dots; the loader takes it apart at exactly one`;
  }
  if (!/^[0-9]+$/.test(parts[0]!)) return `"${name}": what is before the dot is not a number`;
  if (Number(parts[0]) > MAX_FRAME) return `"${name}": the number is too large for a frame's`;
  return undefined;
}

/** A function that takes the name of a folder or of a frame, and the rule that it breaks for a clip. */
export type OnMissing = (rule: AnnotationRule, name: string) => void;

/** The folders that one file names, with the checks on each clip. */
export class ClipChecker {
  readonly #folders = new Map<string, ClipFolder>();
  /** The number of records on which the loader would fail. */
  unusable = 0;

  /**
   * Makes a checker for the clips of one file.
   *
   * @param source  where folders are looked up; undefined where there are no images to look at
   * @param training  false for a file of validation clips
   * @param language  true for a language file. Vista does not read those: a video that was not extracted, or that falls a few
   *   frames short of what the file says, costs it nothing
   * @param onMissing  called for each clip whose frames are not all there
   * @param sample  takes the clips whose frames {@link checkSample} is to look for; where it is undefined, {@link check} looks
   *   for the frames of each clip at once
   */
  constructor(
    private readonly issues: Issues,
    private readonly source: FolderSource | undefined,
    private readonly training: boolean,
    private readonly language: boolean,
    private readonly sample?: ClipSample,
    private readonly onMissing?: OnMissing,
  ) {}

  folder(name: string): ClipFolder {
    return remember(this.#folders, name, () => ({
      name,
      split: this.source?.split(name) ?? splitOfPath(name),
      starts: new FrameSet(),
    }));
  }

  /**
   * Checks a clip.
   *
   * @returns the rule that the frames of the record's clip break, so that the loader cannot use it; otherwise undefined
   */
  check(clip: Clip): AnnotationRule | undefined {
    const { folder, first } = clip;
    if (!folder.starts.add(first)) {
      this.issues.group(
        "duplicate",
        folder.name,
        (count) =>
          `${records(count, "repeat")} a clip of ${folder.name} that is listed before, from frame ${first} on`,
      );
    }
    if (this.training && folder.split === "val") {
      this.issues.group(
        "val-in-train",
        folder.name,
        (count) => `${records(count, "take")} clips from the validation video ${folder.name}`,
      );
    }
    if (this.source === undefined) return undefined;
    if (this.sample !== undefined) {
      this.sample.offer(clip, this.issues);
      return undefined;
    }
    const broken = this.#checkFrames(clip, this.source);
    if (broken !== undefined) this.unusable++;
    return broken;
  }

  /**
   * Looks for the frames of the sampled clips, one by one and without listing their folders. Because this takes long on a slow
   * disk, it lets other work run now and then.
   *
   * @param goOn  asked before each clip whether to go on
   */
  async checkSample(goOn: () => boolean): Promise<void> {
    const [sample, source] = [this.sample, this.source];
    if (sample === undefined || source === undefined) return;
    for (const [number, { clip, index, offset, random, last }] of sample.chosen().entries()) {
      if (number % BREATH === 0) await setImmediate();
      if (!goOn()) return;
      const missing = missingFrame(clip, source, random);
      if (random) sample.looked++;
      if (last) sample.ends++;
      if (missing === undefined) continue;
      if (random) sample.missing++;
      this.issues.at(index, offset);
      // The listing tells why. A frame that the listing has and that cannot be opened is a link that leads nowhere.
      if (this.#checkFrames(clip, source) === undefined) {
        const { name } = clip.folder;
        this.issues.group(
          "frame-missing",
          name,
          (count) =>
            `${records(count, "name")} frames of ${name} that cannot be opened, the first ${missing}`,
        );
      }
    }
  }

  /**
   * Looks for a clip's frames in the listing of its folder.
   *
   * @returns the rule that is broken where a frame of the clip is not there
   */
  #checkFrames(clip: Clip, source: FolderSource): AnnotationRule | undefined {
    const { folder, first, width, extension, length } = clip;
    const { name } = folder;
    folder.listed ??= { scan: source.scan(name) };
    const { scan } = folder.listed;
    const issue = (rule: AnnotationRule, message: (count: number) => string) => {
      this.issues.group(rule, name, message);
      this.onMissing?.(rule, name);
      return rule;
    };
    if (scan?.layout === undefined) {
      const rule = this.language ? "language-folder" : "folder-missing";
      return issue(rule, (count) => `${records(count, "name")} ${name}, where no frame is`);
    }
    const { layout, runs } = scan;
    const digits = Math.max(layout.width, String(first).length);
    if (layout.prefix !== "" || layout.extension !== extension || digits !== width) {
      const spelled = frameName(clip, first);
      return issue(
        "frame-missing",
        (count) =>
          `${records(count, "name")} frames like ${spelled} of ${name}, which has ${describeLayout(layout)}`,
      );
    }
    const run = findRun(runs, first);
    const last = first + length - 1;
    const end = runs[runs.length - 1]!;
    if (run >= 0 && last <= runs[run + 1]!) return undefined;
    if (run < 0 && !(this.language && first > end)) {
      return issue(
        "frame-missing",
        (count) =>
          `${records(count, "start")} at a frame that is not in ${name}, the first at frame ${first}`,
      );
    }
    if (last > end) {
      return issue(
        this.language ? "language-past-end" : "past-end",
        (count) =>
          `${records(count, "run")} past the end of ${name}: the first from frame ${first} to ${last}, the folder ends at ${end}`,
      );
    }
    return issue(
      "over-gap",
      (count) =>
        `${records(count, "run")} over a gap in ${name}: the first from frame ${first} to ${last}, frame ${runs[run + 1]! + 1} is missing`,
    );
  }
}

/**
 * Returns the first frame that cannot be opened, under the name that the loader makes for it. Without `all`, only the last frame
 * is tried.
 */
function missingFrame(clip: Clip, source: FolderSource, all: boolean): string | undefined {
  const { folder, first, length } = clip;
  for (let i = all ? 0 : length - 1; i < length; i++) {
    const file = frameName(clip, first + i);
    if (!source.has(folder.name, file)) return file;
  }
  return undefined;
}

/** Returns the folder that an annotation file belongs to: the one above `annos/`, or that of the file. */
export function rootOf(file: string): string {
  const folder = dirname(file);
  return basename(resolve(folder)) === "annos" ? join(folder, "..") : folder;
}

/**
 * Returns the folder that names in the records of a kind start from: Vista's `data/YouTube` or `data/nuscenes` or, without that, the set
 * that is in the root; undefined where there is none.
 */
export function dataOf(kind: "NuScenes" | "YouTube", root: string): string | undefined {
  const [usual, set] = SETS[kind];
  if (existsSync(join(root, usual))) return join(root, usual);
  if (!existsSync(root)) return undefined;
  const { nuscenes, opendv } = recognise(root, { kinds: [set], orNothing: true });
  return nuscenes?.root ?? opendv?.dataRoot;
}

const SETS = { NuScenes: ["data/nuscenes", "nuscenes"], YouTube: ["data/YouTube", "opendv"] } as const;

/** Returns the folder that names in language files start from: an OpenDV root, which may be a folder in `data/YouTube`. */
export function opendvDataRoot(path: string): string {
  return findOpenDvRoot(path)?.root ?? path;
}
