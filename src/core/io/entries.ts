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
  readonly isFile: boolean;
  /** Whether it is a symbolic link, which may lead to a folder or a file. */
  readonly isLink: boolean;
}

/** Returns the entry for a file or a folder at a URL, where there are no links. */
export function remoteEntry(name: string, isFolder: boolean): Entry {
  return { name, isFolder, isFile: !isFolder, isLink: false };
}
