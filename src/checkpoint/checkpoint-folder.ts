/** A new checkpoint folder of files that are planned, whole or not at all. */
import type { FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import {
  type FolderInProgress,
  prepareOutputFolder,
  writeFolderAtomically,
} from "../core/io/output-folder.js";
import { isRemote, placeName } from "../core/io/places.js";
import { settleAll } from "../core/io/settle.js";
import type { RunOptions } from "../core/progress.js";
import { contentOf, type FileContent } from "./copy/parts.js";
import { type OutputFile, writeFiles } from "./copy/sink.js";
import { isCheckpointFile, saysLatest } from "./zero/layout.js";

export interface FolderOptions extends RunOptions {
  /** The tag (sub-folder); default: what `latest` says. */
  tag?: string;
  /** Replace an existing output, where it is a checkpoint folder. Default false. */
  force?: boolean;
  /** Check the CRC-32 of all that is read. Default true. */
  verify?: boolean;
  /** fsync all files and folders before the call returns. Default true. */
  fsync?: boolean;
  /** Only say what would be written. Default false. */
  dryRun?: boolean;
}

/** `last.ckpt` → `last-<suffix>.ckpt`, beside it; of one at a URL, in the current folder. */
export function folderBeside(folder: string, suffix: string): string {
  const path = resolve(isRemote(folder) ? placeName(folder) : folder);
  return join(dirname(path), `${basename(path).replace(/\.ckpt$/, "")}-${suffix}.ckpt`);
}

export interface PlannedFile {
  /** Its path in the folder. */
  readonly name: string;
  readonly content: FileContent;
}

export function fileOfBytes(name: string, bytes: Uint8Array): PlannedFile {
  return { name, content: contentOf([{ kind: "bytes", bytes }]) };
}

/**
 * Writes the folder; with `dryRun` only looks whether that can be done.
 * @param input  the folder that is read for it
 * @throws VistaError `EXISTS`, `USAGE`, `NO_SPACE`, `IO`, `CHECKSUM`, `ABORTED`
 */
export async function writeCheckpointFolder(
  path: string,
  files: readonly PlannedFile[],
  input: string,
  options: FolderOptions,
): Promise<void> {
  const { force = false, fsync = true } = options;
  const outputOptions = { force, fsync, replaceable: isCheckpointFolder, inputs: [input] };
  if (options.dryRun) return prepareOutputFolder(path, 0, outputOptions);
  const bytes = files.reduce((sum, { content }) => sum + content.length, 0);
  await writeFolderAtomically(path, bytes, outputOptions, async (folder) => {
    const open = new Set<FileHandle>();
    try {
      await writeFiles(
        files.map((file) => outputFile(folder, path, file, open)),
        options,
      );
    } finally {
      await settleAll([...open].map((handle) => handle.close()));
    }
  });
}

/**
 * @param target  the path that the folder will have
 * @param open  handles that are not closed yet
 */
function outputFile(
  folder: FolderInProgress,
  target: string,
  { name, content }: PlannedFile,
  open: Set<FileHandle>,
): OutputFile {
  let handle: FileHandle;
  return {
    path: join(target, name),
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
}

/** `latest` with a tag folder, or files of DeepSpeed: what an earlier run made, or a checkpoint that it may replace. */
function isCheckpointFolder(names: readonly string[]): boolean {
  return saysLatest(names) || names.some(isCheckpointFile);
}
