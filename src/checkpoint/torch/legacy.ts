/**
 * Reads the form of torch.save before 1.6, which is also that of DeepSpeed with `checkpoint_serialization: false`: five pickles
 * one after the other (magic number, protocol, system info, the object, the storage keys), then each storage as an int64 count of
 * elements and its raw bytes. It has no checksums.
 *
 * Source: torch/serialization.py, _legacy_save and _legacy_load.
 */
import { damagedFile, incompleteFile, VistaError } from "../../core/errors.js";
import type { Region, SourceFile } from "../../core/io/source.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { type TorchFile, tensorsOver } from "./file.js";
import { PICKLE_LIMITS } from "./limits.js";
import { asDict, asItems, keyText, type PyValue } from "./objects.js";
import { plainPickle } from "./other-kinds.js";
import { readPickle } from "./pickle.js";
import { TorchValues } from "./values.js";

/** The value of the first pickle of such a file, in whatever protocol. */
export const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

export async function readLegacy(file: SourceFile): Promise<TorchFile> {
  // The length of the pickles is known only when they have been read, so ever more of the file is tried.
  for (let size = 1024 * 1024; ; size *= 4) {
    const data = Buffer.allocUnsafeSlow(Math.min(size, file.size));
    await file.read(data, 0);
    try {
      return await parse(file, data);
    } catch (error) {
      const short =
        error instanceof VistaError && error.code === "TRUNCATED" && error.where.record !== undefined;
      if (!short || data.length === file.size || size >= PICKLE_LIMITS.size) throw error;
    }
  }
}

async function parse(file: SourceFile, data: Buffer): Promise<TorchFile> {
  let at = 0;
  const values = new TorchValues(file.path);
  const { globals, storages } = values;
  const next = (record: string): PyValue => {
    const result = values.read(data, record, at);
    at = result.end;
    return result.value;
  };

  // What another program pickled may hold tensors too, in a form of its own: nothing in it is taken for one here.
  const magic = readPickle(data, { path: file.path, record: "magic number" });
  if (magic.value !== LEGACY_MAGIC) throw plainPickle(file.path);
  at = magic.end;
  const protocol = next("protocol version");
  if (protocol !== PROTOCOL) {
    throw new VistaError("UNSUPPORTED", `legacy torch protocol ${String(protocol)}, known is ${PROTOCOL}`, {
      path: file.path,
      hint: "Load it with the torch that saved it and save it again.",
    });
  }
  const system = asDict(next("system info"));
  if (system?.get("little_endian") === false) {
    throw new VistaError("UNSUPPORTED", "the tensors are stored big-endian", {
      path: file.path,
      hint: "Load and save it again on a little-endian machine.",
    });
  }
  const start = at;
  const value = next("legacy pickle");
  const end = at;
  const keys = asItems(next("storage keys")) ?? [];

  const regions = new Map<string, Region>();
  for (const key of keys) {
    const storage = typeof key === "string" ? storages.get(key) : undefined;
    if (storage === undefined || regions.has(storage.key)) {
      const why = storage === undefined ? "but no tensor uses it" : "twice";
      throw damagedFile(`storage ${keyText(key)} is listed ${why}`, { path: file.path, offset: at });
    }
    const count = Buffer.alloc(8);
    await file.read(count, at);
    const numel = Number(count.readBigInt64LE());
    const offset = at + 8;
    if (offset + storage.byteLength > file.size) {
      const last = offset + storage.byteLength;
      const what = `storage ${storage.key} ends at ${last}, the file has ${file.size} bytes`;
      throw incompleteFile(what, { path: file.path, offset });
    }
    const name = `storage ${storage.key}`;
    const length = storage.byteLength;
    const expected = storage.dtype === undefined ? length : (length * 8) / dtypeInfo(storage.dtype).bits;
    if (numel !== expected) {
      throw damagedFile(`${name} has ${numel} elements, the pickle says ${expected}`, {
        path: file.path,
        offset: at,
      });
    }
    regions.set(storage.key, { file, name, offset, length, crc32: undefined });
    at = offset + length;
  }
  const storage = async (key: string): Promise<Region> => {
    const region = regions.get(key);
    if (region !== undefined) return region;
    throw damagedFile(`storage ${key} is not in the file`, { path: file.path });
  };
  const opened: TorchFile = {
    file,
    format: "legacy",
    value,
    globals,
    tensor: tensorsOver(file, storage),
    storage,
    exact: async () => {
      const pickle = Buffer.alloc(end - start);
      await file.read(pickle, start);
      return readPickle(pickle, { path: file.path, record: "legacy pickle", exact: true });
    },
    regions: async () => [...regions.values()],
    slim: () => ({ ...opened, value: null }),
  };
  return opened;
}
