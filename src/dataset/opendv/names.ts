/** The file names of frames, such as `000000123.jpg`, `000124.png` or `f_000124.jpg`. */
import { MAX_FRAME } from "./runs.js";

/** The way in which the frames of a folder are named. */
export interface FrameLayout {
  /** The part before the number: nothing, `f_` … */
  prefix: string;
  /** The number of digits, padded with zeros; 0 where the numbers are not padded. */
  width: number;
  /** The extension without the dot, as the file names spell it. */
  extension: string;
}

/** The names that DriveAGI's `video2img.py` writes. */
export const OPENDV_LAYOUT: FrameLayout = { prefix: "", width: 9, extension: "jpg" };

interface FrameName {
  prefix: string;
  /** The digits as they stand in the name. */
  digits: string;
  number: number;
  extension: string;
}

const FRAME_NAME = /^((?:.*[^0-9])?)([0-9]{1,12})\.(jpe?g|png|webp)$/is;

/**
 * Takes a file name apart. Returns undefined where it is not a frame's, because there is no number before the extension or too
 * large a one.
 */
export function parseFrameName(name: string): FrameName | undefined {
  const match = FRAME_NAME.exec(name);
  // Names such as ._x.jpg are those of macOS's side files.
  if (match === null || name.startsWith("._")) return undefined;
  const number = Number(match[2]);
  if (number > MAX_FRAME) return undefined;
  return { prefix: match[1]!, digits: match[2]!, number, extension: match[3]! };
}

export function frameName(layout: FrameLayout, frame: number): string {
  return `${layout.prefix}${String(frame).padStart(layout.width, "0")}.${layout.extension}`;
}

/** Returns a pattern for a layout, such as `%09d.jpg`, `f_%06d.jpg` or `%d.png`. */
export function describeLayout(layout: FrameLayout): string {
  return `${layout.prefix}%${layout.width === 0 ? "" : `0${layout.width}`}d.${layout.extension}`;
}

/** Returns a text that is the same for the same layout, and for no other. */
export function layoutKey({ prefix, width, extension }: FrameLayout): string {
  return `${prefix}|${width}|${extension}`;
}

/**
 * Tells whether Vista's loader can count on from a frame of this layout. The loader splits the name at dots, wants exactly two
 * parts, and takes `int()` of the first (`vwm/data/subsets/youtube.py`).
 */
export function loaderReads(layout: FrameLayout): boolean {
  return layout.prefix === "";
}
