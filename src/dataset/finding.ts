/** What a check finds, in one form for nuScenes, OpenDV-YouTube and annotation files. */

/**
 * `error`: training would fail, hang or lose samples. `warning`: probably wrong, training would go on. `note`: worth
 * knowing, known quirks of the data sets among them. Only errors make `vista-data check` exit 1.
 */
export type Severity = "error" | "warning" | "note";

/** A rule of the checker. Codes are stable; `docs/rules/<code>.md` has a page for each. */
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
  /** File or folder, relative to the checked root, with `/` between parts. */
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

/** How much of something a check looked at. */
export interface Coverage {
  /** `sample_data rows`, `images (headers)`, `video folders` … */
  what: string;
  checked: number;
  total: number;
}

/** What a finished (or interrupted) check says of itself. */
export interface CheckSummary {
  kind: "nuscenes" | "opendv" | "annotations";
  /** What was recognised: `nuScenes v1.0-mini`, `OpenDV-YouTube, frames from 0, %09d.jpg` … */
  title: string;
  root: string;
  coverage: Coverage[];
  /** True where the check ended before it had looked at all it meant to. */
  interrupted: boolean;
}

/**
 * A running check: iterate it for the findings, in a stable order; `summary` is complete when the iteration has ended.
 * Findings that the user ignores are filtered by the caller, not here.
 */
export interface Check extends AsyncIterable<Finding> {
  readonly summary: CheckSummary;
}
