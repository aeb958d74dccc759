/** File names of frames: `000000123.jpg`, `000124.png`, `f_000124.jpg`. */
import { MAX_FRAME } from "./runs.js";

/** How the frames of a folder are named. */
export interface FrameLayout {
  /** What comes before the number: empty, `f_` … */
  prefix: string;
  /** Digits, padded with zeros; 0 where the numbers are not padded. */
  width: number;
  /** Without the dot, in the spelling of the file names. */
  extension: string;
}

/** DriveAGI's `video2img.py` writes these. */
export const OPENDV_LAYOUT: FrameLayout = { prefix: "", width: 9, extension: "jpg" };

export interface FrameName {
  prefix: string;
  /** The digits as they stand. */
  digits: string;
  number: number;
  extension: string;
}

const FRAME_NAME = /^((?:.*[^0-9])?)([0-9]{1,12})\.(jpe?g|png)$/is;

/** Takes a file name apart, or undefined where it is not a frame's: no number before the extension, or too large a one. */
export function parseFrameName(name: string): FrameName | undefined {
  const match = FRAME_NAME.exec(name);
  if (match === null || name.startsWith("._")) return undefined; // ._x.jpg: macOS's side files
  const number = Number(match[2]);
  if (number > MAX_FRAME) return undefined;
  return { prefix: match[1]!, digits: match[2]!, number, extension: match[3]! };
}

export function frameName(layout: FrameLayout, frame: number): string {
  return `${layout.prefix}${String(frame).padStart(layout.width, "0")}.${layout.extension}`;
}

/** `%09d.jpg`, `f_%06d.jpg`, `%d.png`. */
export function describeLayout(layout: FrameLayout): string {
  return `${layout.prefix}%${layout.width === 0 ? "" : `0${layout.width}`}d.${layout.extension}`;
}

/** The same text for the same layout, and no other. */
export function layoutKey({ prefix, width, extension }: FrameLayout): string {
  return `${prefix}|${width}|${extension}`;
}

export function sameLayout(a: FrameLayout, b: FrameLayout): boolean {
  return layoutKey(a) === layoutKey(b);
}

/**
 * Whether Vista's loader can count on from a frame of this layout. It splits the name at dots, wants exactly two parts,
 * and takes `int()` of the first (`vwm/data/subsets/youtube.py`).
 */
export function loaderReads(layout: FrameLayout): boolean {
  return layout.prefix === "";
}
