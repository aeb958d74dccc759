import { type Command, Option } from "commander";
import { formatBytes, plural } from "../../core/cli/format.js";
import { collect, JSON_OBJECT, type PrintOptions, QUIET, wholeNumber } from "../../core/cli/options.js";
import { requireEnding } from "../../core/cli/output-names.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { firstNames, VistaError } from "../../core/errors.js";
import type { SplitChoice } from "../annotations/make/youtube-sources.js";

interface AnnosYouTubeOptions extends PrintOptions {
  output?: string;
  split: SplitChoice;
  stride: number;
  clip: number;
  fromLanguage?: string[];
  index?: string;
  force?: boolean;
}

const DEFAULT_OUTPUT: Partial<Record<SplitChoice, string>> = {
  train: "annos/YouTube.json",
  val: "annos/YouTube_val.json",
};

export function addAnnosYouTubeCommand(annos: Command, context: CommandContext): void {
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
    .option("--force", "replace a file that exists")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data annos youtube /data/YouTube -o annos/YouTube.json`)
    .action((root: string, options: AnnosYouTubeOptions) => run(root, options, context));
}

async function run(root: string, options: AnnosYouTubeOptions, context: CommandContext): Promise<void> {
  const { split, clip, stride, fromLanguage, force = false } = options;
  const path = options.output ?? DEFAULT_OUTPUT[split];
  if (path === undefined)
    throw new VistaError("USAGE", `--split ${split} needs a name for the file: -o FILE`);
  requireEnding(path, [".json"], "the annotation file is JSON");
  const [{ runWithProgress }, { prepareOutput }, { findYouTubeClips }, { writeYouTube }, { readIndex }] =
    await Promise.all([
      import("../../core/cli/progress.js"),
      import("../../core/io/output.js"),
      import("../annotations/make/youtube-sources.js"),
      import("../annotations/make/youtube.js"),
      import("../frame-index/build.js"),
    ]);
  await prepareOutput(path, 0, { force });
  const written = await runWithProgress(options.quiet, context.signal, async (run) => {
    const previous = options.index === undefined ? undefined : await readIndex(options.index);
    const sources = await findYouTubeClips(root, { ...run, split, languageFiles: fromLanguage, previous });
    return writeYouTube(path, sources, { ...run, clip, stride, force });
  });
  const { tooShort } = written;
  printResult(options, { command: "annos youtube", path, split, clip, stride, ...written }, [
    `${path}: ${plural(written.clips, "clip")} of ${clip} frames from ${plural(written.folders, "video")} (${split}), ${formatBytes(written.bytes)}`,
    ...(tooShort.length > 0
      ? [
          `no clip: ${plural(tooShort.length, "folder")} without ${clip} frames in a row (${firstNames(tooShort)})`,
        ]
      : []),
  ]);
}
