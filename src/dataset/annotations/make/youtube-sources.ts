/** The choice of the clips that YouTube.json gets: those of the frames on disk, or those that DriveAGI's language files name. */

import { posix, relative, sep } from "node:path";
import type { RunOptions } from "../../../core/progress.js";
import { compareText } from "../../../core/text.js";
import { indexParts } from "../../frame-index/build.js";
import type { LanguageFolder } from "../../frame-index/collect-language.js";
import type { DatasetIndex } from "../../frame-index/dataset-index.js";
import { readLarge } from "../../frame-index/index-task.js";
import { readSplits, type Split } from "../../opendv/meta.js";
import { intersectRuns } from "../../opendv/runs.js";
import { type DataParts, recognise } from "../../recognise.js";
import { splitOfPath } from "../clips.js";
import type { ClipSource } from "./youtube.js";

/** The videos whose clips are wanted. */
export type SplitChoice = "train" | "val" | "all";

/** The options of {@link findYouTubeClips}. */
export interface FindClipsOptions extends RunOptions {
  /**
   * The videos whose clips are wanted. The default is `train`, which leaves a video out if its folder or the list of videos says
   * `val`.
   */
  split?: SplitChoice;
  /** The language files of DriveAGI that limit the clips to the frames that they speak of. */
  languageFiles?: readonly string[];
  /** An earlier index of the same data: folders that have not changed since are not listed again. */
  previous?: DatasetIndex;
}

/**
 * Finds the folders of an OpenDV-YouTube root (or of `data/YouTube` below a Vista root) with the frames that clips may start
 * from, in the order of {@link writeYouTube}'s records.
 *
 * @throws VistaError `NOT_FOUND` where there are no frames (and no language files to name some), `IO`, `FORMAT`, `ABORTED`
 */
export async function findYouTubeClips(root: string, options: FindClipsOptions = {}): Promise<ClipSource[]> {
  const { split = "train", languageFiles, previous, ...run } = options;
  const parts = recognise(root, { kinds: ["opendv"], orNothing: languageFiles !== undefined });
  const { index } = await indexParts(parts, { ...run, previous });
  if (languageFiles === undefined) return sourcesOnDisk(index, parts, split);
  const named = await readLarge("language", languageFiles, languageFiles, run);
  return languageSources(named, index, parts, split);
}

/** Returns what the loader puts before the path of a folder of this set. */
function loaderPrefix({ opendv }: DataParts): string {
  if (opendv === undefined) return "";
  return relative(opendv.dataRoot, opendv.found.root).split(sep).join("/");
}

/** Tells whether a clip is of the wanted split; `said` holds what the folder and the list of videos say about it. */
function wanted(want: SplitChoice, ...said: (Split | undefined)[]): boolean {
  if (want === "all") return true;
  const known = said.filter((split) => split !== undefined);
  return want === "val" ? known.includes("val") : !known.includes("val");
}

async function sourcesOnDisk(
  index: DatasetIndex,
  parts: DataParts,
  split: SplitChoice,
): Promise<ClipSource[]> {
  const listed = await readSplits(parts.opendv?.found.metaFiles ?? []);
  const prefix = loaderPrefix(parts);
  return (index.opendv?.folders ?? [])
    .filter((folder) => wanted(split, folder.split, listed.get(folder.videoId)))
    .flatMap(({ path, scan }) =>
      scan.layout === undefined
        ? []
        : [{ folderName: posix.join(prefix, path), layout: scan.layout, runs: scan.runs }],
    );
}

/** Returns the clips of the language files: those that are there where there are frames at hand, and otherwise all. */
function languageSources(
  folders: readonly LanguageFolder[],
  index: DatasetIndex,
  parts: DataParts,
  split: SplitChoice,
): ClipSource[] {
  const prefix = loaderPrefix(parts);
  const scans = new Map(index.opendv?.folders.map((folder) => [folder.path, folder.scan]));
  return folders
    .filter(({ folder }) => wanted(split, splitOfPath(folder)))
    .sort((a, b) => compareText(a.folder, b.folder))
    .flatMap(({ folder, layout, runs }) => {
      if (scans.size === 0) return [{ folderName: folder, layout, runs }];
      const scan = scans.get(folder);
      if (scan?.layout === undefined) return [];
      return [
        { folderName: posix.join(prefix, folder), layout: scan.layout, runs: intersectRuns(runs, scan.runs) },
      ];
    });
}
