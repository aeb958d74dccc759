/**
 * Opens the safetensors form of DCP (torch since 2.7): each rank writes its boxes into safetensors files of its own, whose
 * metadata say where in their tensors they belong. There is no `.metadata`, so the shape of a tensor is what its boxes reach up
 * to: the other files cannot tell that the last rank's is missing, and a warning says so.
 *
 * Source: pytorch torch/distributed/checkpoint/_hf_utils.py, hf_storage.py, filesystem.py.
 */
import { damagedFile, throwIfAborted, VistaError } from "../../core/errors.js";
import { joinPlace } from "../../core/io/places.js";
import type { SourceFile } from "../../core/io/source.js";
import { isRecord, remember } from "../../core/maps.js";
import type { RunOptions } from "../../core/progress.js";
import { openSafetensors } from "../safetensors/read.js";
import { placeBoxes } from "../tensor/boxes.js";
import type { DType } from "../tensor/dtype.js";
import { type Box, StateDict, type Tensor } from "../tensor/tensor.js";
import { SHARD_NAME } from "./find.js";

/** The key of the metadata whose value is JSON: `{tensor: {"saved_offsets": [first index of each dimension]}}`. */
const SHARDING_INFO = "DCP_SHARDING_INFO";

/**
 * Opens the shards of a folder as one state dict.
 * @throws VistaError `FORMAT` for metadata that do not say where a box belongs, boxes that overlap or leave a hole; `NOT_FOUND`
 *   where the numbers of the shards have a gap; what reading safetensors files throws
 */
export async function openSafetensorsShards(
  folder: string,
  names: readonly string[],
  options: RunOptions = {},
): Promise<{ state: StateDict; boxes: number; warnings: string[] }> {
  const gaps = checkNumbers(folder, names);
  const files: SourceFile[] = [];
  const found = new Map<string, { dtype: DType; boxes: Box[] }>();
  try {
    for (const [i, name] of names.entries()) {
      throwIfAborted(options.signal);
      const path = joinPlace(folder, name);
      const { state, metadata } = await openSafetensors(path);
      files.push(...state.files);
      const offsets = readOffsets(path, metadata?.get(SHARDING_INFO));
      for (const [tensor, part] of state.tensors) {
        const known = remember(found, tensor, () => ({ dtype: part.dtype, boxes: [] }));
        if (known.dtype !== part.dtype) {
          throw new VistaError("FORMAT", `a part of ${part.dtype}, another shard has one of ${known.dtype}`, {
            path,
            record: tensor,
            hint: "The shards are of two checkpoints: copy them again.",
          });
        }
        known.boxes.push(boxOf(state.files[0]!, tensor, part, offsets.get(tensor)));
      }
      options.onProgress?.({ phase: "open", done: i + 1, total: names.length, unit: "files" });
    }
    const tensors = new Map<string, Tensor>();
    let boxes = 0;
    for (const [name, { dtype, boxes: parts }] of found) {
      const shape = parts[0]!.sizes.map((_, d) =>
        parts.reduce((end, { offsets, sizes }) => Math.max(end, (offsets[d] ?? 0) + (sizes[d] ?? 0)), 0),
      );
      tensors.set(name, placeBoxes({ path: folder, record: name }, dtype, shape, parts));
      boxes += parts.length;
    }
    const warnings = [
      `shards 1 to ${lastRank(names)} are there; nothing in such files says how many ranks there were, so see that none is missing at the end`,
      ...gaps,
    ];
    return { state: new StateDict(tensors, files), boxes, warnings };
  } catch (error) {
    await Promise.allSettled(files.map((file) => file.close()));
    throw error;
  }
}

function lastRank(names: readonly string[]): number {
  return names.reduce((last, name) => Math.max(last, Number(SHARD_NAME.exec(name)![1])), 0);
}

/**
 * Checks the numbers of the shards. Ranks are numbered from 1 on, each with files 1 to as many as its name says, except those of
 * whose tensors it had no part.
 *
 * @returns a warning for each file that only some ranks have, which cannot be told from one that was lost
 * @throws VistaError `NOT_FOUND` where a rank or a file is missing
 */
function checkNumbers(folder: string, names: readonly string[]): string[] {
  const filesOf = new Map<number, { numbers: Set<number>; files: number }>();
  for (const name of names) {
    const [rank, file, files] = SHARD_NAME.exec(name)!.slice(1).map(Number) as [number, number, number];
    remember(filesOf, rank, () => ({ numbers: new Set<number>(), files })).numbers.add(file);
  }
  const last = lastRank(names);
  const anywhere = new Set([...filesOf.values()].flatMap(({ numbers }) => [...numbers]));
  const warnings: string[] = [];
  for (let rank = 1; rank <= last; rank++) {
    const known = filesOf.get(rank);
    const missing = Array.from({ length: known?.files ?? 0 }, (_, i) => i + 1).filter(
      (file) => !known!.numbers.has(file),
    );
    const lost = missing.find((file) => !anywhere.has(file));
    if (known === undefined || lost !== undefined) {
      const what =
        lost === undefined
          ? `shards up to ${last} are there, none of shard ${rank}`
          : `no shard has its file ${lost} of ${known!.files}`;
      const hint = "Copy the files of all ranks into one folder.";
      throw new VistaError("NOT_FOUND", what, { path: folder, hint });
    }
    if (missing.length > 0) {
      warnings.push(
        `shard ${rank} has no file ${missing.join(", ")} of ${known.files}: right where it had no part of the tensors there, so see that none was lost`,
      );
    }
  }
  return warnings;
}

function readOffsets(path: string, text: string | undefined): Map<string, readonly number[]> {
  let json: unknown;
  try {
    json = JSON.parse(text ?? "");
  } catch (error) {
    throw new VistaError("FORMAT", `its metadata have no ${SHARDING_INFO} that can be read`, {
      path,
      hint: "The file is damaged, or was not written by torch.distributed.checkpoint.",
      cause: error,
    });
  }
  const offsets = new Map<string, readonly number[]>();
  for (const [name, info] of Object.entries(isRecord(json) ? json : {})) {
    const saved = isRecord(info) ? info.saved_offsets : undefined;
    if (Array.isArray(saved) && saved.every((offset) => Number.isSafeInteger(offset) && offset >= 0))
      offsets.set(name, saved as number[]);
  }
  return offsets;
}

function boxOf(file: SourceFile, name: string, part: Tensor, offsets: readonly number[] | undefined): Box {
  if (offsets?.length !== part.shape.length) {
    const what = `${SHARDING_INFO} does not say where its ${part.shape.length} dimensions begin`;
    throw damagedFile(what, { path: file.path, record: name });
  }
  const [piece] = part.source.kind === "pieces" ? part.source.pieces : [];
  const offset = piece === undefined ? 0 : piece.region.offset + piece.start;
  const region = { file, name, offset, length: part.byteLength, crc32: undefined };
  return { region, offsets, sizes: part.shape };
}
