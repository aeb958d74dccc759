import { type Command, InvalidArgumentError } from "commander";
import { JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

export function addPreviewCommand(program: Command, context: CommandContext): void {
  program
    .command("preview")
    .description("draw a clip of 25 frames as the model sees it, with its actions")
    .argument("<clip>", "a folder of frames, annos/nuScenes.json#12 for a record, or a sample's token")
    .requiredOption("-o, --output <file>", "the contact sheet, a PNG (required)")
    .option("--root <folder>", "Vista root or root of the set, for records and samples")
    .option("--config <file>", "take the size of the pictures from this config of Vista's")
    .option("--size <WxH>", "size of the pictures in training (default: 576x320)", parseSize)
    .option("--start <n>", "first frame in a folder", wholeNumber())
    .option("--tile <n>", "width of a picture on the sheet (default: 384)", wholeNumber(16, MAX_SIDE))
    .option("--force", "replace the output")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText(
      "after",
      `\nExamples:\n  $ vista-data preview /data/vista/annos/nuScenes.json#12 -o clip.png`,
    )
    .action(later(async () => (await import("./run-preview.js")).runPreview, context));
}

/** The longest side of a picture and of a tile, in pixels. */
const MAX_SIDE = 8192;

function parseSize(text: string): { width: number; height: number } {
  const match = /^(\d+)x(\d+)$/.exec(text);
  const size = { width: Number(match?.[1]), height: Number(match?.[2]) };
  if (
    match === null ||
    Math.min(size.width, size.height) < 16 ||
    Math.max(size.width, size.height) > MAX_SIDE
  ) {
    throw new InvalidArgumentError(`It must be like 1024x576, each side from 16 to ${MAX_SIDE}.`);
  }
  return size;
}
