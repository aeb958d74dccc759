/** Recognizes sound files that are no state dict of torch, so that nobody takes them for damaged. */
import { firstNames, VistaError } from "../../core/errors.js";

interface Kind {
  readonly what: string;
  readonly hint: string;
}

function otherKind(path: string, { what, hint }: Kind, wanted = "a file of torch.save"): VistaError {
  return new VistaError("WRONG_KIND", `this is ${what}, not ${wanted}`, { path, hint });
}

/**
 * Tells what a zip is by the names of its records; `undefined` for one of torch.save.
 *
 * Source: torch/jit/_serialization.py, torch/export/pt2_archive/constants.py, torch/package/package_exporter.py, numpy/lib/npyio.py,
 * keras/src/saving/saving_lib.py.
 */
export function otherZip(path: string, names: readonly string[]): VistaError | undefined {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  if (has(/^[^/]+\/constants\.pkl$/) && has(/^[^/]+\/code\//)) {
    return otherKind(path, {
      what: "a TorchScript archive (torch.jit.save): a program with its weights",
      hint: "Save its weights alone: `torch.save(torch.jit.load(path).state_dict(), 'weights.pt')`.",
    });
  }
  if (has(/^[^/]+\/archive_format$/) || has(/^[^/]+\/models\/[^/]+\.json$/)) {
    return otherKind(path, {
      what: "a program of torch.export (.pt2)",
      hint: "Save its weights alone: `torch.save(torch.export.load(path).state_dict, 'weights.pt')`.",
    });
  }
  if (has(/^[^/]+\/\.data\/(?:extern_modules|python_version)$/)) {
    return otherKind(path, {
      what: "a package of torch.package: Python code with what it needs",
      hint: "Load the model with torch.package.PackageImporter and save its state dict with torch.save.",
    });
  }
  if (names.length > 0 && names.every((name) => name.endsWith(".npy"))) {
    return otherKind(path, { what: "an archive of NumPy (.npz)", hint: "Save its arrays with torch.save." });
  }
  if (names.includes("model.weights.h5")) {
    return otherKind(path, { what: "a model of Keras", hint: "Save its weights with torch.save." });
  }
  return undefined;
}

/** Returns the error for a zip that is of none of the kinds above and has no pickle. @param names  the names of its records */
export function zipWithoutPickle(path: string, names: readonly string[]): VistaError {
  if (names.some((name) => /^[^/]+\/(?:\.?version|\.format_version|byteorder|data\/\d+)$/.test(name))) {
    return new VistaError(
      "FORMAT",
      "it has records as torch.save writes them, and no data.pkl: the save failed half way",
      { path, hint: "Save it again, or use an earlier checkpoint." },
    );
  }
  return otherKind(path, {
    what: names.length === 0 ? "an empty zip archive" : `a zip archive (with ${firstNames(names)})`,
    hint: "Give the file that torch.save wrote; if it is in this archive, unpack it first.",
  });
}

/** Returns the error for a pickle that does not begin with the magic number of torch.save. */
export function plainPickle(path: string): VistaError {
  return otherKind(path, {
    what: "a pickle of another program",
    hint: "Give the file that torch.save wrote.",
  });
}

/**
 * Returns the error for a `.distcp` file, which holds one file of torch.save after the other; only `.metadata` beside it can tell
 * them apart.
 */
export function dataOfDcp(path: string): VistaError {
  return otherKind(path, {
    what: "a data file of torch.distributed.checkpoint (.distcp): parts of tensors, without their names",
    hint: "Give the folder with `.metadata`.",
  });
}

// biome-ignore format: one kind a line
const MAGICS: readonly (Kind & { readonly begins: Buffer; readonly at?: number })[] = [
  { begins: Buffer.from("GGUF"), what: "a GGUF file (llama.cpp)", hint: "Give the checkpoint that it was made of." },
  { begins: Buffer.from("\x89HDF\r\n", "latin1"), what: "an HDF5 file (Keras)", hint: "Save its weights with torch.save." },
  { begins: Buffer.from("\x93NUMPY", "latin1"), what: "an array of NumPy (.npy)", hint: "Save it with torch.save." },
  { begins: Buffer.from([0x1f, 0x8b]), what: "a gzip archive", hint: "Unpack it first." },
  { begins: Buffer.from("BZh"), what: "a bzip2 archive", hint: "Unpack it first." },
  { begins: Buffer.from("\xfd7zXZ", "latin1"), what: "an xz archive", hint: "Unpack it first." },
  { begins: Buffer.from("7z\xbc\xaf", "latin1"), what: "a 7-Zip archive", hint: "Unpack it first." },
  { begins: Buffer.from("PK\x05\x06"), what: "an empty zip archive", hint: "Copy the file again." },
  { begins: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), what: "a Zstandard archive", hint: "Unpack it first." },
  { begins: Buffer.from("<"), what: "a page of HTML or XML, maybe an answer of the server in place of the file", hint: "Fetch the file again." },
  { begins: Buffer.from("version https://"), what: "a Git LFS pointer", hint: "Fetch the real file with `git lfs pull`." },
  { begins: Buffer.from("SQLite format 3\0"), what: "an SQLite database", hint: "Give a checkpoint." },
  { begins: Buffer.from("ustar"), at: 257, what: "a tar archive", hint: "Unpack it first." },
  { begins: Buffer.from("TFL3"), at: 4, what: "a model of TensorFlow Lite", hint: "Give the checkpoint that it was exported from." },
];

/** The number of bytes that {@link otherFile} looks at. */
export const HEAD = 512;

/**
 * Tells what a file is by its first {@link HEAD} bytes, where it has as many; `undefined` where they say nothing.
 * @param wanted  what was expected in its place
 */
export function otherFile(path: string, head: Buffer, wanted?: string): VistaError | undefined {
  const known = MAGICS.find(({ begins, at = 0 }) => head.subarray(at, at + begins.length).equals(begins));
  if (known !== undefined) return otherKind(path, known, wanted);
  // A protobuf has no magic; an ONNX model begins with field 1 (ir_version, a small number), then field 2 (producer_name) or
  // another of the model's.
  const [first, version = 0, second = 0] = head;
  if (first !== 0x08 || version < 1 || version > 32) return undefined;
  if (![0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a].includes(second)) return undefined;
  return otherKind(
    path,
    { what: "an ONNX model", hint: "Give the checkpoint that it was exported from." },
    wanted,
  );
}
