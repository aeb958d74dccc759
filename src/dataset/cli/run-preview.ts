/** What `vista-data preview` does once its options are read. */

import { requireEnding } from "../../core/cli/output-names.js";
import { printJson, printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { createProgressView } from "../../core/cli/progress.js";
import { VistaError } from "../../core/errors.js";
import { prepareOutput, writeWhole } from "../../core/io/output.js";
import { findClip } from "../preview/clip.js";
import { drawSheet } from "../preview/sheet.js";
import { readVistaConfig } from "../vista-config.js";

/** The options of `vista-data preview`, as commander gives them. */
export interface PreviewCommandOptions {
  output: string;
  root?: string;
  config?: string;
  size?: { width: number; height: number };
  start?: number;
  tile?: number;
  force?: boolean;
  json?: boolean;
  quiet?: boolean;
}

export async function runPreview(
  target: string,
  options: PreviewCommandOptions,
  context: CommandContext,
): Promise<void> {
  if (options.config !== undefined && options.size !== undefined) {
    throw new VistaError("USAGE", "--config and --size both give the size: use one of them");
  }
  if (options.tile !== undefined && options.tile < 16) {
    throw new VistaError("USAGE", "--tile must be at least 16");
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
  const view = await createProgressView(options.quiet ?? false);
  try {
    const clip = findClip(target, {
      root: options.root,
      start: options.start,
      count: config?.numFrames,
    });
    const sheet = await drawSheet(clip, {
      ...size,
      tile: options.tile,
      signal: context.signal,
      onProgress: (progress) => view.update(progress),
    });
    await writeWhole(options.output, sheet, { force });
  } finally {
    view.stop();
  }
  if (options.json) printJson({ command: "preview", path: options.output });
  else if (!options.quiet) printLines([`wrote ${options.output}`]);
}
