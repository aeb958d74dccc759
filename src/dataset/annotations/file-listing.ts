/** The files that frames of nuScenes name. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isSystemError, rethrowExhausted } from "../../core/errors.js";
import { requireSearchable, sizeOf } from "../../core/io/regular.js";
import { loaderPath } from "./clips.js";

/** The files that are there, found by listing each folder once; a link counts as what it leads to, a folder or a pipe as nothing. */
export class FileListing {
  /** The names in each folder, with whether it is a file; `undefined` is for a link that nobody has followed yet. */
  readonly #folders = new Map<string, Map<string, boolean | undefined> | undefined>();

  constructor(private readonly root: string) {}

  /** Looks for a file. @returns the folder's part of `path` where the file is not there, or undefined where it is */
  missing(path: string): string | undefined {
    const slash = path.lastIndexOf("/");
    const folder = path.slice(0, Math.max(slash, 0));
    if (!this.#folders.has(folder)) this.#folders.set(folder, this.#list(folder));
    const names = this.#folders.get(folder);
    const name = path.slice(slash + 1);
    if (!names?.has(name)) return folder;
    const isFile = names.get(name) ?? sizeOf(join(this.#path(folder), name)) !== -1;
    names.set(name, isFile);
    return isFile ? undefined : folder;
  }

  #list(folder: string): Map<string, boolean | undefined> | undefined {
    try {
      const entries = readdirSync(this.#path(folder), { withFileTypes: true });
      requireSearchable(this.#path(folder));
      return new Map(
        entries.map((entry) => [entry.name, entry.isSymbolicLink() ? undefined : entry.isFile()]),
      );
    } catch (error) {
      if (!isSystemError(error)) throw error;
      rethrowExhausted(error);
      return undefined;
    }
  }

  #path(folder: string): string {
    return loaderPath(this.root, folder);
  }
}
