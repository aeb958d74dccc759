/**
 * Writes a state dict as one file, or as several with an index; the name of the output tells whether as torch or safetensors
 * files.
 */
import { readdir, realpath } from "node:fs/promises";
import { basename, dirname, extname, join, resolve } from "node:path";
import { fromSystem, VistaError } from "../core/errors.js";
import {
  AtomicFile,
  commitTogether,
  type OutputOptions,
  outputExists,
  prepareOutput,
} from "../core/io/output.js";
import { requireEnding } from "../core/io/output-names.js";
import { requirePath } from "../core/io/places.js";
import { isRecord } from "../core/maps.js";
import { sum } from "../core/sum.js";
import { castState } from "./cast.js";
import { checkUnchanged } from "./copy/changed-files.js";
import { contentOf, type FileContent } from "./copy/parts.js";
import { type WriteOptions, writeFiles } from "./copy/sink.js";
import { type Metadata, planSafetensors } from "./safetensors/write.js";
import { formatIndex } from "./shard-index.js";
import { splitState } from "./split.js";
import type { CastTarget } from "./tensor/cast.js";
import { requireState, type StateDict } from "./tensor/tensor.js";
import { planTorchFile } from "./torch/write.js";

export type CheckpointFormat = "torch" | "safetensors";

/** The ends of the names of files by their format, which they say also to whoever reads the files later. */
export const ENDINGS: Readonly<Record<CheckpointFormat, readonly string[]>> = {
  torch: [".bin", ".pt", ".pth", ".ckpt"],
  safetensors: [".safetensors"],
};

export interface SaveOptions extends WriteOptions, OutputOptions {
  /**
   * The format of the files. By default the end of the path says it: `.safetensors`, or for torch files `.bin`, `.pt`, `.pth` or
   * `.ckpt`; any other end is an error.
   */
  format?: CheckpointFormat | undefined;
  /** The type to which floating-point tensors are converted, as {@link castState} does it; by default they stay as they are. */
  dtype?: CastTarget | undefined;
  /**
   * The largest number of bytes of tensors in one file: where there are more, several files and an index are written. By default
   * there is one file, whatever its size.
   */
  maxShardSize?: number | undefined;
  /** The metadata of a safetensors file, text by key (an object or a Map); none by default. Torch files have no place for them. */
  metadata?: Metadata | undefined;
}

export interface SavedFile {
  readonly path: string;
  readonly bytes: number;
  readonly tensors: number;
}

export interface Saved {
  /** The files with tensors in their order; the index is not among them. */
  readonly files: readonly SavedFile[];
  /** The path of the index; `undefined` where there is only one file. */
  readonly index: string | undefined;
  /** The size of all files in bytes, that of the index included. */
  readonly bytes: number;
}

interface Plan extends Saved {
  readonly contents: readonly FileContent[];
  /** Makes the text of the index from the CRC-32 of each file. */
  readonly indexText: (crc32s: readonly number[]) => string;
}

/** Returns the format that the name of an output says. @throws VistaError `USAGE` where it says none */
function formatOf(path: string): CheckpointFormat {
  requireEnding(path, Object.values(ENDINGS).flat(), "without a format the name of the output says it");
  return ENDINGS.safetensors.includes(extname(path).toLowerCase()) ? "safetensors" : "torch";
}

/**
 * Tells what {@link saveCheckpoint} would write, and checks as it does that nothing is in the way; the room on the disk is not asked
 * for.
 * @param folderIsThere  false where the folder of the output is still to be made, so that nothing can be in the way
 * @throws VistaError `EXISTS`, `WRONG_KIND`, `NOT_FOUND`, `UNSUPPORTED`, `USAGE`, `IO`
 */
export async function planCheckpoint(
  state: StateDict,
  path: string,
  options: SaveOptions = {},
  folderIsThere = true,
): Promise<Saved> {
  const { files, index, bytes } = plan(state, path, options);
  if (folderIsThere) await prepare(state, { files, index, bytes: 0 }, path, options);
  return { files, index, bytes };
}

/**
 * Writes all files or none: they get their names when all are complete, the index last.
 *
 * With `maxShardSize` the output is the file `path` or the family `path-00001-of-0000N` with its index. An older member of the
 * family that is not replaced would be read in place of the new ones: without `force` it is an `EXISTS` error, with `force` it is
 * removed at the end.
 *
 * @throws VistaError `EXISTS`, `NO_SPACE`, `IO`, `UNSUPPORTED`, `USAGE` for an option of another kind and where it would replace some
 *   of the files that are read for it and not all, and what reading the inputs throws
 */
export async function saveCheckpoint(
  state: StateDict,
  path: string,
  options: SaveOptions = {},
): Promise<Saved> {
  const planned = plan(state, path, options);
  const { files, contents, index, indexText, bytes } = planned;
  const { target, older } = await prepare(state, planned, path, options);
  const names = new Set([...files.map((file) => file.path), ...(index === undefined ? [] : [index])]);
  const open: AtomicFile[] = [];
  try {
    const outputs = files.map((file, i) => ({
      path: file.path,
      content: contents[i]!,
      digest: index !== undefined,
      begin: async () => {
        const place = index === undefined ? target : await prepareOutput(file.path, 0, options);
        open.push(await AtomicFile.create(place, options));
        return open.at(-1)!.handle;
      },
      end: () => open[i]!.finish(),
    }));
    const digests = await writeFiles(outputs, options);
    if (index !== undefined) {
      const file = await AtomicFile.create(target, options);
      open.push(file);
      await file.write(indexText(digests.map((crc32) => crc32!)));
    }
    await checkUnchanged(state);
    const stale = older.filter((name) => !names.has(name));
    // An index is removed first, because without it nobody takes the files that are left for a set.
    stale.sort((a, b) => Number(b.endsWith(INDEX)) - Number(a.endsWith(INDEX)));
    await commitTogether(open, stale);
  } catch (error) {
    for (const file of open) await file.discard();
    throw fromSystem(error, path, "write the output");
  }
  return { files, index, bytes };
}

/**
 * Checks, before any work is done, that the files can be written and those of an older set removed.
 * @returns the path of the last file, see {@link prepareOutput}, and the files of the older set
 */
async function prepare(state: StateDict, { files, index, bytes }: Saved, path: string, options: SaveOptions) {
  const isOurs = options.maxShardSize === undefined ? () => false : familyOf(path);
  const inputs = Promise.all(state.files.map((file) => realPlace(file.path)));
  const target = await prepareOutput(index ?? files[0]!.path, bytes, options, isOurs);
  const older = options.maxShardSize === undefined ? [] : await present(path, isOurs);
  if (older.length > 0 && !options.force) throw outputExists(older[0]!, "it with its shards and index");
  // A folder with the name of a shard would be met only after all the work.
  for (const name of older) await prepareOutput(name, 0, options);
  await keepInputs(new Set(await inputs), [...files.map((file) => file.path), ...older]);
  return { target, older };
}

/**
 * Refuses to replace or remove some of the files that are read and leave others, which are worth nothing without them.
 * @throws VistaError `USAGE`
 */
async function keepInputs(inputs: ReadonlySet<string>, paths: readonly string[]): Promise<void> {
  const lost = new Set((await Promise.all(paths.map(realPlace))).filter((path) => inputs.has(path)));
  if (lost.size === 0 || lost.size === inputs.size) return;
  const what = `the output would take the place of ${lost.size} of the ${inputs.size} files that are read for it`;
  throw new VistaError("USAGE", what, { path: [...lost][0]!, hint: "Choose another output." });
}

async function realPlace(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}

const INDEX = ".index.json";

function plan(original: StateDict, path: string, options: SaveOptions): Plan {
  requireState(original);
  requirePath(path);
  const state = options.dtype === undefined ? original : castState(original, options.dtype);
  const format = options.format ?? formatOf(path);
  if (!Object.hasOwn(ENDINGS, format)) {
    const hint = `Give ${Object.keys(ENDINGS).join(" or ")}.`;
    throw new VistaError("USAGE", `there is no format ${format}`, { hint });
  }
  const max = options.maxShardSize ?? Infinity;
  if (!(max > 0)) {
    throw new VistaError("USAGE", `maxShardSize is ${max}`, { hint: "Give a number of bytes above 0." });
  }
  if (options.metadata !== undefined && (format === "torch" || !isRecord(options.metadata))) {
    const what =
      format === "torch"
        ? "metadata are for safetensors, and the output is a torch file"
        : "the metadata are no text by key";
    throw new VistaError("USAGE", what, { path, hint: "Leave them out, or name an output in .safetensors." });
  }
  const groups = splitState(state, max, format === "torch");
  const single = groups.length === 1;
  const files: SavedFile[] = [];
  const contents: FileContent[] = [];
  const weightMap = new Map<string, string>();
  let total = 0;
  groups.forEach((names, i) => {
    const file = single ? path : shardPath(path, i + 1, groups.length);
    const part = single ? state : state.with(names.map((name) => [name, state.tensors.get(name)!] as const));
    const content = contentOf(
      format === "safetensors" ? planSafetensors(part, options.metadata) : planTorchFile(part, file),
    );
    files.push({ path: file, bytes: content.length, tensors: names.length });
    contents.push(content);
    // A single file needs no map, and there may be 100,000 names.
    if (!single) for (const name of names) weightMap.set(name, basename(file));
    total += format === "torch" ? part.byteLength : sum(names, (name) => state.tensors.get(name)!.byteLength);
  });
  const index = single ? undefined : `${path}${INDEX}`;
  const indexText = (crc32s: readonly number[]) => {
    const stated = files.map(
      ({ path, bytes }, i) => [basename(path), { size: bytes, crc32: crc32s[i]! }] as const,
    );
    return formatIndex(weightMap, total, new Map(stated));
  };
  const indexBytes = index === undefined ? 0 : Buffer.byteLength(indexText(files.map(() => 0)));
  const bytes = indexBytes + sum(files, (file) => file.bytes);
  return { files, contents, index, indexText, bytes };
}

/** Returns the path of one shard: the first of three for `x.bin` is `x-00001-of-00003.bin`. */
function shardPath(path: string, number: number, of: number): string {
  const extension = extname(path);
  const pad = (value: number) => String(value).padStart(5, "0");
  return join(dirname(path), `${basename(path, extension)}-${pad(number)}-of-${pad(of)}${extension}`);
}

/** Returns a function that tells whether a file name belongs to a path: as the file itself, its index or one of its shards. */
function familyOf(path: string): (name: string) => boolean {
  const extension = extname(path);
  const stem = basename(path, extension);
  return (name) => {
    if (name === basename(path) || name === `${basename(path)}${INDEX}`) return true;
    if (!name.startsWith(`${stem}-`) || !name.endsWith(extension)) return false;
    return /^\d{5}-of-\d{5}$/.test(name.slice(stem.length + 1, name.length - extension.length));
  };
}

/** Lists the existing files of a family, in the folder of its path. */
async function present(path: string, isOurs: (name: string) => boolean): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => [] as string[]);
  return names
    .filter(isOurs)
    .sort()
    .map((name) => join(dirname(path), name));
}
