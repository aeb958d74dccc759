/** The content of a preview: the 25 frames of a clip and, where a record has them, its actions. */
import { existsSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fromSystem, VistaError } from "../../core/errors.js";
import { plural } from "../../core/text.js";
import { dataOf, loaderPath, misreadName, opendvDataRoot, rootOf } from "../annotations/clips.js";
import { type NuScenesRecord, recordFaults } from "../annotations/nuscenes-rows.js";
import { subsetOf } from "../annotations/run.js";
import { framesFromSample } from "../frame-index/chains.js";
import { readRows } from "../json/rows.js";
import { kindOf } from "../nuscenes/read/field-types.js";
import { scanFolder } from "../opendv/folder-listing.js";
import { frameName } from "../opendv/names.js";
import { findRun } from "../opendv/runs.js";
import { recognise } from "../recognise.js";

/** The clip that a preview shows. */
export interface PreviewClip {
  title: string;
  /** The paths of the frames, which are absolute or relative as the root is. */
  frames: string[];
  /** The record's actions; undefined where the clip is not from a record of nuScenes.json. */
  actions?: NuScenesRecord;
}

/** The options of {@link findClip}. */
export interface ClipOptions {
  /** The Vista root or the root of a set, for records and samples. By default it is found from the file. */
  root?: string | undefined;
  /** The number of the first frame in a folder. The default is the first that is there. */
  start?: number | undefined;
  /** The number of frames of a clip. The default is 25. */
  count?: number | undefined;
}

/** The largest number of frames on one sheet; Vista trains on 25. */
const MOST_FRAMES = 1000;
/** The largest number of characters of a path, because Linux opens no longer one. */
const MAX_PATH = 4096;
const TOKEN = /^[0-9a-f]{32}$/;

/**
 * Finds the clip that `target` names: a folder of frames, `FILE#INDEX` for a record of an annotation file, or the token of a
 * nuScenes sample (with `root`).
 *
 * @throws VistaError `NOT_FOUND`, `FORMAT`, `USAGE`, `INCOMPLETE` where the folder has too few frames in a row
 */
export function findClip(target: string, options: ClipOptions = {}): PreviewClip {
  const count = options.count ?? 25;
  if (!Number.isInteger(count) || count < 1 || count > MOST_FRAMES) {
    throw new VistaError(
      "USAGE",
      `a clip of ${count} frames: it must be a whole number from 1 to ${MOST_FRAMES}`,
      { hint: "Correct `count`, or num_frames of the config." },
    );
  }
  const match = /^(.*)#([0-9]+)$/.exec(target);
  if ((TOKEN.test(target) || match !== null) && !existsSync(target)) {
    if (options.start !== undefined) {
      throw new VistaError(
        "USAGE",
        "--start is about a folder of frames: a record or a sample has its first frame",
        { hint: "Leave --start out, or name the folder." },
      );
    }
    if (match === null) return sampleClip(target, options.root ?? ".", count);
    return recordClip(match[1]!, Number(match[2]), options.root, count);
  }
  const stats = statSync(target, { throwIfNoEntry: false });
  if (stats === undefined) {
    throw new VistaError("NOT_FOUND", "no such folder, record or sample", {
      path: target,
      hint: "Name a folder of frames, annos/nuScenes.json#12 for a record, or a sample's token with --root.",
    });
  }
  if (!stats.isDirectory()) {
    throw new VistaError("USAGE", `${target} is a file, not one of its records`, {
      hint: `Add a record's number: ${target}#0.`,
    });
  }
  return folderClip(target, options.start, count);
}

function folderClip(path: string, start: number | undefined, count: number): PreviewClip {
  const scan = scanFolder(path);
  if (scan.layout === undefined) {
    throw new VistaError("NOT_FOUND", "holds no frames", { path, hint: "Name a video's own folder." });
  }
  const { layout, runs } = scan;
  const first = start ?? runs[0]!;
  const run = findRun(runs, first);
  const last = first + count - 1;
  if (run < 0 || last > runs[run + 1]!) {
    const missing = run < 0 ? first : runs[run + 1]! + 1;
    throw new VistaError(
      "INCOMPLETE",
      `a clip of ${count} frames from frame ${first} needs frame ${missing}`,
      { path, hint: "Name another first frame with --start." },
    );
  }
  const frames = Array.from({ length: count }, (_, i) => join(path, frameName(layout, first + i)));
  const folders = resolve(path).split("/").slice(-2).join("/");
  return { title: `${folders} from frame ${first}`, frames };
}

function sampleClip(token: string, root: string, count: number): PreviewClip {
  const { root: path, versions } = recognise(root, { kinds: ["nuscenes"] }).nuscenes!;
  for (const version of versions) {
    const files = framesFromSample(join(path, version), token, count);
    if (files.length > 0) return { title: `sample ${token}`, frames: files.map((file) => join(path, file)) };
  }
  throw new VistaError("NOT_FOUND", `no CAM_FRONT key frame of sample ${token} in ${versions.join(", ")}`, {
    path,
    hint: "Name the token of a row of sample.json, and its set with --root.",
  });
}

function recordClip(file: string, index: number, root: string | undefined, count: number): PreviewClip {
  const value = readRecord(file, index);
  const kind = subsetOf(value);
  const title = `${basename(file)} record ${index}`;
  const base = root ?? rootOf(file);
  const record = `record ${index}`;
  const bad = (what: string) => new VistaError("FORMAT", what, { path: file, record });
  if (kind === "NuScenes") {
    const fault = recordFaults(value, count).find(({ loader }) => loader !== "trains");
    if (fault !== undefined) throw bad(fault.message);
    const actions = value as NuScenesRecord;
    const data = dataOf(kind, base) ?? base;
    return { title, frames: actions.frames.slice(0, count).map((frame) => loaderPath(data, frame)), actions };
  }
  if (kind === undefined) throw bad(`is ${kindOf(value)}, no record that is known`);
  const { folder_name, folder, first_frame } = value as Record<string, unknown>;
  const name = folder_name ?? folder;
  if (typeof name !== "string" || typeof first_frame !== "string") throw bad("has no folder and first frame");
  const reason = misreadName(first_frame);
  if (reason !== undefined) throw bad(reason);
  if (name.length > MAX_PATH)
    throw bad(`names a folder in ${name.length} characters, more than any path has`);
  const [digits, extension] = first_frame.split(".") as [string, string];
  const usual = dataOf("YouTube", base) ?? base;
  const data = kind === "language" ? opendvDataRoot(usual) : usual;
  const layout = { prefix: "", width: digits.length, extension };
  const frames = Array.from({ length: count }, (_, i) =>
    loaderPath(data, join(name, frameName(layout, Number(digits) + i))),
  );
  return { title: `${title}: ${name}`, frames };
}

function readRecord(file: string, index: number): unknown {
  let found: unknown;
  let rows = 0;
  try {
    const result = readRows(file, {
      value(value, _offset, at) {
        rows++;
        if (at === index) found = value;
      },
    });
    if (result.error !== undefined && rows <= index) {
      throw new VistaError("FORMAT", result.error.reason, { path: file, offset: result.error.offset });
    }
  } catch (error) {
    throw fromSystem(error, file, "read the annotation file");
  }
  if (index >= rows) {
    throw new VistaError(
      "NOT_FOUND",
      `has ${plural(rows, "record")}, there is no ${index} (they count from 0)`,
      {
        path: file,
      },
    );
  }
  return found;
}
