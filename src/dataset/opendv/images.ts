/** The rules for the images of one video folder. */
import { join } from "node:path";
import { throwIfAborted } from "../../core/errors.js";
import { mapOrdered } from "../../core/io/map-ordered.js";
import { sizeOf } from "../../core/io/regular.js";
import { remember } from "../../core/maps.js";
import type { Finding } from "../finding.js";
import { checkImage, type ImageFault, type ImageLevel, SIDE_BY_SIDE } from "../images/check.js";
import { type FrameLayout, frameName } from "./names.js";
import { finding, type OpenDvRule } from "./rules.js";

const FAULT_RULES: Readonly<Record<ImageFault, OpenDvRule>> = {
  missing: "unreadable-image",
  "not-a-file": "unreadable-image",
  unreadable: "unreadable-image",
  empty: "empty-image",
  "not-an-image": "not-an-image",
  truncated: "truncated-image",
  damaged: "damaged-image",
};

/** The facts that the images of a folder showed, besides findings. */
interface FolderImages {
  /** The size of the first image whose size is known. */
  size?: { width: number; height: number };
  /** The path of the first sound image, relative to the root. */
  sound?: string;
}

/** The place of the images, and how closely they are looked at. */
interface Looking {
  root: string;
  /** The path of the folder, relative to the root. */
  path: string;
  layout: FrameLayout;
  /** The number of the folder's last frame, where an interrupted run leaves its mark. */
  last: number;
  level: ImageLevel;
  signal: AbortSignal | undefined;
  /** A function that is called after each image. */
  onImage: () => void;
}

/** Opens `frames` of one folder and applies the rules on images to them. */
export async function* imageFindings(
  frames: Iterable<number>,
  { root, path, layout, last, level, signal, onImage }: Looking,
): AsyncGenerator<Finding, FolderImages> {
  const result: FolderImages = {};
  const reports = mapOrdered(frames, SIDE_BY_SIDE[level], async (frame) => {
    const name = frameName(layout, frame);
    return { frame, name, ...(await checkImage(join(root, path, name), level)) };
  });
  const otherSizes = new Map<string, { count: number; first: string }>();
  for await (const { frame, name, fault, detail, width, height } of reports) {
    throwIfAborted(signal);
    // What is no file, and what is empty, is left out here, because the sizes of all frames are looked at beforehand.
    if (fault !== undefined && fault !== "empty" && sizeOf(join(root, path, name)) === -1) continue;
    onImage();
    if (fault !== undefined && fault !== "empty") {
      const cutOff = frame === last && fault === "truncated";
      const rule = cutOff ? "truncated-last-frame" : FAULT_RULES[fault];
      yield finding(rule, `${path}/${name}`, detail!);
    }
    if (width === undefined || height === undefined) continue;
    if (fault === undefined) result.sound ??= `${path}/${name}`;
    result.size ??= { width, height };
    if (width === result.size.width && height === result.size.height) continue;
    const other = remember(otherSizes, `${width} × ${height}`, () => ({ count: 0, first: name }));
    other.count++;
    if (name < other.first) other.first = name;
  }
  if (result.size === undefined) return result;
  const { width, height } = result.size;
  const size = `${width} × ${height}`;
  for (const [other, { count, first }] of otherSizes) {
    const which = count > 1 ? `${first} and ${count - 1} more of those opened are` : `${first} is`;
    const message = `${which} ${other}, the first frame is ${size}`;
    yield finding("size-change", path, message, { record: first, count });
  }
  // These are the script's own words: it leaves out a video only where both sides are below.
  if (width < 1280 && height < 720) yield finding("small-frames", path, `frames are ${size}`);
  if (Math.abs(width - (height * 16) / 9) > 1) {
    const message = `frames are ${size}, that is ${(width / height).toFixed(3)} instead of 1.778`;
    yield finding("aspect", path, message);
  }
  return result;
}
