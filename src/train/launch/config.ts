/** Vista's training configs, which are read, merged and overridden here as train.py does it with OmegaConf. */

import { VistaError } from "../../core/errors.js";
import { isRecord } from "../../core/maps.js";
import { parseYaml, readYaml } from "../../core/yaml.js";

export type ConfigTree = { [key: string]: unknown };

/**
 * Reads the config files and merges them from left to right: mappings are merged key by key, everything else is replaced.
 *
 * @throws VistaError `NOT_FOUND` or `FORMAT` with the file
 */
export async function readConfigs(paths: readonly string[]): Promise<ConfigTree> {
  let merged: ConfigTree = emptyTree();
  for (const path of paths) merged = mergeConfigs(merged, await readConfig(path), path);
  return merged;
}

async function readConfig(path: string): Promise<ConfigTree> {
  // To OmegaConf a file without anything is a config without keys.
  const value = (await readYaml(path, "read the config", { python: true })) ?? emptyTree();
  if (!isRecord(value)) throw new VistaError("FORMAT", "the config is not a mapping", { path });
  return value;
}

/** Makes a tree without a prototype, so that no key of a file is one of `Object.prototype`. */
function emptyTree(): ConfigTree {
  return Object.create(null) as ConfigTree;
}

/**
 * Merges two configs as OmegaConf does: `???` stands for no value.
 *
 * @param path  the file or argument that `right` comes from, for messages
 * @throws VistaError `FORMAT` where one has a list and the other a mapping, which OmegaConf does not merge
 */
export function mergeConfigs(left: ConfigTree, right: ConfigTree, path: string, above = ""): ConfigTree {
  const merged = Object.assign(emptyTree(), left);
  for (const [key, value] of Object.entries(right)) {
    const old = merged[key];
    if (value === MISSING && old !== undefined) continue;
    if ((Array.isArray(old) && isRecord(value)) || (isRecord(old) && Array.isArray(value))) {
      const what = isRecord(old)
        ? "a mapping in the config and a list"
        : "a list in the config and a mapping";
      throw new VistaError("FORMAT", `${above}${key} is ${what} here, which OmegaConf does not merge`, {
        path,
        hint: "Give a list as a whole, key=[A,B]; an element alone cannot be set.",
      });
    }
    merged[key] =
      isRecord(old) && isRecord(value) ? mergeConfigs(old, value, path, `${above}${key}.`) : value;
  }
  return merged;
}

/** OmegaConf's word for a value that is yet to be given. */
const MISSING = "???";

/** Splits a dotted key: `a.b[0].c` becomes `["a", "b", "0", "c"]`. */
export function splitKey(key: string): string[] {
  return key.replace(/\[([^\]]*)\]/g, ".$1").split(".");
}

/** Returns the value at a dotted key; undefined where there is none. */
export function getPath(tree: unknown, key: string): unknown {
  let value: unknown = tree;
  for (const part of splitKey(key)) {
    if (Array.isArray(value)) value = value[Number(part)];
    else if (isRecord(value) && Object.hasOwn(value, part)) value = value[part];
    else return undefined;
  }
  return value;
}

/**
 * Applies `dotted.key=value` arguments; the value is YAML, as it is to OmegaConf.
 *
 * @throws VistaError `FORMAT` for a value that is not YAML, or that cannot be merged
 */
export async function applyDotted(tree: ConfigTree, assignments: readonly string[]): Promise<ConfigTree> {
  let given = emptyTree();
  for (const assignment of assignments) {
    const at = assignment.indexOf("=");
    let value = await parseYaml(assignment.slice(at + 1), assignment, { python: true });
    for (const part of splitKey(assignment.slice(0, at)).reverse()) {
      value = Object.assign(emptyTree(), { [part]: value });
    }
    given = mergeConfigs(given, value as ConfigTree, assignment);
  }
  return mergeConfigs(tree, given, assignments.join(" "));
}

/** Follows `${another.key}`, which stands for the value of that key; other interpolations are left as they are. */
export function resolved(config: ConfigTree, value: unknown): unknown {
  let found = value;
  for (let links = 0; typeof found === "string" && links < 10; links++) {
    const [, key] = /^\$\{([\w[\]][\w.[\]]*)\}$/.exec(found) ?? [];
    if (key === undefined) break;
    found = getPath(config, key);
  }
  return found;
}
