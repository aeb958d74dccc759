import type { Command } from "commander";
import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import { JSON_OBJECT, type PrintOptions, QUIET } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";

interface Annos12HzOptions extends PrintOptions {
  out?: string;
  split: string;
  version?: string;
  force?: boolean;
}

export function addAnnosNuScenes12HzCommand(annos: Command, context: CommandContext): void {
  annos
    .command("nuscenes-12hz")
    .description(
      "make the tables at 12 Hz (interp_12Hz_trainval): frames between key frames, boxes interpolated",
    )
    .argument("[root]", "nuScenes, or a folder with data/nuscenes", ".")
    .option(
      "-o, --out <folder>",
      "the folder of the tables (default: interp_12Hz_… beside the version's own)",
    )
    .option("--split <split>", "all, train, val, mini_train, mini_val, test, or a file of scene names", "all")
    .option(
      "--version <folder>",
      "the tables, v1.0-mini say (default: what is there, or what the split is of)",
    )
    .option("--force", "replace a folder of such tables that exists")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data annos nuscenes-12hz /data/nuscenes`)
    .action((root: string, options: Annos12HzOptions) => run(root, options, context));
}

async function run(root: string, options: Annos12HzOptions, context: CommandContext): Promise<void> {
  const { out, version, force = false } = options;
  const [{ runWithProgress }, { readSceneChoice }, { writeInterpolatedTables }] = await Promise.all([
    import("../../core/cli/progress.js"),
    import("../annotations/make/source.js"),
    import("../annotations/make/interpolate.js"),
  ]);
  const split = await readSceneChoice(options.split);
  const made = await runWithProgress(options.quiet, context.signal, (run) =>
    writeInterpolatedTables(root, out, { ...run, split, force, version }),
  );
  printResult(options, { command: "annos nuscenes-12hz", split: options.split, ...made }, [
    `${made.folder}: ${plural(made.samples, "sample")} from ${formatCount(made.keySamples)} of ${plural(made.scenes, "scene")} (${options.split}, ${made.version})`,
    `  ${formatCount(made.annotations)} boxes, ${formatCount(made.sampleData)} rows of sample_data, ${formatBytes(made.bytes)}`,
    ...(made.unattached > 0
      ? [
          `note: ${formatCount(made.unattached)} boxes and key frames of samples that are not there were left out`,
        ]
      : []),
  ]);
}
