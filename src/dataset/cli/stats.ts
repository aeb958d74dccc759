import type { Command } from "commander";
import { collectList, JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

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
    .action(later(async () => (await import("./run-stats.js")).runStats, context));
}
