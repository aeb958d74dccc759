/** What a check finds, in one form for nuScenes, OpenDV-YouTube and annotation files. */
import type { RunOptions } from "../core/progress.js";

/**
 * `error`: training would fail, hang or lose samples. `warning`: probably wrong, training would go on. `note`: worth
 * knowing, known quirks of the data sets among them. Only errors make `vista-data check` exit 1.
 */
export type Severity = "error" | "warning" | "note";

/** A rule of the checker. Codes are stable; `docs/rules/<code with / replaced by ->.md` has a page for each. */
export interface Rule {
  /** e.g. `nuscenes/dangling-token`, `opendv/gap`, `annos/frame-missing`. */
  code: string;
  severity: Severity;
  /** A few words for tables. */
  title: string;
  /** What to do about it, as a sentence. */
  fix: string;
}

/** One thing that is wrong, or worth knowing, in one place. */
export interface Finding {
  /** {@link Rule.code} */
  rule: string;
  severity: Severity;
  /** File or folder, relative to the root of its check, with `/` between parts. */
  path: string;
  /** Where in the file: token, row number, key path, frame number … */
  record?: string;
  /** Byte offset in the file. */
  offset?: number;
  /** One line: what is wrong, with the numbers, without the place. */
  message: string;
  /** How many places this one finding stands for (a run of missing frames, say). Default 1. */
  count?: number;
}

/** How much of something a check looked at. With `--shard`, both numbers are this shard's part: merging adds them. */
export interface Coverage {
  /** `sample_data rows`, `images (headers)`, `video folders` … */
  what: string;
  checked: number;
  total: number;
}

/**
 * Figures for the charts of the HTML report. Reports of shards are merged by label: the values of `bars` are added,
 * `spans` are joined. Points are shown in natural order of their labels ("9" before "10"). With `shares` the bars are parts of
 * one whole (how many pictures are of each size), without they are things of their own (the frames of each video).
 */
export type Chart =
  | { kind: "bars"; title: string; unit: string; shares?: true; points: { label: string; value: number }[] }
  | { kind: "spans"; title: string; unit: string; points: { label: string; from: number; to: number }[] };

/** What an annotation check counted in one file, for `--config` and `stats`. */
export interface AnnotationTally {
  /** As in {@link Finding.path}. */
  path: string;
  /** The subset of Vista's loader that reads such a file; `language` files are no subset. */
  subset: "NuScenes" | "YouTube" | "language";
  records: number;
  /** Records on which Vista's loader would raise, and so pick another in silence. */
  unusable: number;
  /** nuScenes: those of them whose frames are at fault; the others can be loaded in some of the loader's action modes. */
  lost?: number;
  /**
   * nuScenes: records on which the data set class raises before anything is loaded, which ends the training; `first` says
   * where one is (`record 17`, `byte 9120`). Missing where there is none.
   */
  stopping?: { records: number; first: string };
  /** Only after a quick check: how much it looked at. `records` and `unusable` then count what was looked at. */
  quick?: QuickTally;
}

/** How much of one annotation file the quick form of the check looked at. */
export interface QuickTally {
  /** Records in the file; an estimate where it was not read to its end. */
  total: number;
  /** Bytes read from its start, of `size`. Records after them were only sampled. */
  read: number;
  size: number;
  /** Records looked at in the rest of the file. */
  sampled: number;
  /**
   * Clips of consecutive frames: records whose frames were looked for (`all`: those of every sound record that was read), how
   * many of them lack some, and folders whose last clip was looked at. Missing for nuScenes, where the
   * frames of every record that was read are looked for, and where there are no images to look for.
   */
  frames?: { records: number; missing: number; folders: number; all: boolean };
}

/** What a finished (or interrupted) check says of itself. */
export interface CheckSummary {
  kind: "nuscenes" | "opendv" | "annotations";
  /** What was recognised: `nuScenes v1.0-mini`, `OpenDV-YouTube, frames from 0, %09d.jpg` … The same in every shard. */
  title: string;
  root: string;
  /** In an order that depends on nothing but the options; the same entries, zeros among them, in every shard. */
  coverage: Coverage[];
  /** What was left out on purpose, for the verdict: `headers of 2,000 of 1,031,204 images (seed 0)`. */
  sampled?: string[];
  /** What this form of the check does not look at, for the verdict: `pixels of pictures (--decode)`. */
  unseen?: string[];
  /** True where the check ended before it had looked at all it meant to. */
  interrupted: boolean;
  /** At most some thousands of points in all. */
  charts?: Chart[];
  /** A few dozen sound images, as in {@link Finding.path}, for thumbnails in the HTML report. */
  samples?: string[];
  annotations?: AnnotationTally[];
}

/**
 * A running check: iterate it once for the findings, in a stable order; `summary` is complete when the iteration has
 * ended. When `signal` is aborted the iteration throws `ABORTED`, and `summary` says what was covered until then.
 * Findings that the user ignores are filtered by the caller, not here.
 */
export interface Check extends AsyncIterable<Finding> {
  readonly summary: CheckSummary;
}

/** One part of a check that is split over several machines: `index` from 1 to `count`. */
export interface Shard {
  index: number;
  count: number;
}

/** What every check of this package takes. */
export interface CheckOptions extends RunOptions {
  /**
   * How closely images are looked at: file names and sizes only, the headers (format, width, height, end marker), or
   * a full decode. Default `headers`.
   */
  images?: "names" | "headers" | "decode";
  /** How many images are opened, of all there are; `Infinity` for every one. Default: as many as `budget` allows. */
  sample?: number;
  /**
   * Seconds for opening images, spread over the whole set. Default: 60 for headers where `sample` is not given, else no bound.
   * Names and sizes of all files are looked at however long that takes.
   */
  budget?: number;
  /** Which images a sample takes. The same seed takes the same images, with or without shards. Default 0. */
  seed?: number;
  /**
   * Check only this part. The findings, coverage and charts of all shards together are those of one whole run: what
   * cannot be split is done by shard 1 alone.
   */
  shard?: Shard;
  /**
   * Called with each file, folder or video that is not there, also where the findings count it with others. `path` is that
   * of what is missing, `count` how many files a folder stands for.
   */
  onMissing?: (missing: Finding) => void;
}
