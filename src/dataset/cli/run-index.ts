/** The work of `vista-data index`, once its options are read. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { isVistaError, VistaError } from "../../core/errors.js";
import { writeWhole } from "../../core/io/output.js";
import { requireEnding } from "../../core/io/output-names.js";
import { sum } from "../../core/sum.js";
import { type BuiltIndex, indexParts, readIndex } from "../frame-index/build.js";
import type { DatasetIndex } from "../frame-index/dataset-index.js";
import { countFrames } from "../opendv/runs.js";
import { recognise } from "../recognise.js";

export interface IndexCommandOptions extends PrintOptions {
  output?: string;
}

const DEFAULT_NAME = "vista-data.index";

export async function runIndex(
  root: string,
  options: IndexCommandOptions,
  context: CommandContext,
): Promise<void> {
  const outcome = await runWithProgress(options.quiet, context.signal, async (run) => {
    const parts = recognise(root, { kinds: ["nuscenes", "opendv"] });
    if (options.output === undefined && parts.opendv?.found.folders[0]?.path === ".") {
      throw new VistaError("USAGE", `${root} is a folder of frames, and the index would lie among them`, {
        hint: "Name another place for it with -o.",
      });
    }
    const path = options.output ?? join(root, DEFAULT_NAME);
    requireEnding(path, [".index"], "the index is a file of its own kind");
    const { previous, replaced } = await earlierIndex(path);
    const { index, read, reused } = await indexParts(parts, { ...run, previous });
    // The encoder comes with MessagePack and SHA-256, which other commands would load for nothing.
    const { encodeIndex } = await import("../frame-index/format.js");
    const bytes = encodeIndex(index);
    await writeWhole(path, bytes, { force: true });
    return { path, bytes: bytes.byteLength, read, reused, replaced, index };
  });
  print(options, outcome);
}

/** The codes of errors on which an index is made anew, which loses nothing because all of it can be listed again. */
const REPLACED: ReadonlySet<string> = new Set(["CHECKSUM", "INCONSISTENT", "UNSUPPORTED"]);

/** Returns the index that is there already, or why it is replaced. A file that is no index is left alone: then this throws. */
async function earlierIndex(path: string): Promise<{ previous?: DatasetIndex; replaced?: string }> {
  if (!existsSync(path)) return {};
  try {
    return { previous: await readIndex(path) };
  } catch (error) {
    if (!isVistaError(error) || !REPLACED.has(error.code)) throw error;
    return { replaced: error.message };
  }
}

interface Outcome extends BuiltIndex {
  path: string;
  bytes: number;
  /** The reason why the index that was there was not used. */
  replaced: string | undefined;
}

function print(options: IndexCommandOptions, { path, bytes, read, reused, replaced, index }: Outcome): void {
  const folders = index.opendv?.folders;
  const frames = sum(folders ?? [], ({ scan }) => countFrames(scan.runs));
  const chains = index.nuscenes?.chains;
  const images = sum(chains ?? [], (chain) => chain.files.length);
  const lines: string[] = [];
  if (folders !== undefined) {
    lines.push(`OpenDV-YouTube: ${plural(folders.length, "video")}, ${plural(frames, "frame")}`);
  }
  if (chains !== undefined) {
    lines.push(
      `nuScenes ${index.nuscenes!.version}: ${plural(chains.length, "CAM_FRONT chain")}, ${plural(images, "image")}`,
    );
  }
  if (replaced !== undefined) lines.push(`The index that was there was not used: ${replaced}`);
  lines.push(
    `${path}: ${formatBytes(bytes)}; ${formatCount(read)} read, ${formatCount(reused)} unchanged since the last index`,
  );
  const counts = {
    opendv: folders && { folders: folders.length, frames },
    nuscenes: chains && { chains: chains.length, images },
  };
  printResult(options, { command: "index", index: path, bytes, read, reused, replaced, ...counts }, lines);
}
