/** Writes a new checkpoint folder from planned files, whole or not at all. */
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { prepareOutputFolder, writeFolderAtomically } from "../core/io/output-folder.js";
import { isRemote, placeName, requirePath } from "../core/io/places.js";
import { settleAll } from "../core/io/settle.js";
import type { RunOptions } from "../core/progress.js";
import { sum } from "../core/sum.js";
import { contentOf, type FileContent } from "./copy/parts.js";
import { type OutputFile, writeFiles } from "./copy/sink.js";
import { isCheckpointFolder } from "./zero/layout.js";

export interface FolderOptions extends RunOptions {
  /** The tag (sub-folder) to read; by default the one that `latest` names. */
  tag?: string | undefined;
  /** Whether an existing output is replaced, provided that it is a checkpoint folder; false by default. */
  force?: boolean | undefined;
  /** Whether the CRC-32 of everything that is read is checked; true by default. */
  verify?: boolean | undefined;
  /** Whether all files and folders are on the disk (fsync) before the call returns; true by default. */
  fsync?: boolean | undefined;
  /** Whether the call only tells what it would write; false by default. */
  dryRun?: boolean | undefined;
}

/**
 * Returns the default path of an output: beside `last.ckpt` it is `last-<suffix>.ckpt`. For a checkpoint at a URL it is in the
 * current folder.
 */
export function folderBeside(folder: string, suffix: string): string {
  const path = isRemote(folder) ? placeName(folder) : folder;
  const absolute = resolve(path);
  // What was named relative to the current folder stays so, but `.` and `..` have no name of their own.
  const named = basename(path) === basename(absolute) ? path : absolute;
  return join(dirname(named), `${basename(named).replace(/\.ckpt$/, "")}-${suffix}.ckpt`);
}

export interface PlannedFile {
  /** The path of the file, relative to the folder. */
  readonly name: string;
  readonly content: FileContent;
}

export function fileOfBytes(name: string, bytes: Uint8Array): PlannedFile {
  return { name, content: contentOf([{ kind: "bytes", bytes }]) };
}

/**
 * Writes the folder; with `dryRun` only checks whether it could be written.
 * @param input  the folder that is read to make it
 * @throws VistaError `EXISTS`, `USAGE`, `NO_SPACE`, `IO`, `CHECKSUM`, `ABORTED`
 */
export async function writeCheckpointFolder(
  path: string,
  files: readonly PlannedFile[],
  input: string,
  options: FolderOptions,
): Promise<void> {
  requirePath(path);
  const outputOptions = { ...options, replaceable: isCheckpointFolder, inputs: [input] };
  if (options.dryRun) return prepareOutputFolder(path, 0, outputOptions);
  const bytes = sum(files, ({ content }) => content.length);
  await writeFolderAtomically(path, bytes, outputOptions, async (folder) => {
    /** The handles that are not closed yet. */
    const open = new Set<FileHandle>();
    const outputs = files.map(({ name, content }): OutputFile => {
      let handle: FileHandle;
      return {
        path: join(path, name),
        content,
        begin: async () => {
          handle = await folder.create(name);
          open.add(handle);
          return handle;
        },
        end: async () => {
          await folder.settle(handle);
          open.delete(handle);
          await handle.close();
        },
        write: (bytes) => folder.write(name, bytes),
      };
    });
    try {
      await writeFiles(outputs, options);
    } finally {
      await settleAll([...open].map((handle) => handle.close()));
    }
  });
}
