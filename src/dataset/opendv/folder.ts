/** The rules for one video folder that need only its listing: pure functions of a {@link FolderScan}. */
import type { Finding } from "../finding.js";
import type { FolderScan, OddFrames } from "./folder-listing.js";
import { frameTolerance } from "./meta.js";
import { describeLayout, type FrameLayout, frameName, loaderReads } from "./names.js";
import { finding } from "./rules.js";
import { countFrames, findGaps, joinRuns } from "./runs.js";

/** The facts about a folder that come from the set as a whole and from the list of videos. */
interface FolderContext {
  /** The path of the folder, relative to the root. */
  path: string;
  /** The way most folders of the set name their frames; `base` is the number of the first frame there (0 or 1). */
  setLayout: FrameLayout;
  base: number;
  /** The number of frames that the list of videos promises. */
  expected?: number | undefined;
  /** Whether the script's log says that it left the video out. */
  skipped?: boolean;
}

/** The number of gaps in one folder above which the others are summed up in a finding of their own. */
const MAX_GAPS = 100;

export function* folderFindings(scan: FolderScan, context: FolderContext): Generator<Finding> {
  const { path, base, setLayout } = context;
  const { layout, strayCount, folders } = scan;
  if (scan.broken !== undefined) yield brokenFinding(scan.broken, path);
  if (layout === undefined) {
    if (scan.broken !== undefined) return;
    if (context.skipped) {
      yield finding("small-frames", path, "holds no frame: video2img.py left the video out, below 720p");
    } else if (context.expected !== 0) {
      // Where nothing is left of a video after its discards, the script leaves an empty folder.
      yield finding("empty-folder", path, "holds no frame: a killed run, or a video that was skipped");
    }
    if (strayCount > 0) yield strayFinding(scan, path);
    return;
  }
  for (const odd of scan.odd) yield* oddFindings(odd, layout, path);
  yield* numberFindings(scan, layout, context);
  if (strayCount > 0 || folders.length > 0) yield strayFinding(scan, path);
  if (isAlike(layout, setLayout)) return;
  const message = `names its frames ${describeLayout(layout)}, the set ${describeLayout(setLayout)}`;
  yield finding("layout", path, message);
  if (!loaderReads(layout) && loaderReads(setLayout)) {
    yield loaderFinding(layout, path, frameName(layout, base));
  }
}

export function loaderFinding(layout: FrameLayout, path: string, example: string): Finding {
  const misread = `Vista's loader would take "${example.split(".")[0]}" for a number`;
  return finding("loader-name", path, `frames are named ${describeLayout(layout)}: ${misread}`);
}

/**
 * Tells whether layouts differ at most in their width. An older video2img.py padded to the width of each video's last frame, so
 * that widths differ and nothing is wrong.
 */
function isAlike(a: FrameLayout, b: FrameLayout): boolean {
  return a.prefix === b.prefix && a.extension === b.extension;
}

function brokenFinding({ frames, first }: NonNullable<FolderScan["broken"]>, path: string): Finding {
  const count = countFrames(frames);
  const are = count === 1 ? "1 frame is a link" : `${count} frames are links`;
  const what = `${are} to nowhere, or no file (a disk that is not mounted?)`;
  return finding("broken-link", path, what, { record: first, count });
}

/**
 * Reports gaps, a late start, a lone last frame, and a count that differs from the list. Frames under odd names count as being
 * there, and so do links to nowhere, which are reported by themselves.
 */
function* numberFindings(scan: FolderScan, layout: FrameLayout, context: FolderContext): Generator<Finding> {
  const { path, base, expected } = context;
  const others = scan.odd.flatMap((odd) => odd.others);
  const runs = joinRuns([...scan.runs, ...(scan.broken?.frames ?? []), ...others]);
  const frames = countFrames(runs);
  const first = runs[0]!;
  const last = runs[runs.length - 1]!;
  if (frames === 1 && first > base) {
    const message = `only frame ${first} is there: a run that found the folder empty wrote the last frame and nothing else`;
    const place = { record: frameName(layout, first), count: first - base };
    yield finding("only-last-frame", path, message, place);
    return;
  }
  const gaps = findGaps(runs, base);
  for (let i = 0; i < gaps.length && i < MAX_GAPS * 2; i += 2) {
    yield gapFinding(gaps[i]!, gaps[i + 1]!, path, layout, base);
  }
  if (gaps.length > MAX_GAPS * 2) {
    const rest = gaps.slice(MAX_GAPS * 2);
    const count = countFrames(rest);
    const message = `${count} more frames are missing in ${rest.length / 2} more gaps, up to frame ${rest.at(-1)}`;
    yield finding("gap", path, message, { record: frameName(layout, rest[0]!), count });
  }
  if (expected === undefined) return;
  const tolerance = frameTolerance(expected);
  const promised = `the ${expected} that its length less the discards gives (tolerance ${tolerance})`;
  const missing = expected - (last + 1 - base);
  // This counts frames and not numbers, because a stray number far behind the others is a gap.
  const surplus = frames - expected;
  if (missing > tolerance) {
    const message = `ends at frame ${last}, ${missing} frames before ${promised}`;
    yield finding("short", path, message, { count: missing });
  } else if (surplus > tolerance) {
    const message = `goes on to frame ${last}, ${surplus} frames more than ${promised}`;
    yield finding("long", path, message, { count: surplus });
  }
}

function gapFinding(from: number, to: number, path: string, layout: FrameLayout, base: number): Finding {
  const count = to - from + 1;
  const what =
    count === 1 ? `frame ${from} is missing` : `frames ${from} to ${to} are missing (${count} frames)`;
  const where = from === base ? `, at the start` : "";
  return finding("gap", path, what + where, { record: frameName(layout, from), count });
}

function* oddFindings(odd: OddFrames, usual: FrameLayout, path: string): Generator<Finding> {
  const [odds, usuals] = [describeLayout(odd.layout), describeLayout(usual)];
  const count = countFrames(odd.others);
  if (count > 0) {
    const first = frameName(odd.layout, odd.others[0]!);
    const are = count === 1 ? "1 frame is" : `${count} frames are`;
    const message = `${are} named ${odds} where the folder has ${usuals}`;
    yield finding("frame-name", path, message, { record: first, count });
  }
  const copies = countFrames(odd.duplicates);
  if (copies === 0) return;
  const number = odd.duplicates[0]!;
  const record = frameName(odd.layout, number);
  const message =
    copies === 1
      ? `frame ${number} is there twice: ${frameName(usual, number)} and ${record}`
      : `${copies} frames are there twice, as ${usuals} and ${odds}`;
  yield finding("duplicate-frame", path, message, { record, count: copies });
}

function strayFinding(scan: FolderScan, path: string): Finding {
  const names = [...scan.strays, ...scan.folders.map((name) => `${name}/`)];
  const count = scan.strayCount + scan.folders.length;
  const shown = names.slice(0, 3).join(", ");
  const message =
    count === 1 ? `${shown} is no frame` : `${count} entries are no frames: ${shown}${count > 3 ? " …" : ""}`;
  return finding("stray-file", path, message, { record: names[0]!, count });
}
