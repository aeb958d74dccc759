/** The commands of `vista-data` with few options; `check` and `annos` have files of their own. */
import { type Command, InvalidArgumentError } from "commander";
import { collectList, JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .description("print a rule's page: what it is, why it hurts, how to mend it")
    .argument("<rule>", "as reports name it: annos/past-end")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-data explain annos/past-end")
    .action(later(async () => (await import("./run.js")).runExplain));
}

export function addMergeReportsCommand(program: Command, context: CommandContext): void {
  program
    .command("merge-reports")
    .description("join the JSON reports of all --shard runs into the report of one run")
    .argument("<reports...>", "what `vista-data check --shard i/n --json` printed, one file a shard")
    .option(...JSON_OBJECT)
    .option("--ndjson <file>", "write every finding, one JSON object a line (shards: --max-findings 0)")
    .option("--sarif <file>", "write a SARIF file, one result for each rule and folder")
    .option("--report <file>", "write an HTML report")
    .option("--force", "replace output files that exist")
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data merge-reports shard-*.json --report report.html`)
    .action(later(async () => (await import("./run.js")).runMergeReports, context));
}

export function addIndexCommand(program: Command, context: CommandContext): void {
  program
    .command("index")
    .description("write a compact index of a data set (always brought up to date)")
    .argument("[root]", "nuScenes, OpenDV-YouTube, or a folder with data/nuscenes, data/YouTube", ".")
    .option("-o, --output <file>", "the index (default: vista-data.index in the root)")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data index /data/vista -o vista-data.index`)
    .action(later(async () => (await import("./run.js")).runIndex, context));
}

export function addStatsCommand(program: Command, context: CommandContext): void {
  program
    .command("stats")
    .description("say what a data set holds: hours, clips, scenes, countries, commands, speeds")
    .argument("[root]", "nuScenes, OpenDV-YouTube, or a folder with data/nuscenes, data/YouTube, annos", ".")
    .option(
      "--annos <files>",
      "annotation files to count, beside those in annos/; repeated, or with commas",
      collectList,
    )
    .option("--index <file>", "use this index for folders that have not changed")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText(
      "after",
      `\nExamples:\n  $ vista-data stats /data/vista\n  $ vista-data stats --annos annos/nuScenes.json --json`,
    )
    .action(later(async () => (await import("./run.js")).runStats, context));
}

export function addPreviewCommand(program: Command, context: CommandContext): void {
  program
    .command("preview")
    .description("draw a clip of 25 frames as the model sees it, with its actions")
    .argument("<clip>", "a folder of frames, annos/nuScenes.json#12 for a record, or a sample's token")
    .requiredOption("-o, --output <file>", "the contact sheet, a PNG")
    .option("--root <folder>", "Vista root or root of the set, for records and samples")
    .option("--config <file>", "take the size of the pictures from this config of Vista's")
    .option("--size <WxH>", "size of the pictures in training (default: 576x320)", parseSize)
    .option("--start <n>", "first frame in a folder", wholeNumber())
    .option("--tile <n>", "width of a picture on the sheet (default: 384)", wholeNumber(16))
    .option("--force", "replace the output")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText(
      "after",
      `\nExamples:\n  $ vista-data preview annos/nuScenes.json#12 --root /data/vista -o clip.png`,
    )
    .action(later(async () => (await import("./run.js")).runPreview, context));
}

function parseSize(text: string): { width: number; height: number } {
  const match = /^(\d+)x(\d+)$/.exec(text);
  const size = { width: Number(match?.[1]), height: Number(match?.[2]) };
  if (match === null || size.width < 16 || size.height < 16 || size.width > 8192 || size.height > 8192) {
    throw new InvalidArgumentError("It must be like 1024x576.");
  }
  return size;
}
