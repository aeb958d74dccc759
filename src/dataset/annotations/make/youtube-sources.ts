/** The choice of the clips that YouTube.json gets: those of the frames on disk, or those that DriveAGI's language files name. */

import { posix } from "node:path";
import type { RunOptions } from "../../../core/progress.js";
import { compareText } from "../../../core/text.js";
import { indexParts } from "../../frame-index/build.js";
import type { LanguageFolder } from "../../frame-index/collect-language.js";
import type { DatasetIndex } from "../../frame-index/dataset-index.js";
import { readLarge } from "../../frame-index/index-task.js";
import type { FolderScan } from "../../opendv/folder-listing.js";
import { readSplits, type Split } from "../../opendv/meta.js";
import { intersectRuns, type Runs } from "../../opendv/runs.js";
import { pathFrom } from "../../paths.js";
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
  split?: SplitChoice | undefined;
  /** The language files of DriveAGI that limit the clips to the frames that they speak of. */
  languageFiles?: readonly string[] | undefined;
  /** An earlier index of the same data: folders that have not changed since are not listed again. */
  previous?: DatasetIndex | undefined;
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

/** Returns the clips that start in some runs of a folder, which the loader finds by another path; none where it has no frames. */
function clipsOf(
  { opendv }: DataParts,
  path: string,
  scan: FolderScan | undefined,
  runs: Runs,
): ClipSource[] {
  if (opendv === undefined || scan?.layout === undefined) return [];
  const prefix = pathFrom(opendv.dataRoot, opendv.found.root);
  return [{ folderName: posix.join(prefix, path), layout: scan.layout, runs }];
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
  return (index.opendv?.folders ?? [])
    .filter((folder) => wanted(split, folder.split, listed.get(folder.videoId)))
    .flatMap(({ path, scan }) => clipsOf(parts, path, scan, scan.runs));
}

/** Returns the clips of the language files: those that are there where there are frames at hand, and otherwise all. */
function languageSources(
  folders: readonly LanguageFolder[],
  index: DatasetIndex,
  parts: DataParts,
  split: SplitChoice,
): ClipSource[] {
  const scans = new Map(index.opendv?.folders.map((folder) => [folder.path, folder.scan]));
  return folders
    .filter(({ folder }) => wanted(split, splitOfPath(folder)))
    .sort((a, b) => compareText(a.folder, b.folder))
    .flatMap(({ folder, layout, runs }) => {
      if (scans.size === 0) return [{ folderName: folder, layout, runs }];
      const scan = scans.get(folder);
      return clipsOf(parts, folder, scan, intersectRuns(runs, scan?.runs ?? []));
    });
}
