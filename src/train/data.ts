/** Where Vista's data set classes look for their files. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SUBSETS } from "../dataset/vista-config.js";

/** One data set of a config: its folder and annotation files, as train.py will open them (relative to the checkout). */
export interface Subset {
  name: string;
  root: string;
  annotations: string[];
}

/** Something wrong with the data: an `error` keeps training from starting, a `warning` costs samples. */
export interface DataProblem {
  severity: "error" | "warning";
  /** One line, with file and record. */
  message: string;
}

/** A quick look at the data; src/train/tools.ts has the real one. */
export interface DataTools {
  /**
   * Looks at the annotation files of a subset whose root and annotation files exist.
   *
   * @returns what is wrong; an empty list where nothing is
   */
  quickCheck(subset: Subset, vista: string, signal: AbortSignal | undefined): Promise<DataProblem[]>;
}

/** Where the class of each subset is; people edit `data_root` there, as the documentation tells. */
const CLASSES: Record<string, string> = { NuScenes: "nuscenes.py", YouTube: "youtube.py" };

/** The subsets of a config with the places their classes use; names that no class is known for come apart. */
export async function locateSubsets(
  vista: string,
  names: readonly string[],
): Promise<{ known: Subset[]; unknown: string[] }> {
  const known: Subset[] = [];
  const unknown: string[] = [];
  for (const name of names) {
    const documented = SUBSETS[name];
    const file = CLASSES[name];
    if (documented === undefined || file === undefined) {
      unknown.push(name);
      continue;
    }
    const source = await readFile(join(vista, "vwm/data/subsets", file), "utf8").catch(() => "");
    const root = /\bdata_root\s*=\s*r?["']([^"']+)["']/.exec(source)?.[1];
    const annotations = /\banno_file\s*=\s*(\[[^\]]*\]|r?["'][^"']+["'])/.exec(source)?.[1];
    known.push({
      name,
      root: root ?? documented.data,
      annotations:
        annotations === undefined
          ? [documented.annotations]
          : [...annotations.matchAll(/["']([^"']+)["']/g)].map((match) => match[1]!),
    });
  }
  return { known, unknown };
}

/** True where the checkout maps a name to a data set class of its own (vwm/data/dataset.py of a fork). */
export async function mapsSubset(vista: string, name: string): Promise<boolean> {
  const source = await readFile(join(vista, "vwm/data/dataset.py"), "utf8").catch(() => "");
  return source.includes(`"${name}"`) || source.includes(`'${name}'`);
}
