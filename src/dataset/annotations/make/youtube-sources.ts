/** Which clips YouTube.json gets: those of the frames on disk, or those that DriveAGI's language files speak of. */

import { relative, sep } from "node:path";
import { VistaError } from "../../../core/errors.js";
import type { RunOptions } from "../../../core/progress.js";
import { compareText } from "../../../core/text.js";
import { indexLocated } from "../../frame-index/build.js";
import type { LanguageFolder } from "../../frame-index/collect-language.js";
import type { DatasetIndex } from "../../frame-index/dataset-index.js";
import { intersectRuns, readLanguage } from "../../frame-index/language.js";
import { type LocatedData, locateData } from "../../frame-index/locate.js";
import { readMeta, type Split } from "../../opendv/meta.js";
import { splitOfPath } from "../clips.js";
import type { ClipSource } from "./youtube.js";

export type SplitChoice = "train" | "val" | "all";

export interface FindClipsOptions extends RunOptions {
  /** Videos whose clips are wanted. Default `train`: a video is left out if its folder or the list of videos says `val`. */
  split?: SplitChoice;
  /** Only frames that these language files of DriveAGI's speak of. */
  languageFiles?: readonly string[];
  /** An earlier index of the same data: folders that have not changed since are not listed again. */
  previous?: DatasetIndex;
}

/**
 * The folders of an OpenDV-YouTube root (or of `data/YouTube` below a Vista root) with the frames that clips may start
 * from, in the order of {@link writeYouTube}'s records.
 *
 * @throws VistaError `NOT_FOUND` where there are no frames (and no language files to name some), `IO`, `FORMAT`, `ABORTED`
 */
export async function findYouTubeClips(root: string, options: FindClipsOptions = {}): Promise<ClipSource[]> {
  const { split = "train", languageFiles, previous, ...run } = options;
  const { nuscenes: _, ...located } = locateData(root);
  const { index } = await indexLocated(located, { ...run, previous });
  if (languageFiles === undefined) return sourcesOnDisk(index, located, split);
  return languageSources(await readLanguage([...languageFiles], run), index, located, split);
}

/** What the loader puts before the path of a folder of this set. */
function loaderPrefix({ opendv }: LocatedData): string {
  if (opendv === undefined) return "";
  const prefix = relative(opendv.dataRoot, opendv.found.root).split(sep).join("/");
  return prefix === "" ? "" : `${prefix}/`;
}

/** Clips are of the wanted split where neither the folder nor the list of videos says otherwise. */
function wanted(want: SplitChoice, ...said: (Split | undefined)[]): boolean {
  if (want === "all") return true;
  const known = said.filter((split) => split !== undefined);
  return want === "val" ? known.includes("val") : !known.includes("val");
}

async function sourcesOnDisk(
  index: DatasetIndex,
  located: LocatedData,
  split: SplitChoice,
): Promise<ClipSource[]> {
  if (located.opendv === undefined) {
    throw new VistaError("NOT_FOUND", "no OpenDV-YouTube frames here: YouTube.json is made from them", {
      hint: "Name a root with full_images, or a Vista root with data/YouTube.",
    });
  }
  const listed = new Map<string, Split>();
  for (const file of located.opendv.found.metaFiles) {
    for (const video of (await readMeta(file)).videos) {
      if (video.split !== undefined) listed.set(video.videoId, video.split);
    }
  }
  const prefix = loaderPrefix(located);
  return (index.opendv?.folders ?? [])
    .filter((folder) => wanted(split, folder.split, listed.get(folder.videoId)))
    .flatMap(({ path, scan }) =>
      scan.layout === undefined
        ? []
        : [{ folderName: `${prefix}${path}`, layout: scan.layout, runs: scan.runs }],
    );
}

/** With frames at hand, those of the language files that are there; without any, all that the files speak of. */
function languageSources(
  folders: readonly LanguageFolder[],
  index: DatasetIndex,
  located: LocatedData,
  split: SplitChoice,
): ClipSource[] {
  const prefix = loaderPrefix(located);
  const scans = new Map(index.opendv?.folders.map((folder) => [folder.path, folder.scan]));
  return folders
    .filter(({ folder }) => wanted(split, splitOfPath(folder)))
    .sort((a, b) => compareText(a.folder, b.folder))
    .flatMap(({ folder, layout, runs }) => {
      if (scans.size === 0) return [{ folderName: folder, layout, runs }];
      const scan = scans.get(folder);
      if (scan?.layout === undefined) return [];
      return [
        { folderName: `${prefix}${folder}`, layout: scan.layout, runs: intersectRuns(runs, scan.runs) },
      ];
    });
}
