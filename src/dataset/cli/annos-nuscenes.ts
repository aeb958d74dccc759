import type { Command } from "commander";
import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import { JSON_OBJECT, type PrintOptions, QUIET, wholeNumber } from "../../core/cli/options.js";
import { requireEnding } from "../../core/cli/output-names.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { VistaError } from "../../core/errors.js";
import type { NuScenesAnnotationResult } from "../annotations/make/nuscenes.js";

interface AnnosNuScenesOptions extends PrintOptions {
  output?: string;
  split: string;
  version?: string;
  clip: number;
  keyFrames: number;
  force?: boolean;
}

const DEFAULT_OUTPUT: Readonly<Record<string, string>> = {
  train: "annos/nuScenes.json",
  val: "annos/nuScenes_val.json",
};

/** The number of scenes without CAN bus messages that are named. */
const NAMED = 30;

export function addAnnosNuScenesCommand(annos: Command, context: CommandContext): void {
  annos
    .command("nuscenes")
    .description(
      "make Vista's nuScenes.json or nuScenes_val.json: frames, trajectory, command, speed, angle, goal",
    )
    .argument("[root]", "nuScenes with its CAN bus, or a folder with data/nuscenes", ".")
    .option(
      "-o, --output <file>",
      "the file (default: annos/nuScenes.json, with --split val annos/nuScenes_val.json)",
    )
    .option(
      "--split <split>",
      "train, val, mini_train, mini_val, test, all, or a file of scene names",
      "train",
    )
    .option(
      "--version <folder>",
      "the tables, v1.0-mini say (default: what is there, or what the split is of)",
    )
    .option("--clip <n>", "frames of a clip, at 12 Hz", wholeNumber(1), 25)
    .option("--key-frames <n>", "samples of a clip, at 2 Hz", wholeNumber(1), 5)
    .option("--force", "replace a file that exists")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText(
      "after",
      `\nExamples:\n  $ vista-data annos nuscenes /data/nuscenes -o annos/nuScenes.json\n  $ vista-data annos nuscenes /data/nuscenes --split val`,
    )
    .action((root: string, options: AnnosNuScenesOptions) => run(root, options, context));
}

async function run(root: string, options: AnnosNuScenesOptions, context: CommandContext): Promise<void> {
  const { clip, keyFrames, version, force = false } = options;
  const path = options.output ?? DEFAULT_OUTPUT[options.split];
  if (path === undefined) {
    throw new VistaError("USAGE", `--split ${options.split} needs a name for the file: -o FILE`);
  }
  requireEnding(path, [".json"], "the annotation file is JSON");
  const [{ runWithProgress }, { readSceneChoice }, { writeNuScenesAnnotations }] = await Promise.all([
    import("../../core/cli/progress.js"),
    import("../annotations/make/source.js"),
    import("../annotations/make/nuscenes.js"),
  ]);
  const split = await readSceneChoice(options.split);
  const written = await runWithProgress(options.quiet, context.signal, (run) =>
    writeNuScenesAnnotations(root, path, { ...run, split, clip, keyFrames, force, version }),
  );
  printResult(
    options,
    { command: "annos nuscenes", path, split: options.split, clip, keyFrames, ...written },
    describe(path, options, written),
  );
}

function describe(
  path: string,
  { split, clip }: AnnosNuScenesOptions,
  made: NuScenesAnnotationResult,
): string[] {
  const { records, samples, skipped, noCanBus, commands, scenes, scenesWanted } = made;
  const of = scenes === scenesWanted ? "" : ` of ${formatCount(scenesWanted)}`;
  const lines = [
    `${path}: ${plural(records, "record")} of ${clip} frames, ${formatBytes(made.bytes)}`,
    `  from ${formatCount(samples)} samples of ${formatCount(scenes)}${of} scenes (${split}, ${made.version})`,
    `  no record: ${formatCount(skipped.endOfScene)} samples near the end of their scene, ${formatCount(skipped.chainTooShort)} with too few frames, ${formatCount(skipped.noKeyFrame)} without a key frame where one is needed`,
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
