import { type Command, Option } from "commander";
import { collect, JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

const VERSION = [
  "--version <folder>",
  "the tables, v1.0-mini say (default: what is there, or what the split is of)",
] as const;
const FORCE_FILE = ["--force", "replace a file that exists"] as const;

export function addAnnosCommand(program: Command, context: CommandContext): void {
  const annos = program
    .command("annos")
    .description("make the annotation files that Vista and its successors train on, from the data itself")
    .addHelpText("after", "\nExamples:\n  $ vista-data annos nuscenes /data/nuscenes --split val");
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
    .option(...VERSION)
    .option("--clip <n>", "frames of a clip, at 12 Hz", wholeNumber(1), 25)
    .option("--key-frames <n>", "samples of a clip, at 2 Hz", wholeNumber(1), 5)
    .option(...FORCE_FILE)
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText(
      "after",
      `\nExamples:\n  $ vista-data annos nuscenes /data/nuscenes -o annos/nuScenes.json\n  $ vista-data annos nuscenes /data/nuscenes --split val`,
    )
    .action(later(async () => (await import("./run-annos.js")).runAnnosNuScenes, context));
  annos
    .command("nuscenes-12hz")
    .description(
      "make the tables at 12 Hz (interp_12Hz_trainval): frames between key frames, boxes interpolated",
    )
    .argument("[root]", "nuScenes, or a folder with data/nuscenes", ".")
    .option(
      "-o, --output <folder>",
      "the folder of the tables (default: interp_12Hz_… beside the version's own)",
    )
    .addOption(new Option("--out <folder>", "the name of --output before").hideHelp())
    .option("--split <split>", "all, train, val, mini_train, mini_val, test, or a file of scene names", "all")
    .option(...VERSION)
    .option("--force", "replace a folder of such tables that exists")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data annos nuscenes-12hz /data/nuscenes`)
    .action(later(async () => (await import("./run-annos.js")).runAnnosNuScenes12Hz, context));
  annos
    .command("youtube")
    .description(
      "make Vista's annotation file for OpenDV-YouTube: every frame starts a clip, none crosses a gap",
    )
    .argument("[root]", "OpenDV-YouTube, or a folder with data/YouTube", ".")
    .option(
      "-o, --output <file>",
      "the file (default: annos/YouTube.json, with --split val annos/YouTube_val.json)",
    )
    .addOption(
      new Option("--split <split>", "videos whose clips are written")
        .choices(["train", "val", "all"])
        .default("train"),
    )
    .option("--stride <n>", "frames from one clip's start to the next", wholeNumber(1), 1)
    .option("--clip <n>", "frames of a clip", wholeNumber(1), 25)
    .option(
      "--from-language <file>",
      "only frames that this language file of DriveAGI's speaks of; may be given several times",
      collect,
    )
    .option("--index <file>", "use this index (vista-data index) for folders that have not changed")
    .option(...FORCE_FILE)
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data annos youtube /data/YouTube -o annos/YouTube.json`)
    .action(later(async () => (await import("./run-annos.js")).runAnnosYouTube, context));
}
