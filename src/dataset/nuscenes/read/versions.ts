/** The versions of the tables that a root has. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { VistaError } from "../../../core/errors.js";
import { entriesIn } from "../../../core/io/regular.js";
import { compareText } from "../../../core/text.js";

const ORDER = ["v1.0-mini", "v1.0-trainval", "v1.0-test"];

/**
 * Returns the names of the versions in a root: mini first, then trainval, then test, then others.
 *
 * @param named  a folder that the user names as a version, which is one whatever its name is
 * @param most  how many entries of the root are looked at
 * @throws VistaError `IO` where the root is there and cannot be listed: then nobody knows
 */
export function nuScenesVersions(root: string, named?: string, most?: number): string[] {
  const rank = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const hasTables = (name: string) =>
    ["sample_data", "scene", "sample"].some((table) => existsSync(join(root, name, `${table}.json`)));
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
