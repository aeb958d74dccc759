import type { FileHandle } from "node:fs/promises";
import { contentOf, type OutputPart } from "../../src/checkpoint/copy/parts.js";
import { type WriteOptions, writeFiles } from "../../src/checkpoint/copy/sink.js";

/** Writes the parts of one file. */
export async function writeParts(
  handle: FileHandle,
  path: string,
  parts: readonly OutputPart[],
  options: WriteOptions = {},
): Promise<void> {
  const file = { path, content: contentOf(parts), begin: async () => handle };
  await writeFiles([file], options);
}
