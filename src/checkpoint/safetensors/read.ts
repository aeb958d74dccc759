/** Opens safetensors files as state dicts. Only the header is read. */
import { fromReader } from "../../core/errors.js";
import { openSource } from "../../core/io/open-source.js";
import type { Region, SourceFile } from "../../core/io/source.js";
import { makeTensor, StateDict, type Tensor } from "../tensor/tensor.js";
import { readHeader } from "./header.js";

export interface SafetensorsFile {
  /** The tensors, in the order of their bytes; close it when done. */
  readonly state: StateDict;
  /** The metadata, text by key; `undefined` where the file has none. */
  readonly metadata: ReadonlyMap<string, string> | undefined;
}

/**
 * Opens a safetensors file, with all checks of the reference and one more: names that come twice are refused.
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `TRUNCATED`, `FORMAT`
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const file = await openSource(path);
  try {
    return await readSafetensors(file);
  } catch (error) {
    await file.close();
    throw fromReader(error, path);
  }
}

/**
 * Reads the header of a safetensors file that is open.
 * @param whole  the statements of an index about the whole file, which is then one region with that CRC-32
 * @throws VistaError `TRUNCATED`, `FORMAT`
 */
export async function readSafetensors(
  file: SourceFile,
  whole?: Pick<Region, "crc32" | "mismatch">,
): Promise<SafetensorsFile> {
  const { entries, metadata, dataStart } = await readHeader(file);
  const offset = whole === undefined ? dataStart : 0;
  const length = file.size - offset;
  const region: Region = { file, name: "tensor data", offset, length, crc32: undefined, ...whole };
  const before = dataStart - offset;
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape, start, end } of entries) {
    const pieces = start === end ? [] : [{ region, start: before + start, length: end - start }];
    tensors.set(name, makeTensor(dtype, shape, { kind: "pieces", pieces }));
  }
  return { state: new StateDict(tensors, [file]), metadata };
}
