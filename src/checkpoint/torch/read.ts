/** Reads torch files as values: the pickle with its tensors as descriptions, and the regions that hold their bytes. */
import { fromReader, VistaError } from "../../core/errors.js";
import { combineCrc32, crc32 } from "../../core/io/crc32.js";
import { openSource } from "../../core/io/open-source.js";
import { settleAll } from "../../core/io/settle.js";
import type { Region, SourceFile } from "../../core/io/source.js";
import { checksumError } from "../copy/input-checks.js";
import type { Tensor } from "../tensor/tensor.js";
import { type TorchFile, tensorsOver } from "./file.js";
import { torchForm } from "./form.js";
import { readLegacy } from "./legacy.js";
import { PICKLE_LIMITS } from "./limits.js";
import type { PyGlobal, PyValue } from "./objects.js";
import { HEAD, otherFile } from "./other-kinds.js";
import { readPickle } from "./pickle.js";
import { type TorchTensor, TorchValues } from "./values.js";
import { openTorchZip, type TorchZip } from "./zip.js";
import { endsAsZip } from "./zip-directory.js";

export interface ReadTorchOptions {
  /** Whether the CRC-32 of the pickle is checked; true by default. */
  verify?: boolean;
  /** Returns an open file with this very pickle, where there is one: the pickle is then not read again, and the two share what it says. */
  like?: (pickle: Buffer) => Pick<TorchFile, "value" | "globals"> | undefined;
}

/**
 * Opens a file of torch.save, zip or legacy, and reads its pickle (and nothing else).
 * @throws VistaError `NOT_FOUND`, `WRONG_KIND`, `FORMAT`, `PICKLE`, `CHECKSUM`, `TRUNCATED`, `UNSUPPORTED`
 */
export async function readTorchFile(path: string, options: ReadTorchOptions = {}): Promise<TorchFile> {
  const file = await openSource(path);
  try {
    return await readOpenTorchFile(file, options);
  } catch (error) {
    await file.close();
    throw fromReader(error, path);
  }
}

/** Reads the pickle of a file that is open. @throws VistaError as {@link readTorchFile} does */
export async function readOpenTorchFile(
  file: SourceFile,
  options: ReadTorchOptions = {},
): Promise<TorchFile> {
  const head = Buffer.alloc(Math.min(HEAD, file.size));
  await file.read(head, 0);
  const form = torchForm(head);
  if (form === "zip") return readTorchZip(await openTorchZip(file), options);
  if (form === "legacy") return readLegacy(file);
  throw await notTorch(file, head);
}

/** Reads the pickle of a zip that is open. @throws VistaError as {@link readTorchFile} does */
export async function readTorchZip(zip: TorchZip, options: ReadTorchOptions = {}): Promise<TorchFile> {
  const { file } = zip;
  // The record that lies first is read first: over a network the byte order comes along with it.
  const pickle = await zip.record("data.pkl");
  const data = await readRecord(pickle, PICKLE_LIMITS.size, options);
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
  const known = options.like?.(data);
  if (known !== undefined) return zipFile(pickle, known.value, known.globals, openedAgain(file));
  const { value, globals } = readValue(data, file.path, pickle.name);
  return zipFile(pickle, value, globals, async () => zip);
}

/** The versions of the zip form that torch reads. Source: caffe2/serialize/versions.h */
const VERSIONS = { least: 1, most: 10 };

/** Returns what keeps torch from opening a zip whose records are all there: it wants to know the version of the form. */
export async function versionProblem(zip: TorchZip): Promise<VistaError | undefined> {
  const name = [".data/version", "version"].find((each) => zip.has(each));
  const where = { path: zip.file.path, hint: "torch.save did not write it so: save the checkpoint again." };
  if (name === undefined)
    return new VistaError(
      "FORMAT",
      "the zip has no record `version`, without which torch does not open it",
      where,
    );
  const record = await zip.record(name);
  const text = (await readRecord(record, 32, { verify: false })).toString("latin1");
  const version = /^\s*\d+\s*$/.test(text) ? Number(text) : Number.NaN;
  if (version >= VERSIONS.least && version <= VERSIONS.most) return undefined;
  const what = `version ${JSON.stringify(text)} of the zip form, torch knows ${VERSIONS.least} to ${VERSIONS.most}`;
  return new VistaError("FORMAT", what, { ...where, record: record.name });
}

/** Returns the torch file of a zip whose pickle was read. @param open  opens the zip that has the pickle */
function zipFile(
  pickle: Region,
  value: PyValue,
  globals: readonly PyGlobal[],
  open: () => Promise<TorchZip>,
): TorchFile {
  const { file } = pickle;
  const storage = async (key: string) => (await open()).record(`data/${key}`);
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
      const zip = await open();
      const regions = [];
      for (const name of zip.names()) regions.push(await zip.record(name));
      return regions;
    },
    slim: () => zipFile(pickle, null, globals, openedAgain(file)),
  };
}

/** Returns a function that opens a zip when it is asked for, and keeps it only while somebody else does. */
function openedAgain(file: SourceFile): () => Promise<TorchZip> {
  let known: WeakRef<TorchZip> | undefined;
  let opening: Promise<TorchZip> | undefined;
  const open = async () => {
    try {
      const zip = await openTorchZip(file);
      known = new WeakRef(zip);
      return zip;
    } finally {
      opening = undefined;
    }
  };
  return async () => {
    const zip = known?.deref();
    if (zip !== undefined) return zip;
    opening ??= open();
    return opening;
  };
}

/**
 * Reads the pickle. This is a function of its own so that its variables go when it ends: what the open file refers to stays as
 * long as it is open.
 */
function readValue(data: Uint8Array, path: string, record: string): { value: PyValue; globals: PyGlobal[] } {
  const values = new TorchValues(path);
  const { value } = values.read(data, record);
  return { value, globals: values.globals };
}

/**
 * Returns the CRC-32 that the whole file has if every record has the one that the zip states for it: only the bytes between the
 * records are read. It is `undefined` where records have no CRC-32, or too much is between them.
 */
export async function wholeCrc32({ file, format, regions }: TorchFile): Promise<number | undefined> {
  if (format === "legacy") return undefined;
  let sum = 0;
  let at = 0;
  const addBytesTo = async (end: number) => {
    const bytes = new Uint8Array(end - at);
    await file.read(bytes, at);
    sum = crc32(bytes, sum);
    at = end;
  };
  for (const region of (await regions()).sort((a, b) => a.offset - b.offset)) {
    if (region.length === 0) continue;
    if (!region.crc32 || region.offset < at || region.offset - at > MAX_BETWEEN) return undefined;
    await addBytesTo(region.offset);
    sum = combineCrc32(sum, region.crc32, region.length);
    at += region.length;
  }
  if (file.size - at > MAX_BETWEEN) return undefined;
  await addBytesTo(file.size);
  return sum;
}

/**
 * The largest number of bytes between two records or behind the last that is read: a header and padding, or the directory of
 * 200,000 records.
 */
const MAX_BETWEEN = 64 * 2 ** 20;

/**
 * The number of records that are looked up side by side. Each needs a read of its own (its local header): one after the other, a
 * model of thousands of tensors would wait for each; all at once, a model of a hundred thousand takes six kilobytes for each of
 * them.
 */
export const LOOK_UPS = 1000;

/** Looks up many tensors, {@link LOOK_UPS} at a time. */
export async function tensorsAt(file: TorchFile, descriptions: Iterable<TorchTensor>): Promise<Tensor[]> {
  const wanted = [...descriptions];
  const tensors: Tensor[] = [];
  for (let at = 0; at < wanted.length; at += LOOK_UPS) {
    const looking = wanted.slice(at, at + LOOK_UPS).map((description) => file.tensor(description));
    for (const tensor of await settleAll(looking)) tensors.push(tensor);
  }
  return tensors;
}

async function readRecord(region: Region, limit: number, options: ReadTorchOptions): Promise<Buffer> {
  if (region.length > limit) {
    throw new VistaError("FORMAT", `the record has ${region.length} bytes, the limit is ${limit}`, {
      path: region.file.path,
      record: region.name,
      hint: "No checkpoint needs so many: the file is damaged or was tampered with.",
    });
  }
  const bytes = Buffer.allocUnsafeSlow(region.length);
  await region.file.read(bytes, region.offset);
  // A CRC-32 of 0 means "not computed" (torch.serialization.set_crc32_options(False)).
  if (options.verify !== false && region.crc32) {
    const found = crc32(bytes);
    if (found !== region.crc32) throw checksumError(region, found);
  }
  return bytes;
}

/** Returns the error that says what a file is that torch.save did not write; `FORMAT` where it did all the same, and the file is damaged. */
async function notTorch(file: SourceFile, head: Buffer): Promise<VistaError> {
  const where = { path: file.path };
  if (file.size === 0) {
    return new VistaError("FORMAT", "the file is empty (0 bytes), so not a file of torch.save", {
      ...where,
      hint: "The save was interrupted or the disk was full: copy it again or use an earlier checkpoint.",
    });
  }
  if (head.length >= 9 && head.readBigUInt64LE(0) <= 100_000_000n && head[8] === 0x7b) {
    return new VistaError("FORMAT", "this is a safetensors file where a file of torch.save is needed", where);
  }
  const other = otherFile(file.path, head);
  if (other !== undefined) return other;
  const shown = JSON.stringify(head.toString("latin1", 0, 12));
  if (await endsAsZip(file)) {
    return new VistaError("FORMAT", `ends as a zip of torch.save does, and begins with ${shown}`, {
      ...where,
      hint: "Its beginning is damaged: copy it again.",
    });
  }
  if (head.every((byte) => byte === 0)) {
    return new VistaError("FORMAT", `${file.size} bytes that begin with ${head.length} zeros`, {
      ...where,
      hint: "Its beginning was never written or is lost: copy it again or use an earlier checkpoint.",
    });
  }
  return new VistaError(
    "WRONG_KIND",
    `not a checkpoint that is known here: ${file.size} bytes that begin with ${shown}`,
    {
      ...where,
      hint: "Give what torch.save or safetensors wrote; if this is it, it is damaged: copy it again.",
    },
  );
}
