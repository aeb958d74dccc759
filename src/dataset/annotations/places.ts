/** The places that names of records lead to: `./a`, `b/../a` and a link to `a` are one place with `a`. */
import { realpathSync } from "node:fs";
import { isAbsolute, posix } from "node:path";
import { isSystemError, rethrowExhausted } from "../../core/errors.js";
import { hasEntry } from "../../core/io/regular.js";
import { remember } from "../../core/maps.js";

/** A folder as names have it: the real one, and those of its entries that are links. */
interface NamedFolder {
  path: string;
  links: ReadonlySet<string>;
  /** The first of the names that lead to it, with a slash at its end. */
  name: string;
}

/** Finds the places of names. Each folder is looked at once; where nothing is there, a name alone says its place. */
export class Places {
  readonly #folders = new Map<string, NamedFolder>();
  readonly #names = new Map<string, string>();

  /** @param root  the folder that names start from; undefined where there is nothing to look at */
  constructor(private readonly root: string | undefined) {}

  /** Returns the path of the file that a name leads to, links followed. */
  pathOf(name: string): string {
    const end = name.lastIndexOf("/") + 1;
    const { path, links } = this.#folder(name.slice(0, end));
    const last = name.slice(end);
    const file = `${path}/${last}`;
    return links.has(last) ? realPath(file) : file;
  }

  /** Returns the one name that stands for all names of a file. */
  nameOf(name: string): string {
    const end = name.lastIndexOf("/") + 1;
    const own = name.slice(0, end);
    const folder = this.#folder(own);
    // Most files have one name only, and there are a million of them.
    if (folder.links.size === 0) return folder.name === own ? name : folder.name + name.slice(end);
    const file = this.pathOf(name);
    return this.#nameOf(posix.dirname(file), own) + posix.basename(file);
  }

  #folder(name: string): NamedFolder {
    return remember(this.#folders, name, () => {
      const { root } = this;
      const path =
        root === undefined ? posix.resolve(name) : realPath(isAbsolute(name) ? name : `${root}/${name}`);
      const links = root === undefined ? new Set<string>() : linksIn(path);
      return { path, links, name: this.#nameOf(path, name) };
    });
  }

  /** Returns the name by which a folder was first known. */
  #nameOf(path: string, name: string): string {
    return remember(this.#names, path, () => name);
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
