/** Rules for one video folder, from its listing alone: pure functions of a {@link FolderScan}. */
import { finding } from "../define-rules.js";
import type { Finding } from "../finding.js";
import { type FolderScan, forEachFrame, type OddFrames } from "./folder-listing.js";
import { frameTolerance } from "./meta.js";
import { describeLayout, type FrameLayout, frameName, loaderReads, sameLayout } from "./names.js";
import { OPENDV_RULES as RULES } from "./rules.js";
import { countFrames, FrameSet, findGaps } from "./runs.js";

/** What the set as a whole, and the list of videos, say about a folder. */
export interface FolderContext {
  /** Relative to the root. */
  path: string;
  /** How most folders of the set name their frames, and the number of the first frame there (0 or 1). */
  setLayout: FrameLayout;
  base: number;
  /** Frames that the list of videos promises. */
  expected?: number;
  /** The script's log says that it left the video out. */
  skipped?: boolean;
}

/** More gaps than this in one folder are summed up in a finding of their own. */
const MAX_GAPS = 100;

export function folderFindings(scan: FolderScan, context: FolderContext): Finding[] {
  const { path, base } = context;
  const findings: Finding[] = [];
  if (scan.layout === undefined) {
    if (context.skipped) {
      const message = "holds no frame: video2img.py left the video out, below 720p";
      findings.push(finding(RULES["small-frames"], path, message));
    } else if (context.expected !== 0) {
      // Of a video that is no longer than what is discarded of it, the script leaves an empty folder.
      const message = "holds no frame: a killed run, or a video that was skipped";
      findings.push(finding(RULES["empty-folder"], path, message));
    }
    if (scan.strayCount > 0) findings.push(strayFinding(scan, path));
    return findings;
  }
  const { layout } = scan;
  for (const odd of scan.odd) findings.push(...oddFindings(odd, layout, path));
  findings.push(...numberFindings(scan, layout, context));
  if (scan.strayCount > 0 || scan.folders.length > 0) findings.push(strayFinding(scan, path));
  if (!sameLayout(layout, context.setLayout) && !widthOnly(layout, context.setLayout)) {
    const message = `names its frames ${describeLayout(layout)}, the set ${describeLayout(context.setLayout)}`;
    findings.push(finding(RULES.layout, path, message));
    if (!loaderReads(layout) && loaderReads(context.setLayout)) {
      findings.push(loaderFinding(layout, path, frameName(layout, base)));
    }
  }
  return findings;
}

export function loaderFinding(layout: FrameLayout, path: string, example: string): Finding {
  return finding(
    RULES["loader-name"],
    path,
    `frames are named ${describeLayout(layout)}: Vista's loader would take "${example.split(".")[0]}" for a number`,
  );
}

/** An older video2img.py padded to the width of each video's last frame, so that widths differ and nothing is wrong. */
function widthOnly(a: FrameLayout, b: FrameLayout): boolean {
  return a.prefix === b.prefix && a.extension === b.extension;
}

/** Gaps, a late start, a lone last frame, and the count against the list. Frames under odd names count as there. */
function numberFindings(scan: FolderScan, layout: FrameLayout, context: FolderContext): Finding[] {
  const { path, base, expected } = context;
  const runs = scan.odd.some((odd) => odd.others.length > 0) ? withOthers(scan) : scan.runs;
  const frames = countFrames(runs);
  const first = runs[0]!;
  const last = runs[runs.length - 1]!;
  if (frames === 1 && first > base) {
    const missing = first - base;
    return [
      finding(
        RULES["only-last-frame"],
        path,
        `only frame ${first} is there: a run that found the folder empty wrote the last frame and nothing else`,
        { record: frameName(layout, first), count: missing },
      ),
    ];
  }
  const findings: Finding[] = [];
  const gaps = findGaps(runs, base);
  for (let i = 0; i < gaps.length && i < MAX_GAPS * 2; i += 2) {
    findings.push(gapFinding(gaps[i]!, gaps[i + 1]!, path, layout, base));
  }
  if (gaps.length > MAX_GAPS * 2) {
    const rest = gaps.slice(MAX_GAPS * 2);
    const message = `${countFrames(rest)} more frames are missing in ${rest.length / 2} more gaps, up to frame ${rest[rest.length - 1]}`;
    findings.push(
      finding(RULES.gap, path, message, { record: frameName(layout, rest[0]!), count: countFrames(rest) }),
    );
  }
  if (expected !== undefined) {
    const reached = last + 1 - base;
    const tolerance = frameTolerance(expected);
    if (reached < expected - tolerance) {
      const message = `ends at frame ${last}, ${expected - reached} frames before the ${expected} that its length less the discards gives (tolerance ${tolerance})`;
      findings.push(finding(RULES.short, path, message, { count: expected - reached }));
    } else if (frames > expected + tolerance) {
      // Frames, not numbers: a stray number far behind the others is a gap.
      const message = `goes on to frame ${last}, ${frames - expected} frames more than the ${expected} that its length less the discards gives (tolerance ${tolerance})`;
      findings.push(finding(RULES.long, path, message, { count: frames - expected }));
    }
  }
  return findings;
}

function gapFinding(from: number, to: number, path: string, layout: FrameLayout, base: number): Finding {
  const count = to - from + 1;
  const what =
    count === 1 ? `frame ${from} is missing` : `frames ${from} to ${to} are missing (${count} frames)`;
  const where = from === base ? `, at the start` : "";
  return finding(RULES.gap, path, what + where, { record: frameName(layout, from), count });
}

function withOthers(scan: FolderScan): number[] {
  const all = new FrameSet();
  const add = (frame: number) => all.add(frame);
  forEachFrame(scan.runs, add);
  for (const odd of scan.odd) forEachFrame(odd.others, add);
  return all.runs();
}

function oddFindings(odd: OddFrames, usual: FrameLayout, path: string): Finding[] {
  const findings: Finding[] = [];
  const count = countFrames(odd.others);
  if (count > 0) {
    const first = frameName(odd.layout, odd.others[0]!);
    const message = `${count === 1 ? "1 frame is" : `${count} frames are`} named ${describeLayout(odd.layout)} where the folder has ${describeLayout(usual)}`;
    findings.push(finding(RULES["frame-name"], path, message, { record: first, count }));
  }
  const copies = countFrames(odd.duplicates);
  if (copies > 0) {
    const number = odd.duplicates[0]!;
    const message =
      copies === 1
        ? `frame ${number} is there twice: ${frameName(usual, number)} and ${frameName(odd.layout, number)}`
        : `${copies} frames are there twice, as ${describeLayout(usual)} and ${describeLayout(odd.layout)}`;
    findings.push(
      finding(RULES["duplicate-frame"], path, message, {
        record: frameName(odd.layout, number),
        count: copies,
      }),
    );
  }
  return findings;
}

function strayFinding(scan: FolderScan, path: string): Finding {
  const names = [...scan.strays, ...scan.folders.map((name) => `${name}/`)];
  const count = scan.strayCount + scan.folders.length;
  const shown = names.slice(0, 3).join(", ");
  const message =
    count === 1 ? `${shown} is no frame` : `${count} entries are no frames: ${shown}${count > 3 ? " …" : ""}`;
  return finding(RULES["stray-file"], path, message, { record: names[0]!, count });
}
