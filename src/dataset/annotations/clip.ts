/** One clip of consecutive frames, and the folder that it is in. */
import type { FolderScan } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";
import type { FrameSet } from "../opendv/runs.js";

/** One clip, taken apart. `width` counts the digits of the first frame's name. */
export interface Clip {
  folder: ClipFolder;
  first: number;
  width: number;
  extension: string;
  /** Frames, from `first` on. */
  length: number;
}

/** A folder that records name, and what is known about it. */
export interface ClipFolder {
  name: string;
  split: Split | undefined;
  /** Set once a clip's frames were looked for; its `scan` is undefined where the folder is not there. */
  listed?: { scan: FolderScan | undefined };
  /** First frames of the clips so far, in this file. */
  starts: FrameSet;
}
