/** The work of `vista-data preview`, once its options are read. */

import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { VistaError } from "../../core/errors.js";
import { prepareOutput, writeWhole } from "../../core/io/output.js";
import { requireEnding } from "../../core/io/output-names.js";
import { findClip } from "../preview/clip.js";
import { drawSheet } from "../preview/sheet.js";
import { readVistaConfig } from "../vista-config.js";

export interface PreviewCommandOptions extends PrintOptions {
  output: string;
  root?: string;
  config?: string;
  size?: { width: number; height: number };
  start?: number;
  tile?: number;
  force?: boolean;
}

export async function runPreview(
  target: string,
  options: PreviewCommandOptions,
  context: CommandContext,
): Promise<void> {
  if (options.config !== undefined && options.size !== undefined) {
    throw new VistaError("USAGE", "--config and --size both give the size", { hint: "Use one of them." });
  }
  requireEnding(options.output, [".png"], "the contact sheet is a PNG");
  const force = options.force ?? false;
  await prepareOutput(options.output, 0, { force });
  const config = options.config === undefined ? undefined : await readVistaConfig(options.config);
  const size =
    config === undefined ? options.size : { width: config.targetWidth, height: config.targetHeight };
  for (const side of [size?.width, size?.height]) {
    if (side === undefined || (Number.isInteger(side) && side >= 16 && side <= 8192)) continue;
    throw new VistaError("FORMAT", `a target size of ${side}: preview draws 16 to 8192 pixels a side`, {
      path: options.config,
    });
  }
  const { output, root, start, tile } = options;
  const clip = findClip(target, { root, start, count: config?.numFrames });
  const sheet = await runWithProgress(options.quiet, context.signal, (run) =>
    drawSheet(clip, { ...run, ...size, tile }),
  );
  await writeWhole(output, sheet, { force });
  printResult(options, { command: "preview", path: output }, [`wrote ${output}`]);
}
