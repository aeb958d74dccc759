/**
 * The quick form of the data check: the frames of each annotation file's first record, and the records of a file that is
 * read in a second or two. Enough to catch what stops a training at once (a wrong folder, another layout, an empty or
 * foreign file); `vista-data check` looks at all of it.
 */
import { open, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checkAnnotations } from "../dataset/annotations/check.js";
import type { DataProblem, Subset } from "./data.js";

/** Frames of a sample, `num_frames` of Vista's data set classes. */
const FRAMES = 25;
/** A record of either kind takes a few kB. */
const HEAD_BYTES = 1 << 20;

/** Annotation files up to this size are read through: some seconds, and nuScenes.json as Vista's authors made it. */
const READ_BYTES = 512 << 20;

export async function quickCheck(
  subset: Subset,
  vista: string,
  signal: AbortSignal | undefined,
): Promise<DataProblem[]> {
  const found: DataProblem[] = [];
  const stops = (message: string) => found.push({ severity: "error", message });
  for (const file of subset.annotations) {
    const record = await firstRecord(resolve(vista, file));
    if (typeof record === "string") {
      stops(`${file}: ${record}`);
      continue;
    }
    const frames = subset.name === "YouTube" ? clipFrames(record) : listedFrames(record);
    if (typeof frames === "string") {
      stops(`${file}, first record: ${frames}`);
      continue;
    }
    const missing: string[] = [];
    for (const frame of frames) {
      const there = await stat(resolve(vista, subset.root, frame)).catch(() => undefined);
      if (!there?.isFile()) missing.push(frame);
    }
    if (missing.length > 0) {
      stops(
        `${file}, first record: ${missing.length} of ${frames.length} frames are not below ${subset.root}: ${missing[0]}`,
      );
    } else if ((await stat(resolve(vista, file))).size <= READ_BYTES) {
      found.push(...(await checkRecords(file, vista, signal)));
    }
  }
  return found;
}

/**
 * The errors that the whole check finds in the records themselves; frames are too many to look for here. Vista's sampler
 * skips a record that it cannot load, so they only stop a training where no record is left.
 */
async function checkRecords(
  file: string,
  vista: string,
  signal: AbortSignal | undefined,
): Promise<DataProblem[]> {
  const problems: DataProblem[] = [];
  const options = {
    root: vista,
    nuscenes: false,
    youtube: false,
    ...(signal === undefined ? {} : { signal }),
  } as const;
  const check = checkAnnotations([resolve(vista, file)], options);
  for await (const one of check) {
    if (one.severity !== "error") continue;
    const place = one.record === undefined ? file : `${file}, ${one.record}`;
    problems.push({ severity: "warning", message: `${place}: ${one.message} (${one.rule})` });
  }
  for (const { records, unusable } of check.summary.annotations ?? []) {
    if (records > 0 && unusable === records) {
      problems.unshift({
        severity: "error",
        message: `${file}: none of its ${records} records can be loaded`,
      });
    }
  }
  return problems;
}

/** The first object of a JSON array, or what is wrong; reads no more than the head of a file that may have many GB. */
async function firstRecord(path: string): Promise<Record<string, unknown> | string> {
  const handle = await open(path, "r");
  let text: string;
  try {
    const buffer = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, HEAD_BYTES, 0);
    text = buffer.toString("utf8", 0, bytesRead).trimStart();
  } finally {
    await handle.close();
  }
  if (!text.startsWith("[")) return "is not a JSON array";
  const inside = text.slice(1).trimStart();
  if (inside.startsWith("]")) return "the array is empty: no samples";
  const end = objectEnd(inside);
  if (end === undefined) return "the first record is cut off or no object";
  try {
    return JSON.parse(inside.slice(0, end)) as Record<string, unknown>;
  } catch (error) {
    return `the first record is not JSON: ${(error as Error).message}`;
  }
}

/** Where the object that `text` begins with ends; undefined where it does not begin or end. */
function objectEnd(text: string): number | undefined {
  if (!text.startsWith("{")) return undefined;
  let depth = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}]/gs)) {
    if (token === "{") depth++;
    else if (token === "}" && --depth === 0) return index + 1;
  }
  return undefined;
}

/** Of a nuScenes record: its `frames`, paths below the data root. */
function listedFrames(record: Record<string, unknown>): string[] | string {
  const { frames } = record;
  if (!Array.isArray(frames) || frames.some((frame) => typeof frame !== "string")) {
    return "has no list `frames` of paths";
  }
  if (frames.length < FRAMES) return `has ${frames.length} frames, the loader takes ${FRAMES}`;
  return frames.slice(0, FRAMES) as string[];
}

/** Of an OpenDV-YouTube record: `first_frame` and its successors, counted on in the same width. */
function clipFrames(record: Record<string, unknown>): string[] | string {
  const { folder_name: folder, first_frame: first } = record;
  if (typeof folder !== "string") return "has no `folder_name`";
  const parts = typeof first === "string" ? /^(\d+)\.([^.]+)$/.exec(first) : null;
  if (parts === null)
    return `has no \`first_frame\` of the form NUMBER.EXTENSION, but ${JSON.stringify(first)}`;
  const [, digits, extension] = parts as unknown as [string, string, string];
  return Array.from({ length: FRAMES }, (_, i) =>
    join(folder, `${String(Number(digits) + i).padStart(digits.length, "0")}.${extension}`),
  );
}
