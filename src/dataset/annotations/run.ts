/** Checks annotation files one after the other, synchronously: in a worker thread where they are large. */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { finding } from "../define-rules.js";
import type { AnnotationTally, Finding } from "../finding.js";
import { type RowSink, readRows } from "../json/rows.js";
import type { Split } from "../opendv/meta.js";
import { ClipRows } from "./clip-rows.js";
import { folderSource, opendvDataRoot } from "./clips.js";
import { Issues } from "./issues.js";
import { FileListing, NuScenesRows, type ValidationFrames } from "./nuscenes-rows.js";
import { ANNOTATION_RULES as RULES } from "./rules.js";
import { ValidationScenes } from "./val-scenes.js";

/** What a run needs, in a form that can be sent to a worker thread. */
export interface AnnotationTask {
  /** Findings name files as `name`; `path` opens them. */
  files: { name: string; path: string }[];
  /** Where the frames are; undefined where they are not to be looked at. */
  nuscenes?: string;
  youtube?: string;
  /** Split of each video ID, where a list of videos was found. */
  splits: ReadonlyMap<string, Split>;
  /** Frames of a clip. */
  frames: number;
}

export type AnnotationMessage =
  | { kind: "bytes"; bytes: number }
  | { kind: "findings"; findings: Finding[] }
  | { kind: "tally"; tally: AnnotationTally };

export type AnnotationKind = AnnotationTally["subset"];

/** Rows that may be looked at before the kind of a file is given up on. */
const PATIENCE = 100;

/** The kind of file that a record belongs to, by its keys. */
export function kindOf(value: unknown): AnnotationKind | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if ("folder_name" in value) return "YouTube";
  if ("last_frame" in value || "blip" in value) return "language";
  if ("frames" in value || "traj" in value) return "NuScenes";
  return "first_frame" in value ? "YouTube" : undefined;
}

/** Whether a file is one of validation clips: by its name, as the authors name theirs. */
export function isValidation(name: string): boolean {
  return /(^|[^a-z])val([^a-z]|$)/i.test(basename(name));
}

export function runAnnotations(task: AnnotationTask, send: (message: AnnotationMessage) => void): void {
  const validation: ValidationFrames = new Set();
  // Validation files first: what they hold must not turn up in the others.
  const files = [...task.files].sort((a, b) => Number(isValidation(b.name)) - Number(isValidation(a.name)));
  let before = 0;
  for (const { name, path } of files) {
    const state = new FileRun(name, task, validation);
    try {
      const result = readRows(path, state, (bytes) => send({ kind: "bytes", bytes: before + bytes }));
      before += result.bytes;
      state.end(result);
    } catch (error) {
      const { syscall, code } = error as NodeJS.ErrnoException;
      if (syscall === undefined) throw error;
      send({
        kind: "findings",
        findings: [finding(RULES["unreadable-file"], name, `cannot be read (${code})`)],
      });
      continue;
    }
    send({ kind: "findings", findings: state.findings });
    if (state.tally !== undefined) send({ kind: "tally", tally: state.tally });
  }
}

class FileRun implements RowSink {
  readonly findings: Finding[] = [];
  tally: AnnotationTally | undefined;
  readonly #name: string;
  readonly #task: AnnotationTask;
  readonly #validation: ValidationFrames;
  readonly #issues: Issues;
  #kind: AnnotationKind | undefined;
  #rows: ClipRows | NuScenesRows | undefined;
  /** Records before the first that tells the kind of the file. */
  readonly #early: { value: unknown; offset: number }[] = [];

  constructor(name: string, task: AnnotationTask, validation: ValidationFrames) {
    this.#name = name;
    this.#task = task;
    this.#validation = validation;
    this.#issues = new Issues(name);
  }

  fast(bytes: Uint8Array, at: number, end: number, offset: number): number {
    return this.#rows instanceof ClipRows ? this.#rows.fast(bytes, at, end, offset) : -1;
  }

  value(value: unknown, offset: number): void {
    if (this.#rows === undefined) {
      if (this.#early.length === PATIENCE) return; // given up
      const kind = kindOf(value);
      if (kind === undefined) {
        this.#early.push({ value, offset });
        return;
      }
      this.#start(kind);
    }
    this.#rows!.value(value, offset);
  }

  #start(kind: AnnotationKind): void {
    const { nuscenes, youtube, frames, splits } = this.#task;
    const training = !isValidation(this.#name);
    this.#kind = kind;
    if (kind === "NuScenes") {
      const files = nuscenes === undefined ? undefined : new FileListing(nuscenes);
      const scenes = nuscenes === undefined || !training ? undefined : new ValidationScenes(nuscenes);
      this.#rows = new NuScenesRows(this.#issues, files, this.#validation, training, scenes);
    } else {
      const source = youtube === undefined ? undefined : folderSource(this.#dataRoot(kind, youtube), splits);
      this.#rows = new ClipRows(kind, this.#issues, source, training, frames);
    }
    for (const { value, offset } of this.#early) this.#rows.value(value, offset);
  }

  /** Vista joins folder names to data/YouTube itself; the language files start at the OpenDV root, wherever that is. */
  #dataRoot(kind: AnnotationKind, youtube: string): string {
    return kind === "language" ? opendvDataRoot(youtube) : youtube;
  }

  end(result: ReturnType<typeof readRows>): void {
    const { error, rows } = result;
    this.findings.push(...this.#issues.findings());
    if (error !== undefined) {
      this.findings.push(finding(RULES["bad-json"], this.#name, error.reason, { offset: error.offset }));
    } else if (rows === 0) {
      this.findings.push(finding(RULES["empty-file"], this.#name, "the array has no records"));
    } else if (this.#kind === undefined) {
      const message = `none of its ${rows} records has the fields of a kind that is known`;
      this.findings.push(finding(RULES["unknown-kind"], this.#name, message));
    }
    if (this.#kind === undefined) return;
    const root = this.#kind === "NuScenes" ? this.#task.nuscenes : this.#task.youtube;
    if (root === undefined) {
      const usual = this.#kind === "NuScenes" ? "data/nuscenes" : "data/YouTube";
      const message = `there is no ${usual} here: whether the frames of its ${rows} records exist was not checked`;
      this.findings.unshift(finding(RULES["root-missing"], this.#name, message));
    }
    this.tally = {
      path: this.#name,
      subset: this.#kind,
      records: rows,
      unusable: this.#rows!.unusable,
    };
  }
}

/** Bytes of all files, for progress; files that are not there count nothing. */
export function totalBytes(task: AnnotationTask): number {
  let total = 0;
  for (const { path } of task.files) total += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return total;
}
