/** The places where Vista's data set classes look for their files. */

import { join } from "node:path";
import { readRegular } from "../../core/io/regular.js";
import { SUBSETS } from "../../dataset/vista-places.js";

/** A data set of a config: its folder and annotation files, as train.py will open them (relative to the checkout). */
export interface Subset {
  name: string;
  root: string;
  annotations: string[];
}

/** The class of each subset; people edit `data_root` there, as the documentation tells them. */
const CLASSES: Record<string, { file: string; name: string }> = {
  NuScenes: { file: "vwm/data/subsets/nuscenes.py", name: "NuScenesDataset" },
  YouTube: { file: "vwm/data/subsets/youtube.py", name: "YouTubeDataset" },
};
const MAPPING = "vwm/data/dataset.py";

export interface LocatedSubsets {
  known: Subset[];
  /** The names for which no class is known. */
  unknown: string[];
  /** The subsets whose class gives its places in a way that only Python can work out. */
  unclear: { name: string; file: string; parameter: string }[];
}

/** Finds the places that the classes of a config's subsets use. */
export async function locateSubsets(vista: string, names: readonly string[]): Promise<LocatedSubsets> {
  const located: LocatedSubsets = { known: [], unknown: [], unclear: [] };
  const mapping = withoutComments(await read(vista, MAPPING));
  for (const name of names) {
    const documented = SUBSETS.get(name);
    const own = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
    if (documented === undefined || own === undefined) {
      located.unknown.push(name);
      continue;
    }
    // What dataset.py passes takes precedence over the defaults of the class.
    const call = new RegExp(`\\b${own.name}\\(([^()]*)\\)`).exec(mapping)?.[1] ?? "";
    const sources = [call, withoutComments(await read(vista, own.file))];
    const root = findTexts(sources, "data_root", [documented.data]);
    const annotations = findTexts(sources, "anno_file", [documented.annotations]);
    if (root === undefined || annotations === undefined) {
      const parameter = root === undefined ? "data_root" : "anno_file";
      located.unclear.push({ name, file: own.file, parameter });
    } else located.known.push({ name, root: root[0]!, annotations });
  }
  return located;
}

/** Tells whether the checkout maps a name to a data set class of its own (vwm/data/dataset.py of a fork). */
export async function mapsSubset(vista: string, name: string): Promise<boolean> {
  const source = await read(vista, MAPPING);
  return source.includes(`"${name}"`) || source.includes(`'${name}'`);
}

function read(vista: string, file: string): Promise<string> {
  return readRegular(join(vista, file)).then(String, () => "");
}

/** Returns Python source without its comments and the texts in three quotes. */
function withoutComments(source: string): string {
  return source.replace(
    /("""|''')[\s\S]*?\1|("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|#.*/g,
    (_, _triple, text) => text ?? "",
  );
}

const TEXT = /r?(?:"([^"\\]*)"|'([^'\\]*)')/;
const END = /\s*(?=[,)\n]|$)/;
const ONE = new RegExp(`^${TEXT.source}${END.source}`);
const LIST = new RegExp(`^\\[(?:\\s*${TEXT.source}\\s*,?)+\\s*\\]${END.source}`);

/**
 * Finds the text, or list of texts, that a parameter is set to where it is first set.
 *
 * @returns `otherwise` where it is not set; undefined where it is set to anything else: a variable, a call, a sum of texts
 */
function findTexts(sources: readonly string[], parameter: string, otherwise: string[]): string[] | undefined {
  const set = new RegExp(`\\b${parameter}\\s*(?::[^=,()]*)?=(?!=)\\s*`);
  for (const source of sources) {
    const match = set.exec(source);
    if (match === null) continue;
    const value = source.slice(match.index + match[0].length);
    const texts = ONE.exec(value) ?? LIST.exec(value);
    if (texts === null) return undefined;
    return [...texts[0].matchAll(new RegExp(TEXT.source, "g"))].map((text) => (text[1] ?? text[2])!);
  }
  return otherwise;
}
