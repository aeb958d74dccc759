/** The versions of the tables that a root has. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { namesIn } from "../../../core/io/regular.js";
import { compareText } from "../../../core/text.js";

/** Returns the names of the versions in a root: mini first, then trainval, then test, then others. */
export async function nuScenesVersions(root: string): Promise<string[]> {
  const entries = await namesIn(root);
  const order = ["v1.0-mini", "v1.0-trainval", "v1.0-test"];
  const rank = (name: string) => (order.includes(name) ? order.indexOf(name) : order.length);
  return entries
    .filter((name) => /^v\d+\.\d+/.test(name) && existsSync(join(root, name)))
    .filter((name) =>
      ["sample_data", "scene", "sample"].some((table) => existsSync(join(root, name, `${table}.json`))),
    )
    .sort((a, b) => rank(a) - rank(b) || compareText(a, b));
}
