/** The form of findings and of summaries, which is the same for nuScenes, OpenDV-YouTube and annotation files. */
import type { RunOptions } from "../core/progress.js";

/**
 * The severity of a rule. `error`: training would fail, hang or lose samples. `warning`: something is probably wrong, but
 * training would go on. `note`: something is worth knowing, such as a known quirk of a data set. Only errors make
 * `vista-data check` exit 1.
 */
export type Severity = "error" | "warning" | "note";

/** The severities, the gravest first. */
export const SEVERITIES: readonly Severity[] = ["error", "warning", "note"];

/** The colours of severities on a terminal. */
export const COLOURS = { error: "red", warning: "yellow", note: "cyan" } as const;

/** A rule of the checker. Codes are stable; `docs/rules/<code with / replaced by ->.md` has a page for each. */
export interface Rule {
  /** The code of the rule, such as `nuscenes/dangling-token`, `opendv/gap` or `annos/frame-missing`. */
  code: string;
  severity: Severity;
  /** The name of the rule in a few words, for tables. */
  title: string;
  /** The advice of what to do about it, as a sentence. */
  fix: string;
}

/** A thing that is wrong, or worth knowing, in one place. */
export interface Finding {
  /** The {@link Rule.code} of the rule that is broken. */
  rule: string;
  severity: Severity;
  /** The path of the file or folder, relative to the root of its check, with `/` between parts. */
  path: string;
  /** The place in the file: a token, a row number, a key path, a frame number … */
  record?: string;
  /** The offset in the file, in bytes. */
  offset?: number;
  /** The description of what is wrong, on one line, with the numbers and without the place. */
  message: string;
  /** The number of places that this one finding stands for, such as those of a run of missing frames. Its default is 1. */
  count?: number;
}

/**
 * The amount of something that a check looked at. With `--shard`, both numbers are those of this shard, and merging adds them.
 */
export interface Coverage {
  /** The name of what was looked at, such as `sample_data rows`, `images (headers)` or `video folders`. */
  what: string;
  /** The number of things that were looked at. */
  checked: number;
  /** The number of things that there are. */
  total: number;
}

/**
 * The figures of one chart of the HTML report. Where shards are merged, the values of `bars` are added by label; `spans` are of the first
 * shard alone. Points are shown in the natural order of their labels ("9" before "10"). With `shares`, the bars are parts of one whole
 * (how many pictures have each size); without it, they stand for things of their own (the frames of each video).
 */
export type Chart =
  | { kind: "bars"; title: string; unit: string; shares?: true; points: { label: string; value: number }[] }
  | { kind: "spans"; title: string; unit: string; points: { label: string; from: number; to: number }[] };

/** The counts of an annotation check for one file, which `--config` and `stats` use. */
export interface AnnotationTally {
  /** The path of the file, in the form of {@link Finding.path}. */
  path: string;
  /** The subset of Vista's loader that reads such a file; `language` files are no subset. */
  subset: "NuScenes" | "YouTube" | "language";
  /** The number of records. */
  records: number;
  /** The number of records on which Vista's loader would raise, so that it would silently pick another. */
  unusable: number;
  /**
   * The number of unusable nuScenes records whose frames are at fault. The others can be loaded in some of the loader's action
   * modes.
   */
  lost?: number;
  /**
   * The number of nuScenes records on which the data set class raises before anything is loaded, which ends the training; `first`
   * says where the first of them is (`record 17`, `byte 9120`). The field is missing where there are none.
   */
  stopping?: { records: number; first: string };
  /**
   * The amount that a quick check looked at; missing after a full check. `records` and `unusable` then count only what was looked
   * at.
   */
  quick?: QuickTally;
}

/** The amount of one annotation file that the quick form of the check looked at. */
export interface QuickTally {
  /** The number of records in the file; an estimate where the file was not read to its end. */
  total: number;
  /** The number of bytes, out of `size`, that were read from the start of the file. Records after them were only sampled. */
  read: number;
  /** The size of the file in bytes. */
  size: number;
  /** The number of records that were looked at in the rest of the file. */
  sampled: number;
  /**
   * The counts for clips of consecutive frames: the records whose frames were looked for (with `all`, these are all sound records
   * that were read), how many of them lack frames, and the folders whose last clip was looked at. The field is missing for
   * nuScenes, where the frames of every record that was read are looked for, and where there are no images to look for.
   */
  frames?: { records: number; missing: number; folders: number; all: boolean };
}

/** The description that a finished (or interrupted) check gives of itself. */
export interface CheckSummary {
  kind: "nuscenes" | "opendv" | "annotations";
  /**
   * The name of what was recognised, such as `nuScenes v1.0-mini` or `OpenDV-YouTube, frames from 0, %09d.jpg`. It is the same in
   * every shard.
   */
  title: string;
  /** The root of the check, to which the paths of its findings are relative. */
  root: string;
  /**
   * The coverage, in an order that depends on nothing but the options. Every shard has the same entries, also those that are
   * zero.
   */
  coverage: Coverage[];
  /** The parts that were left out on purpose, for the verdict: `headers of 2,000 of 1,031,204 images (seed 0)`. */
  sampled?: string[];
  /** The things that this form of the check does not look at, for the verdict: `pixels of pictures (--decode)`. */
  unseen?: string[];
  /** Whether the check ended before it had looked at everything that it was meant to. */
  interrupted: boolean;
  /** The charts, with some thousands of points in all at most. */
  charts?: Chart[];
  /** The paths of a few dozen sound images, in the form of {@link Finding.path}, for thumbnails in the HTML report. */
  samples?: string[];
  /** The counts of the annotation files, where the check looked at some. */
  annotations?: AnnotationTally[];
}

/**
 * A check that can be run: iterate it once to get the findings, in a stable order. `summary` is complete when the iteration has
 * ended. When `signal` is aborted, the iteration throws `ABORTED`, and `summary` says what was covered until then. Findings that
 * the user ignores are filtered by the caller, not here.
 */
export interface Check extends AsyncIterable<Finding> {
  readonly summary: CheckSummary;
}

/** A part of a check that is split over several machines; `index` runs from 1 to `count`. */
export interface Shard {
  index: number;
  count: number;
}

/** The options that every check of this package takes. */
export interface CheckOptions extends RunOptions {
  /**
   * The closeness with which images are looked at: file names and sizes only, the headers (format, width, height, end marker), or
   * a full decode. The default is `headers`.
   */
  images?: "names" | "headers" | "decode" | undefined;
  /**
   * The number of images that are opened, out of all there are; `Infinity` opens every one. By default as many are opened as
   * `budget` allows.
   */
  sample?: number | undefined;
  /**
   * The number of seconds for opening images, spread over the whole set. The default is 60 for headers where `sample` is not
   * given, and otherwise no bound. Names and sizes of all files are looked at however long that takes.
   */
  budget?: number | undefined;
  /** The seed of the sample of images. The same seed takes the same images, with or without shards. The default is 0. */
  seed?: number | undefined;
  /**
   * The only part to check, where one is given. The findings, coverage and charts of all shards together are those of one whole
   * run: shard 1 alone does what cannot be split.
   */
  shard?: Shard | undefined;
  /**
   * A function that is called with each file, folder or video that is not there, also where the findings count it together with
   * others. `path` is that of what is missing, and `count` says how many files a folder stands for.
   */
  onMissing?: ((missing: Finding) => void) | undefined;
}
