/** Clips of consecutive frames in folders, as YouTube.json and the language files have them. */
import { join } from "node:path";
import type { Split } from "../opendv/meta.js";
import { describeLayout } from "../opendv/names.js";
import { findOpenDvRoot } from "../opendv/root.js";
import { FrameSet, findRun, MAX_FRAME } from "../opendv/runs.js";
import { type FolderScan, scanFolder } from "../opendv/scan.js";
import { type Issues, records } from "./issues.js";
import { ANNOTATION_RULES as RULES } from "./rules.js";

/** One clip, taken apart. `width` counts the digits of the first frame's name. */
export interface Clip {
  folder: ClipFolder;
  first: number;
  width: number;
  extension: string;
  /** Frames, from `first` on. */
  length: number;
}

/** A folder that records name, and what is known about it. */
export interface ClipFolder {
  name: string;
  split: Split | undefined;
  /** Undefined where the folder is not there; not looked at where there are no images at all. */
  scan: FolderScan | undefined;
  /** First frames of the clips so far, in this file. */
  starts: FrameSet;
}

export interface FolderSource {
  /** Undefined where the folder is not there. */
  scan(name: string): FolderScan | undefined;
  split(name: string): Split | undefined;
}

/** Folders below a data root, listed when a record first names them. */
export function folderSource(
  root: string,
  splits: ReadonlyMap<string, Split>,
  known?: (name: string) => FolderScan | undefined,
): FolderSource {
  return {
    scan(name) {
      const indexed = known?.(name);
      if (indexed !== undefined) return indexed;
      try {
        return scanFolder(join(root, name));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
        return undefined;
      }
    },
    split: (name) => splits.get(name.slice(name.lastIndexOf("/") + 1)) ?? splitOfPath(name),
  };
}

/** `val_images/…` is validation data by its place. */
export function splitOfPath(name: string): Split | undefined {
  const match = /(?:^|\/)(full|val)_images[^/]*\//.exec(name);
  return match === null ? undefined : match[1] === "val" ? "val" : "train";
}

/** Why the loader cannot count on from this name, or undefined where it can. */
export function misreadName(name: string): string | undefined {
  const parts = name.split(".");
  if (parts.length !== 2) {
    return `"${name}" has ${parts.length - 1} dots; the loader takes it apart at exactly one`;
  }
  if (!/^[0-9]+$/.test(parts[0]!)) return `"${name}": what is before the dot is not a number`;
  if (Number(parts[0]) > MAX_FRAME) return `"${name}": the number is too large for a frame's`;
  return undefined;
}

/** Folders of one file, with the checks on each clip. */
export class ClipChecker {
  readonly #folders = new Map<string, ClipFolder>();
  readonly #source: FolderSource | undefined;
  readonly #issues: Issues;
  readonly #training: boolean;
  readonly #language: boolean;
  /** Records on which the loader would fail. */
  unusable = 0;

  /**
   * @param source  undefined where there are no images to look at
   * @param training  false for a file of validation clips
   * @param language  true for a language file. Vista does not read those: a video that was not extracted, or that falls a
   *   few frames short of theirs, costs it nothing
   */
  constructor(issues: Issues, source: FolderSource | undefined, training: boolean, language: boolean) {
    this.#language = language;
    this.#issues = issues;
    this.#source = source;
    this.#training = training;
  }

  folder(name: string): ClipFolder {
    let folder = this.#folders.get(name);
    if (folder === undefined) {
      folder = {
        name,
        split: this.#source?.split(name) ?? splitOfPath(name),
        scan: this.#source?.scan(name),
        starts: new FrameSet(),
      };
      this.#folders.set(name, folder);
    }
    return folder;
  }

  check(clip: Clip, index: number, offset: number): void {
    const { folder, first } = clip;
    if (!folder.starts.add(first)) {
      this.#issues.group(
        RULES.duplicate,
        folder.name,
        index,
        offset,
        (count) =>
          `${records(count, "repeat")} a clip of ${folder.name} that is listed before, from frame ${first} on`,
      );
    }
    if (this.#training && folder.split === "val") {
      this.#issues.group(
        RULES["val-in-train"],
        folder.name,
        index,
        offset,
        (count) => `${records(count, "take")} clips from the validation video ${folder.name}`,
      );
    }
    if (this.#source !== undefined && !this.#checkFrames(clip, index, offset)) this.unusable++;
  }

  /** @returns false where a frame of the clip is not there */
  #checkFrames(clip: Clip, index: number, offset: number): boolean {
    const { folder, first, width, extension, length } = clip;
    const { name, scan } = folder;
    const issue = (rule: keyof typeof RULES, message: (count: number) => string) => {
      this.#issues.group(RULES[rule], name, index, offset, message);
      return false;
    };
    if (scan?.layout === undefined) {
      const rule = this.#language ? "language-folder" : "folder-missing";
      return issue(rule, (count) => `${records(count, "name")} ${name}, where no frame is`);
    }
    const { layout, runs } = scan;
    const digits = Math.max(layout.width, String(first).length);
    if (layout.prefix !== "" || layout.extension !== extension || digits !== width) {
      const spelled = `${String(first).padStart(width, "0")}.${extension}`;
      return issue(
        "frame-missing",
        (count) =>
          `${records(count, "name")} frames like ${spelled} of ${name}, which has ${describeLayout(layout)}`,
      );
    }
    const run = findRun(runs, first);
    const last = first + length - 1;
    const end = runs[runs.length - 1]!;
    if (run >= 0 && last <= runs[run + 1]!) return true;
    if (run < 0 && !(this.#language && first > end)) {
      return issue(
        "frame-missing",
        (count) =>
          `${records(count, "start")} at a frame that is not in ${name}, the first at frame ${first}`,
      );
    }
    if (last > end) {
      return issue(
        this.#language ? "language-past-end" : "past-end",
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

/** The folder that the names in clip records start from: an OpenDV root, or a folder that holds one. */
export function opendvDataRoot(path: string): string {
  return findOpenDvRoot(path)?.root ?? path;
}
