/** The check of annotation files, one after the other. It reads synchronously, in a worker thread where the files are large. */
import { statSync } from "node:fs";
import { basename } from "node:path";
import { isSystemError, rethrowExhausted } from "../../core/errors.js";
import { sizeOf } from "../../core/io/regular.js";
import { sum } from "../../core/sum.js";
import type { AnnotationTally, Finding, QuickTally } from "../finding.js";
import { type RowSink, type RowsResult, readRows } from "../json/rows.js";
import { sampleRows } from "../json/sample-rows.js";
import type { Split } from "../opendv/meta.js";
import { VISTA_PLACES } from "../vista-places.js";
import { UnusableBuilder, type UnusableRecords, unusableRecords } from "./clean.js";
import { ClipRows } from "./clip-rows.js";
import { ClipSample } from "./clip-sample.js";
import { FolderSource, opendvDataRoot } from "./clips.js";
import { FileListing } from "./file-listing.js";
import { Issues, NO_INDEX } from "./issues.js";
import { NuScenesRows } from "./nuscenes-rows.js";
import { ANNOTATION_RULES, finding } from "./rules.js";
import { ValidationFrames, ValidationScenes } from "./val-scenes.js";

/** A file or a folder: findings name it by `name`, and `path` opens it. */
interface NamedPath {
  name: string;
  path: string;
}

/** The input of a run, in a form that can be sent to a worker thread. */
export interface AnnotationTask {
  files: NamedPath[];
  /** The folders of the frames that nuScenes.json and the other files name, where frames are to be looked for. */
  data: Record<"NuScenes" | "YouTube", NamedPath | undefined>;
  /** Whether each frame and folder that is missing is to be named. */
  listMissing: boolean;
  /** The split of each video ID, where a list of videos was found. */
  splits: ReadonlyMap<string, Split>;
  frames: number;
  /** The bounds of the quick form; undefined to look at every record and all its frames. */
  quick?: QuickForm;
  /** The `name` of the file whose unusable records are to be noted. */
  unusable?: string;
}

/** The bounds of the quick form of the check. */
export interface QuickForm {
  /**
   * The number of seconds for reading a file from its start. Afterwards, as much time again goes to records from the rest, and to
   * frames.
   */
  seconds: number;
  /**
   * The number of records chosen at random, both from those whose frames are looked for and from the part of a file that was not
   * read.
   */
  records: number;
  seed: number;
}

export type AnnotationMessage = { kind: "bytes"; bytes: number } | ({ kind: "file" } & FileOutcome);

interface FileOutcome {
  findings: Finding[];
  tally?: AnnotationTally;
  /** The unusable records, only of the file for which they are wanted. */
  unusable?: UnusableRecords;
  /** The frames and folders that are not there, each by itself. */
  missing: Finding[];
}

export type AnnotationKind = AnnotationTally["subset"];

/** The number of rows that may be looked at before the search for the kind of a file is given up. */
const PATIENCE = 100;

/** Returns the subset of Vista's loader, or "language", that a record is for, by its keys. */
export function subsetOf(value: unknown): AnnotationKind | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if ("folder_name" in value) return "YouTube";
  if ("last_frame" in value || "blip" in value) return "language";
  if ("frames" in value || "traj" in value) return "NuScenes";
  return "first_frame" in value ? "YouTube" : undefined;
}

/** Returns the kind of records for which Vista reads a file of this name, `nuScenes_val.json` say; undefined for any other name. */
function kindByName(name: string): AnnotationKind | undefined {
  const match = /^(?:(nuScenes)|YouTube)(?![a-z0-9])/i.exec(basename(name));
  return match === null ? undefined : match[1] === undefined ? "YouTube" : "NuScenes";
}

/** Tells whether a file is one of validation clips, by its name: the authors name theirs like this. */
function isValidation(name: string): boolean {
  return /(^|[^a-z])val(idation)?([^a-z]|$)/i.test(basename(name));
}

/** Checks the files of a task. @param isAborted  asked now and then while the frames of a quick check are looked for */
export async function runAnnotations(
  task: AnnotationTask,
  send: (message: AnnotationMessage) => void,
  isAborted: () => boolean = () => false,
): Promise<void> {
  const validation = new ValidationFrames(task.data.NuScenes?.path);
  // Validation files come first, because what they hold must not turn up in the others.
  const files = [...task.files].sort((a, b) => Number(isValidation(b.name)) - Number(isValidation(a.name)));
  let before = 0;
  for (const { name, path } of files) {
    const state = new FileRun(name, path, task, validation);
    try {
      state.start();
      const result = readFile(path, state, task.quick, (bytes) =>
        send({ kind: "bytes", bytes: before + bytes }),
      );
      if (task.quick !== undefined) {
        const onTime = within(Math.max(task.quick.seconds, LEAST_SECONDS));
        await state.finish(() => onTime() && !isAborted());
      }
      before += result.bytes;
      state.end(result);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      rethrowExhausted(error);
      const unreadable = finding("unreadable-file", name, `cannot be read (${error.code})`);
      send({ kind: "file", findings: [unreadable], missing: [] });
      continue;
    }
    send({ kind: "file", ...state.outcome });
  }
}

/** The result of reading a file, to its end or as far as the quick form had time. */
interface FileResult extends RowsResult {
  quick?: QuickTally;
}

/** The number of seconds that a sample may take, however short the reading is to be. */
const LEAST_SECONDS = 5;

/** The error that stops the reader when its time is up. */
class TimeUp extends Error {}

function readFile(
  path: string,
  state: FileRun,
  quick: QuickForm | undefined,
  onBytes: (bytes: number) => void,
): FileResult {
  if (quick === undefined) return readRows(path, state, onBytes);
  const { size } = statSync(path);
  const onTime = within(quick.seconds);
  let result: FileResult;
  try {
    result = readRows(path, state, (bytes) => {
      onBytes(bytes);
      if (bytes < size && !onTime()) throw new TimeUp();
    });
    result.quick = { total: result.rows, read: result.bytes, size, sampled: 0 };
  } catch (error) {
    if (!(error instanceof TimeUp)) throw error;
    const { rows, offset } = state;
    state.jump();
    const rest = sampleRows(
      path,
      offset,
      quick.records,
      quick.seed,
      (value, at, end) => state.takes(value, at, end),
      within(Math.max(quick.seconds, LEAST_SECONDS)),
    );
    const total = offset === 0 ? rest.rows : Math.round((rows * size) / offset);
    result = { ...rest, rows: rows + rest.rows, bytes: offset };
    result.quick = { total, read: offset, size, sampled: rest.rows };
  }
  return result;
}

/** Returns a function that is true until the time, counted from now, is over. */
function within(seconds: number): () => boolean {
  const end = performance.now() + seconds * 1000;
  return () => performance.now() < end;
}

class FileRun implements RowSink {
  readonly outcome: FileOutcome = { findings: [], missing: [] };
  /** The number of records so far; `offset` is where the last one starts. */
  rows = 0;
  offset = 0;
  readonly #builder: UnusableBuilder | undefined;
  readonly #issues: Issues;
  #kind: AnnotationKind | undefined;
  #rows: ClipRows | NuScenesRows | undefined;
  #sample: ClipSample | undefined;
  /** The records before the first that tells the kind of the file. */
  readonly #early: { value: unknown; offset: number; end: number }[] = [];

  constructor(
    private readonly name: string,
    path: string,
    private readonly task: AnnotationTask,
    private readonly validation: ValidationFrames,
  ) {
    if (task.unusable === name) {
      this.outcome.unusable = unusableRecords(path);
      this.#builder = new UnusableBuilder(this.outcome.unusable);
    }
    this.#issues = new Issues(name);
  }

  fast(bytes: Uint8Array, at: number, end: number, offset: number): number {
    const after = this.#rows instanceof ClipRows ? this.#rows.fast(bytes, at, end, offset) : -1;
    if (after !== -1) {
      this.rows++;
      this.offset = offset;
      this.#note(offset, offset + after - at);
    }
    return after;
  }

  value(value: unknown, offset: number, _index: number, end: number): void {
    this.rows++;
    this.offset = offset;
    if (this.#rows === undefined) {
      if (this.#early.length === PATIENCE) return; // The search for the kind was given up.
      const kind = subsetOf(value);
      if (kind === undefined) {
        this.#early.push({ value, offset, end });
        return;
      }
      this.#start(kind);
    }
    this.#rows!.value(value, offset);
    this.#note(offset, end);
  }

  /** Notes the state of the file before it is read. @throws the system's error */
  start(): void {
    const { unusable } = this.outcome;
    if (unusable === undefined) return;
    const { size, mtimeMs } = statSync(unusable.path);
    unusable.stamp = { size, mtimeMs };
  }

  /** Notes whether the loader can use the last record. */
  #note(offset: number, end: number): void {
    const { broken } = this.#rows!;
    this.#builder?.add(offset, end, broken && ANNOTATION_RULES[broken].code);
  }

  /** Says that the records that follow were chosen and come from anywhere in the file. */
  jump(): void {
    this.#issues.jump();
    if (this.#sample !== undefined) this.#sample.takeAll = true;
  }

  /** Takes a record after {@link jump}; returns false where it is not of the file's kind. */
  takes(value: unknown, offset: number, end: number): boolean {
    const kind = subsetOf(value);
    if (kind === undefined || (this.#kind !== undefined && kind !== this.#kind)) return false;
    this.value(value, offset, NO_INDEX, end);
    return true;
  }

  /** Looks for the frames of the sampled records. @param goOn  asked before each record whose frames are looked for */
  async finish(goOn: () => boolean): Promise<void> {
    if (this.#rows instanceof ClipRows) await this.#rows.finish(goOn);
  }

  #start(kind: AnnotationKind): void {
    const { data, listMissing, frames, splits, quick } = this.task;
    const folder = data[kind === "NuScenes" ? "NuScenes" : "YouTube"];
    const path = folder?.path;
    if (listMissing) this.#issues.data = folder?.name;
    const training = !isValidation(this.name);
    this.#kind = kind;
    if (kind === "NuScenes") {
      const files = path === undefined ? undefined : new FileListing(path);
      const scenes = path === undefined || !training ? undefined : new ValidationScenes(path);
      this.#rows = new NuScenesRows(this.#issues, files, this.validation, training, frames, scenes);
    } else {
      // Vista itself joins folder names to data/YouTube; the language files start at the OpenDV root, wherever that is.
      const root = kind === "language" && path !== undefined ? opendvDataRoot(path) : path;
      const source = root === undefined ? undefined : new FolderSource(root, splits);
      if (quick !== undefined) this.#sample = new ClipSample(quick.records, quick.seed);
      this.#rows = new ClipRows(kind, this.#issues, source, training, frames, this.#sample);
    }
    for (const { value, offset, end } of this.#early) {
      this.#rows.value(value, offset);
      this.#note(offset, end);
    }
  }

  end(result: FileResult): void {
    const { error, rows, quick } = result;
    const { findings, unusable } = this.outcome;
    if (this.#rows instanceof NuScenesRows) this.#rows.end();
    findings.push(...this.#issues.findings());
    this.outcome.missing = this.#issues.missing;
    if (error !== undefined) {
      findings.push(finding("bad-json", this.name, error.reason, { offset: error.offset }));
    } else if (rows === 0) {
      findings.push(finding("empty-file", this.name, "the array has no records"));
    } else if (this.#kind === undefined) {
      const whose = rows > PATIENCE ? `first ${PATIENCE} records (of ${rows})` : `${rows} records`;
      const message = `none of its ${whose} has the fields of a kind that is known`;
      findings.push(finding("unknown-kind", this.name, message));
    }
    if (unusable !== undefined && error !== undefined)
      unusable.error = `${error.reason} (byte ${error.offset})`;
    if (this.#kind === undefined) return;
    const subset = this.#kind === "NuScenes" ? "NuScenes" : "YouTube";
    const root = this.task.data[subset];
    if (root === undefined) {
      const message = `there is no ${VISTA_PLACES[subset].data} here: whether the frames of its ${rows} records exist was not checked`;
      findings.unshift(finding("root-missing", this.name, message));
    }
    if (unusable !== undefined) {
      unusable.subset = this.#kind;
      unusable.framesSeen = root !== undefined;
    }
    const tally: AnnotationTally = {
      path: this.name,
      subset: this.#kind,
      records: rows,
      unusable: this.#rows!.unusable,
    };
    this.outcome.tally = tally;
    if (this.#rows instanceof NuScenesRows) {
      tally.lost = this.#rows.lost;
      const { count, index, offset } = this.#rows.stopping;
      const first = index === NO_INDEX ? `byte ${offset}` : `record ${index}`;
      if (count > 0) tally.stopping = { records: count, first };
    }
    const named = kindByName(this.name);
    if (named !== undefined && named !== this.#kind) {
      const what = named === "NuScenes" ? "ends at the first of them" : "tries for ever";
      const message = `its ${rows} records are of the kind ${this.#kind}, and Vista reads a file of this name as ${named}: it ${what}`;
      findings.unshift(finding("unknown-kind", this.name, message));
      tally.unusable = rows;
      if (named === "NuScenes") tally.stopping = { records: rows, first: "record 0" };
      if (unusable !== undefined) unusable.error ??= message;
    }
    if (quick === undefined) return;
    tally.quick = quick;
    if (this.#sample !== undefined && root !== undefined) {
      const { looked, missing, ends, offered } = this.#sample;
      quick.frames = { records: looked, missing, folders: ends, all: looked === offered };
    }
  }
}

/** Returns the size of all files in bytes, for progress; those that cannot be looked at count nothing. */
export function totalBytes(task: AnnotationTask): number {
  return sum(task.files, ({ path }) => Math.max(0, sizeOf(path)));
}
