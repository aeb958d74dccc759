/** The types of what is at a path and of what a folder holds. */

export interface PlaceKind {
  readonly isFile: boolean;
  readonly isFolder: boolean;
  /** The size of a file in bytes; 0 for anything else. */
  readonly size: number;
}

export interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
  /** Whether it is a symbolic link, which may lead to a folder. */
  readonly isLink: boolean;
}

export interface RemoteEntry {
  readonly name: string;
  readonly isFolder: boolean;
}
