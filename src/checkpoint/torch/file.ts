/** Defines a torch file whose pickle was read, in either of its two forms. */

import { damagedFile, VistaError } from "../../core/errors.js";
import type { Region, SourceFile } from "../../core/io/source.js";
import { type Tensor, viewTensor } from "../tensor/tensor.js";
import type { PyGlobal, PyValue } from "./objects.js";
import type { ExactPickle } from "./rewrite.js";
import type { TorchTensor } from "./values.js";

/** An open torch file; the tensors inside {@link value} are {@link TorchTensor}s. */
export interface TorchFile {
  readonly file: SourceFile;
  /** The form of the file: `legacy` is the one before torch 1.6, without a zip and without CRCs. */
  readonly format: "zip" | "legacy";
  readonly value: PyValue;
  /** The names of all classes and functions that the pickle mentions, in order of appearance. */
  readonly globals: readonly PyGlobal[];
  /** Returns the plan of a tensor; equal views give the same object. @throws VistaError `FORMAT`, `TRUNCATED` */
  tensor(description: TorchTensor): Promise<Tensor>;
  /** Returns the bytes of a storage by its key. @throws VistaError `FORMAT`, `TRUNCATED` */
  storage(key: string): Promise<Region>;
  /**
   * Reads the pickle once more, exactly, so that it can be changed and written again.
   * @throws VistaError `PICKLE` for what cannot be written again
   */
  exact(): Promise<ExactPickle>;
  /** Returns all regions of the file that a check of the whole file looks at, with their CRC where they have one. */
  regions(): Promise<Region[]>;
  /**
   * Returns the open file without the contents of its pickle ({@link value} is `null`) and without a zip's directory, which is
   * read again when a record is asked for: of a thousand files with thousands of tensors, either would be a gigabyte.
   */
  slim(): TorchFile;
}

/**
 * The bytes that all tensors of a file may have together are this number and {@link EXPANDED_PER_BYTE} for each byte of the file.
 * Views may overlap and expand (stride 0), so a few bytes could stand for a terabyte that a command would set out to write. The
 * tensors of real files have as many bytes as the file itself, and a mask or two.
 */
const EXPANDED = 2 ** 30;
const EXPANDED_PER_BYTE = 16;

/**
 * Returns a function that makes tensors from descriptions, each view once.
 * @param locate  returns the same region for the same key
 */
export function tensorsOver(
  file: SourceFile,
  locate: (key: string) => Promise<Region>,
): (tensor: TorchTensor) => Promise<Tensor> {
  let views: Views | undefined;
  let bytes = 0;
  return async (description) => {
    const { storage, dtype, offset, shape, strides } = description;
    views ??= new Views();
    const known = views.get(description);
    if (known !== undefined) return known;
    const place = await locate(storage.key);
    if (place.length !== storage.byteLength) {
      const what = `the storage has ${place.length} bytes, the pickle says ${storage.byteLength}`;
      throw damagedFile(what, { path: place.file.path, record: place.name });
    }
    const again = views.get(description);
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
    views.add(description, made);
    return made;
  };
}

/** Tensors by what their descriptions say. Nearly every storage has a single view, for which no text is made as a key. */
class Views {
  readonly #first = new Map<string, { readonly of: TorchTensor; readonly tensor: Tensor }>();
  readonly #others = new Map<string, Tensor>();

  get(view: TorchTensor): Tensor | undefined {
    const first = this.#first.get(view.storage.key);
    if (first === undefined) return undefined;
    return keyOf(first.of) === keyOf(view) ? first.tensor : this.#others.get(keyOf(view));
  }

  add(view: TorchTensor, tensor: Tensor): void {
    if (this.#first.has(view.storage.key)) this.#others.set(keyOf(view), tensor);
    else this.#first.set(view.storage.key, { of: view, tensor });
  }
}

function keyOf({ storage, dtype, offset, shape, strides }: TorchTensor): string {
  return `${storage.key}|${dtype}|${offset}|${shape}|${strides}`;
}
