/** What is at a path, and what a folder holds. */

export interface PlaceKind {
  readonly isFile: boolean;
  readonly isFolder: boolean;
  /** Bytes of a file; 0 for anything else. */
  readonly size: number;
}

export interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
  /** True for a symbolic link, which may lead to a folder. */
  readonly isLink: boolean;
}

export interface RemoteEntry {
  readonly name: string;
  readonly isFolder: boolean;
}
