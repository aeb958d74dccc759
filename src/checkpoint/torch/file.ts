/** A torch file whose pickle was read, whichever of the two forms it has. */

import { VistaError } from "../../core/errors.js";
import type { Region, SourceFile } from "../../core/io/source.js";
import { type Tensor, viewTensor } from "../tensor/tensor.js";
import type { PyGlobal, PyValue } from "./objects.js";
import type { ExactPickle } from "./rewrite.js";
import type { TorchTensor } from "./values.js";

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
  /**
   * The open file without what its pickle says ({@link value} is `null`), and without a zip's directory, which is read again when a
   * record is asked for: with a thousand files of thousands of tensors, each of them is a gigabyte.
   */
  slim(): TorchFile;
}

/**
 * Bytes of all tensors of a file together: views may overlap and expand (stride 0), and a few bytes could stand for a
 * terabyte that a command would set out to write. Real files have as many as the file itself, and a mask or two.
 */
const EXPANDED = 2 ** 30;
const EXPANDED_PER_BYTE = 16;

/** Makes tensors from descriptions, each view once. @param locate  gives the same region for the same key */
export function tensorsOver(
  file: SourceFile,
  locate: (key: string) => Promise<Region>,
): (tensor: TorchTensor) => Promise<Tensor> {
  const views = new Views();
  let bytes = 0;
  return async (description) => {
    const { storage, dtype, offset, shape, strides } = description;
    const known = views.get(description);
    if (known !== undefined) return known;
    const place = await locate(storage.key);
    if (place.length !== storage.byteLength) {
      throw new VistaError(
        "FORMAT",
        `the storage has ${place.length} bytes, the pickle says ${storage.byteLength}`,
        { path: place.file.path, record: place.name, hint: "The file is damaged: copy it again." },
      );
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

/** Tensors by what their descriptions say. Nearly every storage has one view, for which no text is made as its key. */
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
