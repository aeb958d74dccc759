/** The places that names of records lead to: `./a`, `b/../a` and a link to `a` are one place with `a`. */
import { realpathSync } from "node:fs";
import { isAbsolute, posix } from "node:path";
import { isSystemError, rethrowExhausted } from "../../core/errors.js";
import { hasEntry } from "../../core/io/regular.js";
import { remember } from "../../core/maps.js";

/** A file or folder, by the folder that it really is in. */
interface Place {
  folder: string;
  name: string;
}

/** A folder as names have it: the real one, and those of its entries that are links. */
interface NamedFolder {
  path: string;
  links: ReadonlySet<string>;
}

/** Finds the places of names. Each folder is looked at once; where nothing is there, a name alone says its place. */
export class Places {
  readonly #folders = new Map<string, NamedFolder>();

  /** @param root  the folder that names start from; undefined where there is nothing to look at */
  constructor(private readonly root: string | undefined) {}

  /** Returns the place that the name of a file leads to. */
  of(name: string): Place {
    const end = name.lastIndexOf("/") + 1;
    const folder = this.#folder(name.slice(0, end));
    const last = name.slice(end);
    if (!folder.links.has(last)) return { folder: folder.path, name: last };
    const real = realPath(`${folder.path}/${last}`);
    return { folder: posix.dirname(real), name: posix.basename(real) };
  }

  #folder(name: string): NamedFolder {
    return remember(this.#folders, name, () => {
      if (this.root === undefined) return { path: posix.resolve(name), links: new Set() };
      const path = realPath(isAbsolute(name) ? name : `${this.root}/${name}`);
      return { path, links: linksIn(path) };
    });
  }
}

/** Returns the path with all links followed, as the system follows them, or without `.` and `..` where it leads nowhere. */
function realPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    rethrowExhausted(error);
    return posix.resolve(path);
  }
}

function linksIn(folder: string): Set<string> {
  const links = new Set<string>();
  try {
    hasEntry(folder, (entry) => {
      if (entry.isSymbolicLink()) links.add(entry.name);
      return false;
    });
  } catch (error) {
    // What cannot be listed is told where frames are looked for.
    if (!isSystemError(error)) throw error;
    rethrowExhausted(error);
  }
  return links;
}
