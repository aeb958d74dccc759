/**
 * The writer of `annos/YouTube.json`, which Vista never released: every frame starts a clip, except the last 24 of a run of
 * frames. The loader (`vwm/data/subsets/youtube.py`) joins `folder_name` to `data/YouTube`, takes the part of `first_frame`
 * before its dot for a number, and counts on from it with the same padding and extension.
 */
import { VistaError } from "../../../core/errors.js";
import { type OutputOptions, writeAtomically } from "../../../core/io/output.js";
import type { RunOptions } from "../../../core/progress.js";
import { sum } from "../../../core/sum.js";
import { describeLayout, type FrameLayout, frameName, loaderReads } from "../../opendv/names.js";
import { countClips, type Runs } from "../../opendv/runs.js";
import { requireCount } from "../../options.js";
import { pythonString } from "./python-json.js";
import { TextBlocks } from "./text-blocks.js";

/** A video folder, as Vista's loader finds it. */
export interface ClipSource {
  /** The path below `data/YouTube`, with `/` between parts. */
  folderName: string;
  layout: FrameLayout;
  runs: Runs;
}

/** The options of {@link writeYouTube}. */
export interface YouTubeOptions extends RunOptions, OutputOptions {
  /** The number of frames of a clip. The default is 25, which Vista's loader takes. */
  clip?: number | undefined;
  /** The number of frames from one start to the next. The default is 1. */
  stride?: number | undefined;
}

/** The figures of a YouTube.json that was written. */
export interface YouTubeResult {
  clips: number;
  /** The number of folders with at least one clip. */
  folders: number;
  /** The folders without a single clip, because they have too few frames in a row. */
  tooShort: string[];
  /** The size of the file in bytes. */
  bytes: number;
}

/** The number of bytes of the longest line without the folder's name, for the check of free space. */
const LINE_BYTES = 60;

/**
 * Writes `annos/YouTube.json`.
 *
 * @throws VistaError `UNSUPPORTED` where the loader cannot read the names in a folder, `INCOMPLETE` where there is no clip at
 *   all, `EXISTS`, `NO_SPACE`, `IO`, `ABORTED`
 */
export async function writeYouTube(
  path: string,
  sources: readonly ClipSource[],
  options: YouTubeOptions = {},
): Promise<YouTubeResult> {
  const { clip = 25, stride = 1, signal, onProgress } = options;
  requireCount("clip", clip);
  requireCount("stride", stride);
  const odd = sources.find(({ layout }) => !loaderReads(layout));
  if (odd !== undefined) {
    throw new VistaError("UNSUPPORTED", `frames are named ${describeLayout(odd.layout)}`, {
      path: odd.folderName,
      hint: "Vista's loader takes what is before the dot for a number: rename the frames to plain numbers.",
    });
  }
  const counts = sources.map(({ runs }) => countClips(runs, clip, stride));
  const total = sum(counts);
  if (total === 0) {
    throw new VistaError("INCOMPLETE", `no folder has ${clip} frames in a row: there is no clip to write`, {
      path,
      hint: "Check the root and --split; `vista-data check` says what is missing.",
    });
  }
  const needed = sum(
    sources.entries(),
    ([i, { folderName }]) => counts[i]! * (pythonString(folderName).length + LINE_BYTES),
  );
  const result: YouTubeResult = { clips: total, folders: 0, tooShort: [], bytes: 0 };
  await writeAtomically(path, needed, options, async (file) => {
    const out = new TextBlocks(file, signal);
    out.text = "[";
    let done = 0;
    for (const [i, { folderName, layout, runs }] of sources.entries()) {
      if (counts[i] === 0) {
        result.tooShort.push(folderName);
        continue;
      }
      result.folders++;
      const start = `{"folder_name": ${pythonString(folderName)}, "first_frame": "`;
      for (let run = 0; run < runs.length; run += 2) {
        const last = runs[run + 1]! - clip + 1;
        for (let frame = runs[run]!; frame <= last; frame += stride) {
          out.text += `${done === 0 ? "" : ",\n"}${start}${frameName(layout, frame)}"}`;
          done++;
          if (!out.isFull) continue;
          await out.flush();
          onProgress?.({ phase: "write clips", done, total, unit: "rows" });
        }
      }
    }
    out.text += "]\n";
    await out.flush();
    onProgress?.({ phase: "write clips", done, total, unit: "rows" });
    result.bytes = out.bytes;
  });
  return result;
}
