/** The content of an index of a data set. */
import type { FolderScan } from "../opendv/folder-listing.js";
import type { VideoFolder } from "../opendv/root.js";

/**
 * The state in which the system last saw a file or folder: the times of its last changes (seconds and nanoseconds of mtime and
 * ctime), its inode and its size in bytes.
 */
export type Stamp = readonly [
  mtime: number,
  mtimeNs: number,
  ctime: number,
  ctimeNs: number,
  inode: number,
  size: number,
];

/** A folder of frames as the index has it. */
export interface IndexedFolder extends VideoFolder {
  /**
   * The state of the folder when it was listed; undefined where it had changed just before, because such a listing is not used
   * again.
   */
  stamp?: Stamp;
  scan: FolderScan;
}

/** The CAM_FRONT images of one scene, in the order of their chain. */
export interface IndexedChain {
  scene: string;
  sceneToken: string;
  /** The paths of the images below the nuScenes root. */
  files: string[];
  /** Whether each image is a key frame. */
  keyFrames: boolean[];
}

/** The index of a data set: the folders of OpenDV-YouTube and the CAM_FRONT chains of nuScenes, as far as they are there. */
export interface DatasetIndex {
  opendv?: {
    /** The root as it was given, for people to read; paths are relative to it. */
    root: string;
    folders: IndexedFolder[];
  };
  nuscenes?: {
    root: string;
    version: string;
    /** The state of sample_data.json. */
    stamp?: Stamp;
    chains: IndexedChain[];
  };
}
