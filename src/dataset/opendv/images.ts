/** Rules for the images of one video folder. */
import { join } from "node:path";
import { finding } from "../define-rules.js";
import type { Finding, Rule } from "../finding.js";
import { checkImages, type ImageFault, type ImageLevel } from "../images/check.js";
import { type FrameLayout, frameName } from "./names.js";
import { OPENDV_RULES as RULES } from "./rules.js";

const FAULT_RULES: Readonly<Record<ImageFault, Rule>> = {
  missing: RULES["unreadable-image"],
  "not-a-file": RULES["unreadable-image"],
  unreadable: RULES["unreadable-image"],
  empty: RULES["empty-image"],
  "not-an-image": RULES["not-an-image"],
  truncated: RULES["truncated-image"],
  damaged: RULES["damaged-image"],
};

/** What the images of a folder showed, beside findings. */
export interface FolderImages {
  opened: number;
  findings: Finding[];
  /** Size of the first sound image. */
  size?: { width: number; height: number };
  /** Path of the first sound image, relative to the root. */
  sound?: string;
}

/**
 * Opens `frames` of one folder and applies the rules on images to them.
 *
 * @param last  number of the folder's last frame, where an interrupted run leaves its mark
 * @param onImage  called after each image with their number so far
 */
export async function checkFolderImages(
  root: string,
  path: string,
  layout: FrameLayout,
  frames: Iterable<number>,
  last: number,
  level: ImageLevel,
  signal: AbortSignal | undefined,
  onImage: (opened: number) => void,
): Promise<FolderImages> {
  const result: FolderImages = { opened: 0, findings: [] };
  const numbers: number[] = [];
  function* files() {
    for (const frame of frames) {
      numbers.push(frame);
      yield join(root, path, frameName(layout, frame));
    }
  }
  const otherSizes = new Map<string, { count: number; first: string }>();
  for await (const report of checkImages(files(), level, signal === undefined ? {} : { signal })) {
    const frame = numbers.shift()!;
    const name = frameName(layout, frame);
    onImage(++result.opened);
    // Sizes of all frames are looked at beforehand.
    if (report.fault !== undefined && report.fault !== "empty") {
      const cutOff = report.fault === "truncated";
      const rule = frame === last && cutOff ? RULES["truncated-last-frame"] : FAULT_RULES[report.fault];
      result.findings.push(finding(rule, `${path}/${name}`, report.detail!));
    }
    const { width, height } = report;
    if (width === undefined || height === undefined) continue;
    if (report.fault === undefined) result.sound ??= `${path}/${name}`;
    result.size ??= { width, height };
    if (width !== result.size.width || height !== result.size.height) {
      const key = `${width} × ${height}`;
      const known = otherSizes.get(key);
      if (known === undefined) otherSizes.set(key, { count: 1, first: name });
      else {
        known.count++;
        if (name < known.first) known.first = name;
      }
    }
  }
  const { size } = result;
  if (size === undefined) return result;
  for (const [other, { count, first }] of otherSizes) {
    const message = `${first}${count > 1 ? ` and ${count - 1} more of those opened are` : " is"} ${other}, the first frame is ${size.width} × ${size.height}`;
    result.findings.push(finding(RULES["size-change"], path, message, { record: first, count }));
  }
  // The script's own words: it leaves out a video only where both sides are below.
  if (size.width < 1280 && size.height < 720) {
    result.findings.push(finding(RULES["small-frames"], path, `frames are ${size.width} × ${size.height}`));
  }
  if (Math.abs(size.width - (size.height * 16) / 9) > 1) {
    const shape = (size.width / size.height).toFixed(3);
    const message = `frames are ${size.width} × ${size.height}, that is ${shape} instead of 1.778`;
    result.findings.push(finding(RULES.aspect, path, message));
  }
  return result;
}
