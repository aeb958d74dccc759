/** The versions of the tables that a root has. */

import { join } from "node:path";
import { VistaError } from "../../../core/errors.js";
import { entriesIn } from "../../../core/io/regular.js";
import { compareText } from "../../../core/text.js";
import { ALL_TABLES, LABEL_TABLES } from "./schema.js";

/** The files of the tables that make a folder a version; the archives of labels have the others, and folders for all versions. */
const OWN_TABLES = new Set(
  ALL_TABLES.filter((name) => name !== "category" && !LABEL_TABLES.includes(name)).map(
    (name) => `${name}.json`,
  ),
);

const ORDER = ["v1.0-mini", "v1.0-trainval", "v1.0-test"];

/**
 * Returns the names of the versions in a root: mini first, then trainval, then test, then others. A folder with one table is one:
 * the others are missing there.
 *
 * @param named  a folder that the user names as a version, which is one whatever its name is
 * @param most  how many entries of the root are looked at
 * @throws VistaError `IO` where the root, or a folder named like a version, is there and cannot be listed: then nobody knows
 */
export function nuScenesVersions(root: string, named?: string, most?: number): string[] {
  const rank = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const hasTables = (name: string) => entriesIn(join(root, name)).some((entry) => OWN_TABLES.has(entry.name));
  return entriesIn(root, most)
    .map(({ name }) => name)
    .filter((name) => name === named || (/^v\d+\.\d+/.test(name) && hasTables(name)))
    .sort((a, b) => rank(a) - rank(b) || compareText(a, b));
}

/** Returns the error for a root without the version that is wanted; `found` are those that it has. */
export function noVersion(root: string, version: string | undefined, found: readonly string[]): VistaError {
  const there = found.length === 0 ? "no version folder" : found.join(", ");
  return new VistaError("NOT_FOUND", `no ${version ?? "v1.0-…"} with nuScenes tables here (${there} found)`, {
    path: root,
    hint: "Name the folder that holds v1.0-mini, v1.0-trainval or v1.0-test.",
  });
}
