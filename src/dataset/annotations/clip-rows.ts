/** Records of YouTube.json and of DriveAGI's language files. */
import type { RowSink } from "../json/rows.js";
import { ClipChecker, type ClipFolder, type FolderSource, misreadName } from "./clips.js";
import { FastRows, LastText } from "./fast-rows.js";
import type { Issues } from "./issues.js";
import { ANNOTATION_RULES as RULES } from "./rules.js";

/** Frames of a language record, both ends included. */
const LANGUAGE_FRAMES = 40;
const LANGUAGE_COMMANDS = 14;

/** Takes the records of one file, after its kind is known. */
export class ClipRows implements RowSink {
  readonly #kind: "YouTube" | "language";
  readonly #issues: Issues;
  readonly #checker: ClipChecker;
  readonly #frames: number;
  readonly #fast = new FastRows();
  readonly #folderText = new LastText();
  readonly #extension = new LastText();
  #folder: ClipFolder | undefined;
  #index = 0;
  #bad = 0;

  /** @param frames  of a clip in training: 25 */
  constructor(
    kind: "YouTube" | "language",
    issues: Issues,
    source: FolderSource | undefined,
    training: boolean,
    frames: number,
  ) {
    this.#kind = kind;
    this.#issues = issues;
    this.#checker = new ClipChecker(issues, source, training);
    this.#frames = frames;
  }

  get unusable(): number {
    return this.#bad + this.#checker.unusable;
  }

  fast(bytes: Uint8Array, at: number, end: number, offset: number): number {
    const language = this.#kind === "language";
    const after = language ? this.#fast.language(bytes, at, end) : this.#fast.youtube(bytes, at, end);
    if (after < 0) return -1;
    const { row } = this.#fast;
    // Folders that the loader would find under another spelling go the long way, where they are looked at as text.
    if (!this.#folderText.same(bytes, row.folderFrom, row.folderTo) || this.#folder === undefined) {
      this.#folder = this.#checker.folder(this.#folderText.text);
    }
    this.#extension.same(bytes, row.extensionFrom, row.extensionTo);
    const index = this.#index++;
    let length = this.#frames;
    if (language) {
      length = row.last - row.first + 1;
      this.#language(row.cmd, length, index, offset);
    }
    if (length < 1) return after; // said so above
    this.#checker.check(
      { folder: this.#folder, first: row.first, width: row.width, extension: this.#extension.text, length },
      index,
      offset,
    );
    return after;
  }

  value(value: unknown, offset: number): void {
    const index = this.#index++;
    if (!this.#slow(value, index, offset)) this.#bad++;
  }

  /** @returns false where the record could not be understood */
  #slow(value: unknown, index: number, offset: number): boolean {
    const wrong = (message: string) => {
      this.#issues.record(RULES.shape, index, offset, message);
      return false;
    };
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      return wrong(`is ${describe(value)}, not an object`);
    }
    const record = value as Record<string, unknown>;
    const language = this.#kind === "language";
    const strings = language
      ? ["folder", "first_frame", "last_frame", "blip"]
      : ["folder_name", "first_frame"];
    for (const key of strings) {
      if (typeof record[key] !== "string") return wrong(`"${key}" is ${describe(record[key])}, not a string`);
    }
    if (language && !Number.isInteger(record.cmd)) {
      return wrong(`"cmd" is ${describe(record.cmd)}, not an integer`);
    }
    const names = language ? ["first_frame", "last_frame"] : ["first_frame"];
    for (const key of names) {
      const reason = misreadName(record[key] as string);
      if (reason !== undefined) {
        this.#issues.record(RULES["frame-name"], index, offset, `"${key}" ${reason}`);
        return false;
      }
    }
    const [digits, extension] = (record.first_frame as string).split(".") as [string, string];
    const first = Number(digits);
    let length = this.#frames;
    if (language) {
      length = Number.parseInt(record.last_frame as string, 10) - first + 1;
      this.#language(record.cmd as number, length, index, offset);
      if (length < 1) return true; // said so above
    }
    const folder = this.#checker.folder(
      (record[language ? "folder" : "folder_name"] as string).replace(/\/+$/, ""),
    );
    this.#checker.check({ folder, first, width: digits.length, extension, length }, index, offset);
    return true;
  }

  #language(cmd: number, length: number, index: number, offset: number): void {
    if (cmd < 0 || cmd >= LANGUAGE_COMMANDS) {
      this.#issues.record(
        RULES["cmd-range"],
        index,
        offset,
        `"cmd" is ${cmd}, not 0 to ${LANGUAGE_COMMANDS - 1}`,
      );
    }
    if (length !== LANGUAGE_FRAMES) {
      const message = `covers ${length} frames, not ${LANGUAGE_FRAMES}`;
      this.#issues.record(RULES.length, index, offset, message);
    }
  }
}

/** A JSON value in a few words. */
export function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null (or NaN)";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === "object") return "an object";
  return typeof value === "string" ? `the string "${value.slice(0, 40)}"` : `${value}`;
}
