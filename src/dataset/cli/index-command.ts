import { type Command, Option } from "commander";
import type { CommandContext } from "../../core/cli/program.js";
import { parseCount } from "./check.js";

/** The options of `vista-data index`, as commander gives them. */
export interface IndexCommandOptions {
  output?: string;
  annos?: string;
  split: "train" | "val" | "all";
  stride: number;
  clip: number;
  fromLanguage?: string[];
  force?: boolean;
  json?: boolean;
  quiet?: boolean;
}

export function addIndexCommand(program: Command, context: CommandContext): void {
  program
    .command("index")
    .description("write a compact index of a data set, and Vista's annotation file for OpenDV-YouTube")
    .argument("[root]", "nuScenes, OpenDV-YouTube, or a folder with data/nuscenes, data/YouTube", ".")
    .option("-o, --output <file>", "the index (default: vista-data.index in the root)")
    .option("--annos <file>", "write Vista's annotation file too, annos/YouTube.json say")
    .addOption(
      new Option("--split <split>", "videos whose clips are written")
        .choices(["train", "val", "all"])
        .default("train"),
    )
    .option("--stride <n>", "frames from one clip's start to the next", parseCount, 1)
    .option("--clip <n>", "frames of a clip", parseCount, 25)
    .option("--from-language <file...>", "only frames that these language files of DriveAGI's speak of")
    .option("--force", "replace an annotation file that exists (an index is always brought up to date)")
    .option("--json", "print one JSON object")
    .option("--quiet", "no progress")
    .action(async (root: string, options: IndexCommandOptions) => {
      const { runIndex } = await import("./run-index.js");
      await runIndex(root, options, context);
    });
}
