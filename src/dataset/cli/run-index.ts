/** What `vista-data index` does once its options are read. */

import { existsSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import { printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { createProgressView } from "../../core/cli/progress.js";
import { isVistaError, VistaError } from "../../core/errors.js";
import { prepareOutput, writeWhole } from "../../core/io/output.js";
import type { Progress, RunOptions } from "../../core/progress.js";
import { splitOfPath } from "../annotations/clips.js";
import { buildIndex, readIndex } from "../frame-index/build.js";
import { type DatasetIndex, encodeIndex } from "../frame-index/format.js";
import { intersectRuns, type LanguageFolder, readLanguage } from "../frame-index/language.js";
import { type LocatedData, locateData } from "../frame-index/locate.js";
import { type ClipSource, writeYouTube, type YouTubeResult } from "../frame-index/youtube.js";
import { readMeta, type Split } from "../opendv/meta.js";
import { countFrames } from "../opendv/runs.js";
import type { IndexCommandOptions } from "./index-command.js";

const DEFAULT_NAME = "vista-data.index";

export async function runIndex(
  root: string,
  options: IndexCommandOptions,
  context: CommandContext,
): Promise<void> {
  if (options.clip < 1 || options.stride < 1) {
    throw new VistaError("USAGE", "--clip and --stride must be at least 1");
  }
  if (options.fromLanguage !== undefined && options.annos === undefined) {
    throw new VistaError("USAGE", "--from-language needs --annos: it says what to write there");
  }
  if (options.annos !== undefined) await prepareOutput(options.annos, 0, { force: options.force ?? false });
  const view = await createProgressView(options.quiet ?? false);
  let last: Progress | undefined;
  const onProgress = (progress: Progress) => {
    last = progress;
    view.update(progress);
  };
  const run: RunOptions = { signal: context.signal, onProgress };
  try {
    const located = locateData(root);
    if (options.output === undefined && located.opendv?.found.folders[0]?.path === ".") {
      throw new VistaError(
        "USAGE",
        `${root} is a folder of frames: name another place for the index with -o`,
      );
    }
    const path = options.output ?? join(root, DEFAULT_NAME);
    const previous = existsSync(path) ? await readIndex(path) : undefined;
    const { index, read, reused } = await buildIndex(root, {
      ...run,
      located,
      ...(previous === undefined ? {} : { previous }),
    });
    const bytes = encodeIndex(index);
    // The long part first: whoever stops it finds everything as it was, the old index among it.
    const annos =
      options.annos === undefined ? undefined : await writeAnnos(options.annos, index, located, options, run);
    await writeWhole(path, bytes, { force: true });
    view.stop();
    print(options, { path, bytes: bytes.byteLength, read, reused, index, annos });
  } catch (error) {
    if (!isVistaError(error) || error.code !== "ABORTED" || last === undefined) throw error;
    throw new VistaError("ABORTED", error.message, { hint: covered(last), cause: error });
  } finally {
    view.stop();
  }
}

/** `Covered: index frames, 120 of 2,000 folders.` */
function covered({ phase, done, total, unit }: Progress): string {
  const amount = (value: number) => (unit === "bytes" ? formatBytes(value) : formatCount(value));
  const of = total === undefined ? "" : ` of ${amount(total)}`;
  return `Covered: ${phase}, ${amount(done)}${of}${unit === "bytes" ? "" : ` ${unit}`}.`;
}

async function writeAnnos(
  path: string,
  index: DatasetIndex,
  located: LocatedData,
  options: IndexCommandOptions,
  run: RunOptions,
): Promise<YouTubeResult> {
  const sources =
    options.fromLanguage === undefined
      ? await sourcesOnDisk(index, located, options.split)
      : languageSources(await readLanguage(options.fromLanguage, run), index, located, options.split);
  return writeYouTube(path, sources, {
    ...run,
    clip: options.clip,
    stride: options.stride,
    force: options.force ?? false,
  });
}

/** What the loader puts before the path of a folder of this set. */
function loaderPrefix({ opendv }: LocatedData): string {
  if (opendv === undefined) return "";
  const prefix = relative(opendv.dataRoot, opendv.found.root).split(sep).join("/");
  return prefix === "" ? "" : `${prefix}/`;
}

/** Clips are of the wanted split where neither the folder nor the list of videos says otherwise. */
function wanted(want: "train" | "val" | "all", ...said: (Split | undefined)[]): boolean {
  if (want === "all") return true;
  const known = said.filter((split) => split !== undefined);
  return want === "val" ? known.includes("val") : !known.includes("val");
}

async function sourcesOnDisk(
  index: DatasetIndex,
  located: LocatedData,
  split: IndexCommandOptions["split"],
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
  split: IndexCommandOptions["split"],
): ClipSource[] {
  const prefix = loaderPrefix(located);
  const scans = new Map(index.opendv?.folders.map((folder) => [folder.path, folder.scan]));
  return folders
    .filter(({ folder }) => wanted(split, splitOfPath(folder)))
    .sort((a, b) => (a.folder < b.folder ? -1 : 1))
    .flatMap(({ folder, layout, runs }) => {
      if (scans.size === 0) return [{ folderName: folder, layout, runs }];
      const scan = scans.get(folder);
      if (scan?.layout === undefined) return [];
      return [
        { folderName: `${prefix}${folder}`, layout: scan.layout, runs: intersectRuns(runs, scan.runs) },
      ];
    });
}

interface Outcome {
  path: string;
  bytes: number;
  read: number;
  reused: number;
  index: DatasetIndex;
  annos: YouTubeResult | undefined;
}

function print(options: IndexCommandOptions, { path, bytes, read, reused, index, annos }: Outcome): void {
  const folders = index.opendv?.folders;
  const frames = folders?.reduce((sum, { scan }) => sum + countFrames(scan.runs), 0) ?? 0;
  const chains = index.nuscenes?.chains;
  const images = chains?.reduce((sum, chain) => sum + chain.files.length, 0) ?? 0;
  if (options.json) {
    const object = {
      index: path,
      bytes,
      read,
      reused,
      ...(folders === undefined ? {} : { opendv: { folders: folders.length, frames } }),
      ...(chains === undefined ? {} : { nuscenes: { chains: chains.length, images } }),
      ...(annos === undefined ? {} : { annos: { path: options.annos, split: options.split, ...annos } }),
    };
    process.stdout.write(`${JSON.stringify(object)}\n`);
    return;
  }
  const lines: string[] = [];
  if (folders !== undefined) {
    lines.push(`OpenDV-YouTube: ${plural(folders.length, "video")}, ${plural(frames, "frame")}`);
  }
  if (chains !== undefined) {
    lines.push(
      `nuScenes ${index.nuscenes!.version}: ${plural(chains.length, "CAM_FRONT chain")}, ${plural(images, "image")}`,
    );
  }
  lines.push(
    `${path}: ${formatBytes(bytes)}; ${formatCount(read)} read, ${formatCount(reused)} unchanged since the last index`,
  );
  if (annos !== undefined) {
    lines.push(
      `${options.annos}: ${plural(annos.clips, "clip")} of ${options.clip} frames from ${plural(annos.folders, "video")} (${options.split}), ${formatBytes(annos.bytes)}`,
    );
    if (annos.tooShort.length > 0) {
      const shown = annos.tooShort.slice(0, 3).join(", ");
      lines.push(
        `no clip: ${plural(annos.tooShort.length, "folder")} without ${options.clip} frames in a row (${shown}${annos.tooShort.length > 3 ? " …" : ""})`,
      );
    }
  }
  printLines(lines);
}
