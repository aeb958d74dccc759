/** The place of the tables that annotation files are made from, and the choice of scenes. */
import { existsSync } from "node:fs";
import { cannot, firstNames, VistaError } from "../../../core/errors.js";
import { readRegular } from "../../../core/io/regular.js";
import { noVersion } from "../../nuscenes/read/versions.js";
import { officialScenes, SPLIT_NAMES, type SplitName } from "../../nuscenes/splits.js";
import { recognise } from "../../recognise.js";

/** The scenes that are wanted: an official split, all of them, or the names of some. */
export type SceneChoice = SplitName | "all" | readonly string[];

export interface NuScenesSource {
  /** The folder that holds the version, `samples` and `can_bus`. */
  root: string;
  version: string;
}

/**
 * Finds the tables that annotations are made from. Of several versions, the one that the split belongs to is taken.
 *
 * @throws VistaError `NOT_FOUND`, `AMBIGUOUS`
 */
export function findNuScenes(root: string, version: string | undefined, scenes: SceneChoice): NuScenesSource {
  const { root: path, versions } = recognise(root, { kinds: ["nuscenes"], version }).nuscenes!;
  const own = version ?? (typeof scenes === "string" ? versionOf(scenes) : undefined);
  const only = version === undefined && versions.length === 1 ? versions[0] : undefined;
  const chosen = only ?? versions.find((name) => name === own);
  if (chosen !== undefined) return { root: path, version: chosen };
  if (version !== undefined) throw noVersion(path, version, versions);
  throw new VistaError("AMBIGUOUS", `holds ${versions.length} versions: ${versions.join(", ")}`, {
    path,
    hint: "Name one with --version.",
  });
}

function versionOf(split: SplitName | "all"): string | undefined {
  if (split === "all") return undefined;
  if (split === "test") return "v1.0-test";
  return split.startsWith("mini") ? "v1.0-mini" : "v1.0-trainval";
}

/** Returns the names of the scenes that are asked for; undefined where all that there are are wanted. */
export function sceneNames(scenes: SceneChoice): ReadonlySet<string> | undefined {
  if (scenes === "all") return undefined;
  return typeof scenes === "string" ? officialScenes(scenes) : new Set(scenes);
}

/**
 * Reads what a person means by a split: an official one, `all`, or a file of scene names (one a line, where `#` starts a remark;
 * or a JSON list).
 *
 * @throws VistaError `USAGE` where it is none of them, `FORMAT`, `IO`
 */
export async function readSceneChoice(text: string): Promise<SceneChoice> {
  if (text === "all" || (SPLIT_NAMES as readonly string[]).includes(text)) return text as SplitName | "all";
  if (!existsSync(text)) {
    const known = [...SPLIT_NAMES, "all"].join(", ");
    throw new VistaError("USAGE", `--split ${text} is neither an official split nor a file of scene names`, {
      hint: `Name one of ${known}, or a file with a name a line, scene-0001 say.`,
    });
  }
  const bytes = await readRegular(text).catch(cannot("read the list of scenes", text));
  const content = String(bytes).replace(/^\ufeff/, "");
  const names = content.trimStart().startsWith("[") ? parseList(content, text) : lines(content);
  const odd = names.filter((name) => /\s/.test(name));
  if (names.length === 0 || odd.length > 0) {
    const what = odd.length > 0 ? `a line is no scene name: ${firstNames(odd, 1)}` : "names no scene";
    throw new VistaError("FORMAT", what, { path: text, hint: "One name a line, scene-0001 say." });
  }
  return names;
}

function lines(content: string): string[] {
  return content
    .split(/\r?\n/)
    .map((line) => line.replace(/#.*$/, "").trim())
    .filter((line) => line !== "");
}

const LISTS = "Give a JSON list of names, or a text file with one name a line, scene-0001 say.";

function parseList(content: string, path: string): string[] {
  let list: unknown;
  try {
    list = JSON.parse(content);
  } catch (error) {
    const what = `is not JSON: ${(error as Error).message}`;
    throw new VistaError("FORMAT", what, { path, cause: error, hint: LISTS });
  }
  if (Array.isArray(list) && list.every((name) => typeof name === "string")) return list;
  throw new VistaError("FORMAT", "is not a list of scene names", { path, hint: LISTS });
}
