export declare const CHANNELS: string[];

export interface MakeNuScenesOptions {
  scenes?: number;
  /** Key frames of each scene. */
  samples?: number;
  /** Annotations of each sample. */
  boxes?: number;
  version?: string;
  channels?: string[];
  seed?: number;
  files?: "none" | "sparse" | "small";
  lidarseg?: boolean;
  canBus?: boolean;
  sweeps?: boolean;
  width?: number;
  height?: number;
  sceneNumbers?: number[];
  /** Content of each picture, with `files: "small"`. */
  image?: Uint8Array;
}

/** Rows of each table, and how many files the tables name. */
export declare function makeNuScenes(root: string, options?: MakeNuScenesOptions): Record<string, number>;
