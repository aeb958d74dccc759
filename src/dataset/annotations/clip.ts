/** Clips of consecutive frames, and the folders that they are in. */
import type { FolderScan } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";
import type { FrameLayout } from "../opendv/names.js";
import type { FrameSet } from "../opendv/runs.js";

/** A clip, as its record gives it, with the layout of the name of its first frame. */
export interface Clip extends FrameLayout {
  folder: ClipFolder;
  first: number;
  /** The number of frames, from `first` on. */
  length: number;
}

/** A folder that records name, and what is known about it. */
export interface ClipFolder {
  name: string;
  split: Split | undefined;
  /** The listing, which is set once a clip's frames were looked for; its `scan` is undefined where the folder is not there. */
  listed?: { scan: FolderScan | undefined };
  /** The first frames of the clips of this file so far. */
  starts: FrameSet;
}
