/** What an index says of a data set. */
import type { FolderScan } from "../opendv/folder-listing.js";
import type { Split } from "../opendv/meta.js";

/** When and as what the system last saw a file or folder change: seconds and nanoseconds of mtime and ctime, inode. */
export type Stamp = readonly [
  mtime: number,
  mtimeNs: number,
  ctime: number,
  ctimeNs: number,
  inode: number,
  size: number,
];

export interface IndexedFolder {
  /** Relative to the OpenDV root, with `/`. */
  path: string;
  split?: Split;
  youtuber?: string;
  videoId: string;
  /** Undefined where the folder had changed just before it was listed: such a listing is not used again. */
  stamp?: Stamp;
  scan: FolderScan;
}

/** CAM_FRONT images of one scene in the order of their chain. */
export interface IndexedChain {
  scene: string;
  sceneToken: string;
  /** Paths below the nuScenes root. */
  files: string[];
  /** Whether each is a key frame. */
  keyFrames: boolean[];
}

export interface DatasetIndex {
  opendv?: {
    /** As it was given, for people; paths are relative to it. */
    root: string;
    folders: IndexedFolder[];
  };
  nuscenes?: {
    root: string;
    version: string;
    /** Of sample_data.json. */
    stamp?: Stamp;
    chains: IndexedChain[];
  };
}
