import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

export function addIndexCommand(program: Command, context: CommandContext): void {
  program
    .command("index")
    .description("write a compact index of a data set (always brought up to date)")
    .argument("[root]", "nuScenes, OpenDV-YouTube, or a folder with data/nuscenes, data/YouTube", ".")
    .option("-o, --output <file>", "the index (default: vista-data.index in the root)")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data index /data/vista -o vista-data.index`)
    .action(later(async () => (await import("./run-index.js")).runIndex, context));
}
