/** The work of `vista-data annos …`, once the options are read. */
import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { firstNames, VistaError } from "../../core/errors.js";
import { prepareOutput } from "../../core/io/output.js";
import { requireEnding } from "../../core/io/output-names.js";
import { writeInterpolatedTables } from "../annotations/make/interpolate.js";
import { type NuScenesAnnotationResult, writeNuScenesAnnotations } from "../annotations/make/nuscenes.js";
import { readSceneChoice } from "../annotations/make/source.js";
import { writeYouTube } from "../annotations/make/youtube.js";
import { findYouTubeClips, type SplitChoice } from "../annotations/make/youtube-sources.js";
import { readIndex } from "../frame-index/build.js";
import { keepInputs } from "../keep-inputs.js";
import { recognise } from "../recognise.js";

interface MakeOptions extends PrintOptions {
  output?: string;
  split: string;
  version?: string;
  force?: boolean;
}

/** The number of scenes without CAN bus messages that are named. */
const NAMED = 30;

/**
 * Returns the annotation file to write: the one that is named, or the usual one of Vista's for the split.
 *
 * @param subset  the name of Vista's file for training, without its ending
 * @throws VistaError `USAGE` where the split has no usual file, or the name is not that of a JSON file
 */
function annotationFile({ output, split }: { output?: string; split: string }, subset: string): string {
  const usual: Partial<Record<string, string>> = {
    train: `annos/${subset}.json`,
    val: `annos/${subset}_val.json`,
  };
  const path = output ?? usual[split];
  if (path === undefined) {
    throw new VistaError("USAGE", `--split ${split} needs a name for the file`, {
      hint: `Give it with -o, -o annos/${subset}_mini.json say.`,
    });
  }
  requireEnding(path, [".json"], "the annotation file is JSON");
  return path;
}

export async function runAnnosNuScenes(
  root: string,
  options: MakeOptions & { clip: number; keyFrames: number },
  context: CommandContext,
): Promise<void> {
  const { clip, keyFrames, version, force = false } = options;
  const path = annotationFile(options, "nuScenes");
  const split = await readSceneChoice(options.split);
  if (Array.isArray(split)) keepInputs(path, [options.split]);
  const written = await runWithProgress(options.quiet, context.signal, (run) =>
    writeNuScenesAnnotations(root, path, { ...run, split, clip, keyFrames, force, version }),
  );
  printResult(
    options,
    { command: "annos nuscenes", path, split: options.split, clip, keyFrames, ...written },
    describe(path, options.split, clip, written),
  );
}

function describe(path: string, split: string, clip: number, made: NuScenesAnnotationResult): string[] {
  const { records, samples, skipped, noCanBus, commands, scenes, scenesWanted } = made;
  const of = scenes === scenesWanted ? "" : ` of ${formatCount(scenesWanted)}`;
  const lines = [
    `${path}: ${plural(records, "record")} of ${plural(clip, "frame")}, ${formatBytes(made.bytes)}`,
    `  from ${plural(samples, "sample")} of ${formatCount(scenes)}${of} ${scenesWanted === 1 ? "scene" : "scenes"} (${split}, ${made.version})`,
    `  no record: ${plural(skipped.endOfScene, "sample")} near the end of their scene, ${formatCount(skipped.chainTooShort)} with too few frames, ${formatCount(skipped.noKeyFrame)} without a key frame where one is needed`,
    `  commands: ${Object.entries(commands)
      .map(([name, count]) => `${name} ${formatCount(count)}`)
      .join(", ")}`,
    `  speed and angle: ${plural(made.speeds, "record")}; goal in the picture: ${plural(made.goals, "record")}`,
  ];
  if (noCanBus.scenes.length > 0) {
    const named = noCanBus.scenes.slice(0, NAMED).sort().join(", ");
    const more = noCanBus.scenes.length > NAMED ? " …" : "";
    lines.push(
      `note: ${plural(noCanBus.scenes.length, "scene")} without CAN bus messages, ${plural(noCanBus.records, "record")} without speed and angle: ${named}${more}`,
    );
  }
  if (made.repeatedKeyFrames > 0) {
    lines.push(
      `note: ${plural(made.repeatedKeyFrames, "sample")} with two key frames of one sensor; the last in the table counts, as in nuscenes-devkit`,
    );
  }
  return lines;
}

export async function runAnnosNuScenes12Hz(
  root: string,
  options: MakeOptions & { out?: string },
  context: CommandContext,
): Promise<void> {
  const { output = options.out, version, force = false } = options;
  const split = await readSceneChoice(options.split);
  const made = await runWithProgress(options.quiet, context.signal, (run) =>
    writeInterpolatedTables(root, output, { ...run, split, force, version }),
  );
  const lines = [
    `${made.folder}: ${plural(made.samples, "sample")} at 12 Hz from ${formatCount(made.keySamples)} at 2 Hz, of ${plural(made.scenes, "scene")} (${options.split}, ${made.version})`,
    `  ${formatCount(made.annotations)} boxes, ${formatCount(made.sampleData)} rows of sample_data, ${formatBytes(made.bytes)}`,
  ];
  if (made.unattached > 0) {
    lines.push(
      `note: ${formatCount(made.unattached)} boxes and key frames of samples that are not there were left out`,
    );
  }
  printResult(options, { command: "annos nuscenes-12hz", split: options.split, ...made }, lines);
}

export async function runAnnosYouTube(
  root: string,
  options: MakeOptions & {
    split: SplitChoice;
    stride: number;
    clip: number;
    fromLanguage?: string[];
    index?: string;
  },
  context: CommandContext,
): Promise<void> {
  const { split, clip, stride, fromLanguage, force = false } = options;
  const path = annotationFile(options, "YouTube");
  await prepareOutput(path, 0, { force });
  const { opendv } = recognise(root, { kinds: ["opendv"], orNothing: fromLanguage !== undefined });
  keepInputs(path, [options.index, ...(fromLanguage ?? []), ...(opendv?.found.metaFiles ?? [])]);
  const written = await runWithProgress(options.quiet, context.signal, async (run) => {
    const previous = options.index === undefined ? undefined : await readIndex(options.index);
    const sources = await findYouTubeClips(root, { ...run, split, languageFiles: fromLanguage, previous });
    return writeYouTube(path, sources, { ...run, clip, stride, force });
  });
  const { tooShort } = written;
  const lines = [
    `${path}: ${plural(written.clips, "clip")} of ${plural(clip, "frame")} from ${plural(written.folders, "video")} (${split}), ${formatBytes(written.bytes)}`,
  ];
  if (tooShort.length > 0) {
    lines.push(
      `no clip: ${plural(tooShort.length, "folder")} without ${clip} frames in a row (${firstNames(tooShort)})`,
    );
  }
  printResult(options, { command: "annos youtube", path, split, clip, stride, ...written }, lines);
}
