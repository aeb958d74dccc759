import type { FileHandle } from "node:fs/promises";
import { contentOf, type OutputPart } from "../../src/checkpoint/copy/parts.js";
import { type WriteOptions, writeFiles } from "../../src/checkpoint/copy/sink.js";

/** Writes the parts of one file. @returns the number of bytes written */
export async function writeParts(
  handle: FileHandle,
  path: string,
  parts: readonly OutputPart[],
  options: WriteOptions = {},
): Promise<number> {
  const file = { path, content: contentOf(parts), begin: async () => handle };
  return (await writeFiles([file], options))[0]!.bytes;
}
