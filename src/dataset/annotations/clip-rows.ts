/** Records of YouTube.json and of DriveAGI's language files, each of which is a clip of consecutive frames in a folder. */
import { posix } from "node:path";
import { setImmediate } from "node:timers/promises";
import { isRecord, remember } from "../../core/maps.js";
import type { RowSink } from "../json/rows.js";
import { kindOf } from "../nuscenes/read/field-types.js";
import { describeLayout, frameName } from "../opendv/names.js";
import { FrameSet, findRun, MAX_FRAME } from "../opendv/runs.js";
import type { Clip, ClipFolder, ClipSample } from "./clip-sample.js";
import { type FolderSource, misreadName, splitOfPath } from "./clips.js";
import { copyText, FastRows } from "./fast-rows.js";
import type { Issues } from "./issues.js";
import type { AnnotationRule } from "./rules.js";

/** The number of sampled clips that are looked at before other work gets a turn. */
const BREATH = 10;

/** The number of frames of a language record, both ends included. */
const LANGUAGE_FRAMES = 40;
const LANGUAGE_COMMANDS = 14;

/** The folder before the first record; no record that {@link FastRows} takes names one like it. */
const NO_FOLDER: ClipFolder = { name: "\0", split: undefined, starts: new FrameSet() };

/** Checks the records of one file whose kind is known. */
export class ClipRows implements RowSink {
  readonly #fast: FastRows;
  readonly #folders = new Map<string, ClipFolder>();
  /** The clip of the last record; this one object serves for all. */
  readonly #clip: Clip = { folder: NO_FOLDER, first: 0, prefix: "", width: 0, extension: "", length: 0 };
  /** The number of records on which the loader would fail. */
  unusable = 0;
  /** The rule because of which the loader cannot use the last record; undefined where it can. */
  broken: AnnotationRule | undefined;

  /**
   * Makes a checker for the records of one file.
   *
   * @param kind  the kind of the records. Vista does not read language files: a video that was not extracted, or that falls a few
   *   frames short of what the file says, costs it nothing
   * @param source  where folders are looked up; undefined where there are no images to look at
   * @param training  false for a file of validation clips
   * @param frames  the number of frames of a clip in training: 25
   * @param sample  takes the clips whose frames {@link finish} is to look for; where it is undefined, the frames of each clip are
   *   looked for at once
   */
  constructor(
    private readonly kind: "YouTube" | "language",
    private readonly issues: Issues,
    private readonly source: FolderSource | undefined,
    private readonly training: boolean,
    private readonly frames: number,
    private readonly sample?: ClipSample,
  ) {
    this.#fast = new FastRows(kind);
  }

  fast(bytes: Uint8Array, at: number, end: number, offset: number): number {
    const after = this.#fast.read(bytes, at, end, offset);
    if (after < 0) return -1;
    const { row } = this.#fast;
    const first = Number(row.first);
    if (first > MAX_FRAME) return -1;
    // Numbers that are padded have both ends padded to one width; `value` looks at those that are not padded.
    if (this.kind === "language" && row.last.length !== row.first.length) return -1;
    const clip = this.#clip;
    if (clip.folder.name !== row.folder) clip.folder = this.#folderOf(copyText(row.folder));
    if (clip.extension !== row.extension) clip.extension = copyText(row.extension);
    clip.first = first;
    clip.width = row.first.length;
    this.issues.next(offset);
    const isLanguage = this.kind === "language";
    this.#judge(isLanguage ? this.#checkLanguage(Number(row.last), row.cmd) : this.#check(this.frames));
    return after;
  }

  value(value: unknown, offset: number): void {
    this.issues.next(offset);
    this.#judge(this.#slow(value));
  }

  /** Notes whether the loader can use the last record. */
  #judge(broken: AnnotationRule | undefined): void {
    this.broken = broken;
    if (broken !== undefined) this.unusable++;
  }

  /**
   * Looks, after the last record, for the frames of the sampled clips, one by one and without listing their folders. Because this
   * takes long on a slow disk, it lets other work run now and then.
   *
   * @param goOn  asked before each clip whether to go on
   */
  async finish(goOn: () => boolean): Promise<void> {
    const { sample, source } = this;
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
      if (this.#checkFrames(clip, source) !== undefined) continue;
      const { name } = clip.folder;
      const what = () => `frames of ${name} that cannot be opened, the first ${missing}`;
      this.issues.group("frame-missing", name, "name", what);
    }
  }

  #folderOf(path: string): ClipFolder {
    return remember(this.#folders, path, () => {
      // In other spellings, such as `./a` and `a//`, it is the same folder.
      const name = path === "" ? "" : posix.normalize(path).replace(/\/$/, "");
      if (name !== path) return this.#folderOf(name);
      const split = this.source === undefined ? splitOfPath(name) : this.source.split(name);
      return { name, split, starts: new FrameSet() };
    });
  }

  /** Checks a record that `JSON.parse` has read. @returns the rule because of which the loader cannot use it */
  #slow(record: unknown): AnnotationRule | undefined {
    const wrong = (message: string, rule: AnnotationRule = "shape") => {
      this.issues.record(rule, message);
      return rule;
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
    const clip = this.#clip;
    clip.folder = this.#folderOf(record[language ? "folder" : "folder_name"] as string);
    clip.first = Number(digits);
    clip.width = digits.length;
    clip.extension = extension;
    if (!language) return this.#check(this.frames);
    const last = Number.parseInt(record.last_frame as string, 10);
    const alike = frameName(clip, last);
    if (record.last_frame !== alike) {
      const message = `"last_frame" is "${record.last_frame}", which would be "${alike}" if named like "first_frame"`;
      return wrong(message, "frame-name");
    }
    return this.#checkLanguage(last, record.cmd as number);
  }

  /** Checks what only records of language files have, and the clip. @returns the rule because of which a clip cannot be used */
  #checkLanguage(last: number, cmd: number): AnnotationRule | undefined {
    const length = last - this.#clip.first + 1;
    if (cmd < 0 || cmd >= LANGUAGE_COMMANDS)
      this.issues.record("cmd-range", `"cmd" is ${cmd}, not 0 to ${LANGUAGE_COMMANDS - 1}`);
    if (length !== LANGUAGE_FRAMES)
      this.issues.record("length", `covers ${length} frames, not ${LANGUAGE_FRAMES}`);
    return length < 1 ? "length" : this.#check(length);
  }

  /** Checks the clip of `length` frames. @returns the rule because of which the loader cannot use it */
  #check(length: number): AnnotationRule | undefined {
    const clip = this.#clip;
    clip.length = length;
    const { folder, first } = clip;
    const { name } = folder;
    if (!folder.starts.add(first)) {
      const what = () => `a clip of ${name} that is listed before, from frame ${first} on`;
      this.issues.group("duplicate", name, "repeat", what);
    }
    if (this.training && folder.split === "val") {
      this.issues.group("val-in-train", name, "take", () => `clips from the validation video ${name}`);
    }
    if (this.source === undefined) return undefined;
    if (this.sample !== undefined) {
      this.sample.offer(clip, this.issues);
      return undefined;
    }
    return this.#checkFrames(clip, this.source);
  }

  /**
   * Looks for a clip's frames in the listing of its folder.
   *
   * @returns the rule that is broken where a frame of the clip is not there
   */
  #checkFrames(clip: Clip, source: FolderSource): AnnotationRule | undefined {
    const { folder, first, width, extension, length } = clip;
    const isLanguage = this.kind === "language";
    const { name } = folder;
    folder.listed ??= { scan: source.scan(name) };
    const { scan } = folder.listed;
    const issue = (rule: AnnotationRule, verb: string, what: () => string) => {
      this.issues.group(rule, name, verb, what);
      this.issues.lacks(rule, name);
      return rule;
    };
    if (scan?.layout === undefined) {
      const rule = isLanguage ? "language-folder" : "folder-missing";
      return issue(rule, "name", () => `${name}, where no frame is`);
    }
    const { layout, runs } = scan;
    const digits = Math.max(layout.width, String(first).length);
    if (layout.prefix !== "" || layout.extension !== extension || digits !== width) {
      const spelled = frameName(clip, first);
      const what = () => `frames like ${spelled} of ${name}, which has ${describeLayout(layout)}`;
      return issue("frame-missing", "name", what);
    }
    const run = findRun(runs, first);
    const last = first + length - 1;
    const end = runs[runs.length - 1]!;
    if (run >= 0 && last <= runs[run + 1]!) return undefined;
    if (run < 0 && !(isLanguage && first > end)) {
      const what = () => `at a frame that is not in ${name}, the first at frame ${first}`;
      return issue("frame-missing", "start", what);
    }
    const clause = `the first from frame ${first} to ${last}`;
    if (last > end) {
      const rule = isLanguage ? "language-past-end" : "past-end";
      return issue(rule, "run", () => `past the end of ${name}: ${clause}, the folder ends at ${end}`);
    }
    const missing = runs[run + 1]! + 1;
    return issue("over-gap", "run", () => `over a gap in ${name}: ${clause}, frame ${missing} is missing`);
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
