/** torch files as values: the pickle with its tensors as descriptions, and the regions that hold their bytes. */
import { fromReader, VistaError } from "../../core/errors.js";
import { crc32 } from "../../core/io/crc32.js";
import { settleAll } from "../../core/io/settle.js";
import { type Region, SourceFile } from "../../core/io/source.js";
import { checksumError } from "../copy/input-checks.js";
import { type Tensor, viewTensor } from "../tensor/tensor.js";
import { readLegacy } from "./legacy.js";
import { PICKLE_LIMITS } from "./limits.js";
import type { PyGlobal, PyValue } from "./objects.js";
import { otherFile } from "./other-kinds.js";
import { readPickle } from "./pickle.js";
import type { ExactPickle } from "./rewrite.js";
import { type TorchTensor, TorchValues } from "./values.js";
import { openTorchZip, type TorchZip } from "./zip.js";

export interface ReadTorchOptions {
  /** Check the CRC-32 of the pickle. Default true. */
  verify?: boolean;
}

/** A torch file, open; tensors inside {@link value} are {@link TorchTensor}s. */
export interface TorchFile {
  readonly file: SourceFile;
  /** `legacy` is the form before torch 1.6, without a zip and without CRCs. */
  readonly format: "zip" | "legacy";
  readonly value: PyValue;
  /** Every name that the pickle mentions, in order of appearance. */
  readonly globals: readonly PyGlobal[];
  /** The plan of a tensor: equal views give the same object. @throws VistaError `FORMAT`, `TRUNCATED` */
  tensor(description: TorchTensor): Promise<Tensor>;
  /** The bytes of a storage by its key. @throws VistaError `FORMAT`, `TRUNCATED` */
  storage(key: string): Promise<Region>;
  /** The pickle once more, exactly, to be changed and written again. @throws VistaError `PICKLE` for what cannot be written again */
  exact(): Promise<ExactPickle>;
  /** All regions of the file with a CRC, for a check of the whole file. */
  regions(): Promise<Region[]>;
}

/**
 * Opens a file of torch.save, zip or legacy, and reads its pickle (and nothing else).
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `FORMAT`, `PICKLE`, `CHECKSUM`, `TRUNCATED`, `UNSUPPORTED`
 */
export async function readTorchFile(path: string, options: ReadTorchOptions = {}): Promise<TorchFile> {
  const file = await SourceFile.open(path);
  try {
    return await readOpened(file, options);
  } catch (error) {
    await file.close();
    throw fromReader(error, path);
  }
}

async function readOpened(file: SourceFile, options: ReadTorchOptions): Promise<TorchFile> {
  const head = Buffer.alloc(Math.min(16, file.size));
  await file.read(head, 0);
  if (head.length >= 4 && head.readUInt32LE(0) === 0x04034b50)
    return readTorchZip(await openTorchZip(file), options);
  // PROTO 2 or higher: the magic number's pickle
  if (head.length >= 2 && head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) return readLegacy(file);
  throw notTorch(file, head);
}

/** Reads the pickle of a zip that is open. @throws VistaError as {@link readTorchFile} does */
export async function readTorchZip(zip: TorchZip, options: ReadTorchOptions): Promise<TorchFile> {
  const { file } = zip;
  if (zip.has("byteorder")) {
    const order = (await readRecord(await zip.record("byteorder"), 16, options)).toString("latin1");
    if (order !== "little") {
      throw new VistaError("UNSUPPORTED", `the tensors are stored in byte order ${JSON.stringify(order)}`, {
        path: file.path,
        record: `${zip.root}/byteorder`,
        hint: "Load and save it again on a little-endian machine.",
      });
    }
  }
  const pickle = await zip.record("data.pkl");
  const data = await readRecord(pickle, PICKLE_LIMITS.size, options);
  const values = new TorchValues(file.path, pickle.name);
  const globals: PyGlobal[] = [];
  const { value } = readPickle(data, {
    path: file.path,
    record: pickle.name,
    construct: (callable, args, at) => values.construct(callable, args, at),
    persistentId: (id, at) => values.persistentId(id, at),
    onGlobal: (name) => globals.push(name),
  });
  const storage = (key: string) => zip.record(`data/${key}`);
  return {
    file,
    format: "zip",
    value,
    globals,
    tensor: tensorsOver(file, storage),
    storage,
    exact: async () => {
      const again = await readRecord(pickle, PICKLE_LIMITS.size, { verify: false });
      return readPickle(again, { path: file.path, record: pickle.name, exact: true });
    },
    regions: async () => {
      const regions = [];
      for (const name of zip.names()) regions.push(await zip.record(name));
      return regions;
    },
  };
}

/**
 * Looks up many tensors at once. Each needs a read of its own (the local header of its record): one after the other, a
 * model of thousands of tensors would wait for each.
 */
export function tensorsAt(file: TorchFile, descriptions: Iterable<TorchTensor>): Promise<Tensor[]> {
  return settleAll(Array.from(descriptions, (description) => file.tensor(description)));
}

/**
 * Bytes of all tensors of a file together: views may overlap and expand (stride 0), and a few bytes could stand for a
 * terabyte that a command would set out to write. Real files have as many as the file itself, and a mask or two.
 */
const EXPANDED = 2 ** 30;
const EXPANDED_PER_BYTE = 16;

/** Makes tensors from descriptions, each region located once and each view made once. */
export function tensorsOver(
  file: SourceFile,
  locate: (key: string) => Promise<Region>,
): (tensor: TorchTensor) => Promise<Tensor> {
  const regions = new Map<string, Promise<Region>>();
  const views = new Map<string, Tensor>();
  let bytes = 0;
  return async (description) => {
    const { storage, dtype, offset, shape, strides } = description;
    const key = `${storage.key}|${dtype}|${offset}|${shape}|${strides}`;
    const known = views.get(key);
    if (known !== undefined) return known;
    let region = regions.get(storage.key);
    if (region === undefined) {
      region = locate(storage.key);
      regions.set(storage.key, region);
    }
    const place = await region;
    if (place.length !== storage.byteLength) {
      throw new VistaError(
        "FORMAT",
        `the storage has ${place.length} bytes, the pickle says ${storage.byteLength}`,
        { path: place.file.path, record: place.name, hint: "The file is damaged: copy it again." },
      );
    }
    const again = views.get(key);
    if (again !== undefined) return again;
    const made = viewTensor(place, dtype, offset, shape, strides);
    bytes += made.byteLength;
    if (bytes > EXPANDED + EXPANDED_PER_BYTE * file.size) {
      throw new VistaError(
        "FORMAT",
        `its tensors have more than ${bytes} bytes, the file has ${file.size}: views that expand what is there`,
        {
          path: file.path,
          record: place.name,
          hint: "Save it again with the tensors made contiguous: `{k: v.contiguous() for k, v in sd.items()}`.",
        },
      );
    }
    views.set(key, made);
    return made;
  };
}

async function readRecord(region: Region, limit: number, options: ReadTorchOptions): Promise<Buffer> {
  if (region.length > limit) {
    throw new VistaError("FORMAT", `the record has ${region.length} bytes, the limit is ${limit}`, {
      path: region.file.path,
      record: region.name,
    });
  }
  const bytes = Buffer.allocUnsafeSlow(region.length);
  await region.file.read(bytes, region.offset);
  // 0 means "not computed": torch.serialization.set_crc32_options(False)
  if (options.verify !== false && region.crc32) {
    const found = crc32(bytes);
    if (found !== region.crc32) throw checksumError(region, found);
  }
  return bytes;
}

/** Says what a file is that torch.save did not write. */
function notTorch(file: SourceFile, head: Buffer): VistaError {
  const where = { path: file.path };
  if (file.size === 0) {
    return new VistaError("FORMAT", "the file is empty (0 bytes), so not a file of torch.save", {
      ...where,
      hint: "The save was interrupted or the disk was full: copy it again or use an earlier checkpoint.",
    });
  }
  if (head.length >= 9 && head.readBigUInt64LE(0) < 100_000_000n && head[8] === 0x7b) {
    return new VistaError("FORMAT", "this is a safetensors file where a file of torch.save is needed", where);
  }
  const other = otherFile(file.path, head);
  if (other !== undefined) return other;
  const text = head.toString("latin1");
  const shown = JSON.stringify(text.slice(0, 12));
  const lfs = text.startsWith("version https://".slice(0, 16));
  return new VistaError("FORMAT", `not a file of torch.save: ${file.size} bytes that begin with ${shown}`, {
    ...where,
    hint: lfs
      ? "This is a Git LFS pointer: fetch the real file with `git lfs pull`."
      : "Give the file that torch.save wrote; if this is it, it is damaged: copy it again.",
  });
}
