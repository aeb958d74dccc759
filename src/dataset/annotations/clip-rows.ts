/** Records of YouTube.json and of DriveAGI's language files. */
import { isRecord } from "../../core/maps.js";
import type { RowSink } from "../json/rows.js";
import { kindOf } from "../nuscenes/read/field-types.js";
import { frameName } from "../opendv/names.js";
import { FrameSet, MAX_FRAME } from "../opendv/runs.js";
import type { Clip, ClipFolder } from "./clip.js";
import type { ClipSample } from "./clip-sample.js";
import { ClipChecker, type FolderSource, misreadName, type OnMissing } from "./clips.js";
import { copyText, FastRows } from "./fast-rows.js";
import type { Issues } from "./issues.js";
import type { AnnotationRule } from "./rules.js";

/** The number of frames of a language record, both ends included. */
const LANGUAGE_FRAMES = 40;
const LANGUAGE_COMMANDS = 14;

const NO_FOLDER: ClipFolder = { name: "", split: undefined, starts: new FrameSet() };

/** Checks the records of one file whose kind is known. */
export class ClipRows implements RowSink {
  readonly #checker: ClipChecker;
  readonly #fast: FastRows;
  #extension = "";
  #folder: ClipFolder | undefined;
  /** The one object that serves for all records. */
  readonly #clip: Clip = { folder: NO_FOLDER, first: 0, prefix: "", width: 0, extension: "", length: 0 };
  #bad = 0;
  /** The rule because of which the loader cannot use the last record; undefined where it can. */
  broken: AnnotationRule | undefined;

  /**
   * Makes a checker for the records of one file.
   *
   * @param frames  the number of frames of a clip in training: 25
   * @param sample, onMissing  see {@link ClipChecker}
   */
  constructor(
    private readonly kind: "YouTube" | "language",
    private readonly issues: Issues,
    source: FolderSource | undefined,
    training: boolean,
    private readonly frames: number,
    sample?: ClipSample,
    onMissing?: OnMissing,
  ) {
    this.#fast = new FastRows(kind);
    this.#checker = new ClipChecker(issues, source, training, kind === "language", sample, onMissing);
  }

  get unusable(): number {
    return this.#bad + this.#checker.unusable;
  }

  fast(bytes: Uint8Array, at: number, end: number, offset: number): number {
    const after = this.#fast.read(bytes, at, end, offset);
    if (after < 0) return -1;
    const { row } = this.#fast;
    const first = Number(row.first);
    if (first > MAX_FRAME) return -1;
    // Numbers that are padded have both ends padded to one width; `value` looks at those that are not padded.
    if (this.kind === "language" && row.last.length !== row.first.length) return -1;
    if (this.#folder === undefined || this.#folder.name !== row.folder) {
      if (row.folder.endsWith("/")) return -1;
      this.#folder = this.#checker.folder(copyText(row.folder));
    }
    if (this.#extension !== row.extension) this.#extension = copyText(row.extension);
    this.issues.next(offset);
    const last = this.kind === "language" ? Number(row.last) : undefined;
    this.broken = this.#check(this.#folder, first, row.first.length, this.#extension, last, row.cmd);
    return after;
  }

  value(value: unknown, offset: number): void {
    this.issues.next(offset);
    this.broken = undefined;
    if (!this.#slow(value)) this.#bad++;
  }

  /** Looks for the frames of the sampled clips, after the last record. */
  finish(goOn: () => boolean): Promise<void> {
    return this.#checker.checkSample(goOn);
  }

  /** Checks a record that `JSON.parse` has read. @returns false where the record could not be understood */
  #slow(record: unknown): boolean {
    const wrong = (message: string, rule: AnnotationRule = "shape") => {
      this.issues.record(rule, message);
      this.broken = rule;
      return false;
    };
    if (!isRecord(record)) return wrong(`is ${kindOf(record)}, not an object`);
    const language = this.kind === "language";
    const strings = language
      ? ["folder", "first_frame", "last_frame", "blip"]
      : ["folder_name", "first_frame"];
    for (const key of strings) {
      if (typeof record[key] !== "string") return wrong(`"${key}" is ${kindOf(record[key])}, not a string`);
    }
    if (language && !Number.isInteger(record.cmd)) {
      return wrong(`"cmd" is ${kindOf(record.cmd)}, not an integer`);
    }
    const names = language ? ["first_frame", "last_frame"] : ["first_frame"];
    for (const key of names) {
      const reason = misreadName(record[key] as string);
      if (reason !== undefined) return wrong(`"${key}" ${reason}`, "frame-name");
    }
    const [digits, extension] = (record.first_frame as string).split(".") as [string, string];
    let last: number | undefined;
    if (language) {
      last = Number.parseInt(record.last_frame as string, 10);
      const alike = frameName({ prefix: "", width: digits.length, extension }, last);
      if (record.last_frame !== alike) {
        const message = `"last_frame" is "${record.last_frame}", which would be "${alike}" if named like "first_frame"`;
        return wrong(message, "frame-name");
      }
    }
    const name = (record[language ? "folder" : "folder_name"] as string).replace(/\/+$/, "");
    const folder = this.#checker.folder(name);
    this.broken = this.#check(folder, Number(digits), digits.length, extension, last, record.cmd as number);
    return true;
  }

  /**
   * Checks a clip.
   *
   * @param last  the last frame; only records of language files have it, and `cmd`
   * @returns the rule because of which the loader cannot use the clip
   */
  #check(
    folder: ClipFolder,
    first: number,
    width: number,
    extension: string,
    last: number | undefined,
    cmd: number,
  ): AnnotationRule | undefined {
    let length = this.frames;
    if (last !== undefined) {
      length = last - first + 1;
      if (cmd < 0 || cmd >= LANGUAGE_COMMANDS)
        this.issues.record("cmd-range", `"cmd" is ${cmd}, not 0 to ${LANGUAGE_COMMANDS - 1}`);
      if (length !== LANGUAGE_FRAMES)
        this.issues.record("length", `covers ${length} frames, not ${LANGUAGE_FRAMES}`);
      if (length < 1) return "length";
    }
    const clip = this.#clip;
    clip.folder = folder;
    clip.first = first;
    clip.width = width;
    clip.extension = extension;
    clip.length = length;
    return this.#checker.check(clip);
  }
}
