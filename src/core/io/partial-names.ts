/**
 * The names of the files that lie beside an output while it is being made: `.NAME.TOKEN.partial` for a file that is being
 * written, `.NAME.TOKEN.old` for one that is being replaced, and `.NAME.commit` for the note of the moment in which several files
 * get their names. A token names the process, so that a later run can clear what a dead one left, and only that.
 */
import { readlinkSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { crc32 } from "./crc32.js";
import { livePartials } from "./live-partials.js";

/**
 * The milliseconds without a write after which a file of another machine counts as left behind; the processes of that machine
 * cannot be asked.
 */
const ELSEWHERE_MS = 24 * 3600 * 1000;

/** Returns a short name of the place in which process numbers mean the same: the machine, and the container in it. */
function thisPlace(): string {
  let namespace = "";
  try {
    namespace = readlinkSync("/proc/self/ns/pid");
  } catch {
    // This is not Linux, and there the machine is enough.
  }
  return crc32(Buffer.from(`${hostname()} ${namespace}`)).toString(36);
}

let place: string | undefined;

/** Makes a token, which names one output of this process. */
export function newToken(): string {
  place ??= thisPlace();
  return `${process.pid}-${place}-${Math.random().toString(36).slice(2, 10).padEnd(8, "0")}`;
}

const TOKEN = /^\d+-[0-9a-z]+-[0-9a-z]+$/;
const NAME = /^\.(.+)\.(\d+-[0-9a-z]+-[0-9a-z]+)\.(partial|old)$/s;
const COMMIT = /^\.(.+)\.commit$/s;

/** Tells whether {@link newToken} may have made a text. */
export function isToken(text: unknown): text is string {
  return typeof text === "string" && TOKEN.test(text);
}

export type PartialKind = "partial" | "old";

export function partialPath(path: string, token: string, kind: PartialKind): string {
  return join(dirname(path), `.${basename(path)}.${token}.${kind}`);
}

/** Takes apart a name that {@link partialPath} made; returns `undefined` for any other name. */
export function parsePartial(name: string): { of: string; token: string; kind: PartialKind } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { of: match[1]!, token: match[2]!, kind: match[3] as PartialKind };
}

export function commitPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.commit`);
}

/** Returns the name of the output that a {@link commitPath} belongs to; `undefined` for any other name. */
export function parseCommit(name: string): string | undefined {
  return COMMIT.exec(name)?.[1];
}

/** Tells whether the process of a token is gone. @param file  a file that it left, for the time of the last write */
export function isLeftBehind(token: string, file: string): boolean {
  place ??= thisPlace();
  const [pid, where] = token.split("-") as [string, string];
  if (where !== place) {
    const written = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
    return written !== undefined && Date.now() - written > ELSEWHERE_MS;
  }
  // The process may have had our number without being ours: numbers come again, in containers above all.
  if (Number(pid) === process.pid) return ![...livePartials.values()].includes(token);
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
