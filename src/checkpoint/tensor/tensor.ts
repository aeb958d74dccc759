/**
 * Defines state dicts and tensors. A state dict is a plan, not data: names in order, and for each a tensor that knows its dtype,
 * its shape and where its bytes are. No weight is read before a sink asks for it.
 */
import { VistaError } from "../../core/errors.js";
import { settleAll } from "../../core/io/settle.js";
import type { Piece, Region, SourceFile } from "../../core/io/source.js";
import { sum } from "../../core/sum.js";
import { byteLengthOf, type DType, dtypeInfo, numelOf } from "./dtype.js";

/** The source of the bytes of a tensor (little-endian, row-major, contiguous). */
export type TensorSource =
  /** The bytes are ranges, one after the other. */
  | { readonly kind: "pieces"; readonly pieces: readonly Piece[] | PieceRule }
  /** The tensor is a view of a region that is not contiguous; `start` is in bytes, `strides` are in elements. */
  | {
      readonly kind: "strided";
      readonly region: Region;
      readonly start: number;
      readonly strides: readonly number[];
    }
  /** The tensor is filled by blocks, each with a region of its own, that do not overlap; see `placeBoxes`. */
  | { readonly kind: "boxes"; readonly boxes: readonly Box[] }
  /** The elements are those of another tensor, converted to this one's dtype. */
  | { readonly kind: "cast"; readonly from: Tensor }
  /** The bytes are computed from other tensors, all of which fit in memory at once. */
  | { readonly kind: "computed"; readonly inputs: readonly Tensor[]; readonly compute: Compute };

/**
 * Byte ranges that are made when they are asked for: where each of thousands of tensors has some on each of a thousand ranks, a list
 * of all would take gigabytes.
 */
export abstract class PieceRule implements Iterable<Piece> {
  /** @param length  of all together, in bytes */
  constructor(protected readonly length: number) {}

  /** The number of ranges, roughly: it tells those who note each of them how much memory that takes. */
  abstract readonly count: number;

  /** Bytes `[start, start + length)`; all of them are there. */
  abstract between(start: number, length: number): Iterable<Piece>;

  [Symbol.iterator](): Iterator<Piece> {
    return this.between(0, this.length)[Symbol.iterator]();
  }
}

/** A block of a tensor. Its elements fill `region`, in row-major order unless there are strides. */
export interface Box {
  readonly region: Region;
  /** The first index in each dimension. */
  readonly offsets: readonly number[];
  /** The extent in each dimension. */
  readonly sizes: readonly number[];
  /** The strides in elements, where these lie in another order: in a channels_last or transposed tensor. */
  readonly strides?: readonly number[];
}

/**
 * Computes the bytes of a tensor.
 * @param inputs  the bytes of each input tensor, each at an address that suits its elements
 * @param result  the place for the bytes, as long as the tensor and at such an address; what it held before has no meaning
 */
export type Compute = (inputs: readonly Uint8Array[], result: Uint8Array) => void;

/** A tensor of a plan. It is made by opening a checkpoint, by a transform or by `tensorFrom`, never by hand. */
export interface Tensor {
  /** The type of the elements as safetensors spells it: `F32`, `BF16`, `I64` … */
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The number of elements. */
  readonly numel: number;
  /** The number of bytes in contiguous form. */
  readonly byteLength: number;
  /** @internal */
  readonly source: TensorSource;
}

/** Makes a tensor; the caller has checked that the source has the bytes. @throws VistaError `FORMAT` for impossible sizes */
export function makeTensor(dtype: DType, shape: readonly number[], source: TensorSource): Tensor {
  const numel = numelOf(shape);
  const byteLength = numel === undefined ? undefined : byteLengthOf(dtype, numel);
  if (numel === undefined || byteLength === undefined) {
    throw new VistaError(
      "FORMAT",
      `a tensor of shape [${shape.join(", ")}] and dtype ${dtype} has no size in bytes`,
    );
  }
  return { dtype, shape, numel, byteLength, source };
}

/** Returns a tensor with the same values in another dtype, or the tensor itself where it has that dtype. */
export function castTensor(tensor: Tensor, dtype: DType): Tensor {
  if (tensor.dtype === dtype) return tensor;
  return makeTensor(dtype, tensor.shape, { kind: "cast", from: tensor });
}

/** Returns the number of byte ranges that a tensor is read from, roughly. */
export function rangesOf(tensor: Tensor): number {
  const { source } = tensor;
  if (source.kind === "cast") return rangesOf(source.from);
  if (source.kind !== "pieces") return 1;
  return source.pieces instanceof PieceRule ? source.pieces.count : source.pieces.length;
}

/** Returns bytes `[start, start + length)` of joined pieces, as pieces; they are fewer where the pieces end before. */
export function piecesBetween(
  pieces: readonly Piece[] | PieceRule,
  start: number,
  length: number,
): Iterable<Piece> {
  if (pieces instanceof PieceRule) return pieces.between(start, length);
  const result: Piece[] = [];
  let at = 0;
  const end = start + length;
  for (const piece of pieces) {
    const from = Math.max(start, at);
    const to = Math.min(end, at + piece.length);
    if (from < to) result.push({ region: piece.region, start: piece.start + from - at, length: to - from });
    at += piece.length;
    if (at >= end) break;
  }
  return result;
}

/**
 * Returns the strides, in elements, of a contiguous row-major tensor. A dimension of size 0 counts as one of size 1, as in torch.
 */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= Math.max(1, shape[i]!);
  }
  return strides;
}

/** Tells whether a view with these strides is contiguous; dimensions of size 1 may have any stride. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  const wanted = contiguousStrides(shape);
  return shape.every((dim, i) => dim === 1 || strides[i] === wanted[i]);
}

/**
 * Returns a view of a region (torch's storage) as a tensor; `offset` and `strides` are in elements.
 * @throws VistaError `FORMAT` where the view reaches outside the region
 */
export function viewTensor(
  region: Region,
  dtype: DType,
  offset: number,
  shape: readonly number[],
  strides: readonly number[],
): Tensor {
  const bytes = dtypeInfo(dtype).bits / 8;
  const numel = numelOf(shape);
  if (numel === 0) return makeTensor(dtype, shape, { kind: "pieces", pieces: [] });
  let last = offset;
  for (let i = 0; i < shape.length; i++) last += (shape[i]! - 1) * strides[i]!;
  if (numel === undefined || !Number.isSafeInteger(last) || (last + 1) * bytes > region.length) {
    throw new VistaError(
      "FORMAT",
      `a tensor of shape [${shape.join(", ")}], strides [${strides.join(", ")}] and offset ${offset} needs ` +
        `${(last + 1) * bytes} bytes, its storage has ${region.length}`,
      {
        path: region.file.path,
        record: region.name,
        hint: "The file is damaged or was not written by torch.save.",
      },
    );
  }
  const start = offset * bytes;
  return makeTensor(
    dtype,
    shape,
    isContiguous(shape, strides)
      ? { kind: "pieces", pieces: [{ region, start, length: numel * bytes }] }
      : { kind: "strided", region, start, strides },
  );
}

/**
 * A state dict: names in order, each with its tensor. Two names with the same `Tensor` object share one storage (tied weights) in
 * every torch file that is written from it.
 */
export class StateDict {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly #files: readonly SourceFile[];

  /**
   * Makes a state dict.
   * @param tensors  pairs of a name and a tensor, such as a Map, in the order in which a torch file will have them
   * @throws VistaError `USAGE` for a name that comes twice or is no text, and for what is no tensor of this package
   */
  constructor(tensors: Iterable<readonly [name: string, tensor: Tensor]>);
  /** @internal Makes a state dict over `files`, which {@link close} closes. */
  constructor(tensors: Iterable<readonly [name: string, tensor: Tensor]>, files?: readonly SourceFile[]);
  constructor(tensors: Iterable<readonly [name: string, tensor: Tensor]>, files: readonly SourceFile[] = []) {
    const map = new Map<string, Tensor>();
    if (typeof tensors?.[Symbol.iterator] !== "function") throw noPairs("this is no list");
    for (const pair of tensors) {
      if (!Array.isArray(pair)) throw noPairs("this list has something else");
      const [name, tensor] = pair as readonly [string, Tensor];
      if (map.has(name))
        throw new VistaError("USAGE", "the name comes twice in a state dict", {
          record: name,
          hint: "Put the tensors in a Map first, where the last of a name stays.",
        });
      // Programs in JavaScript come here too, and a number would be written as the name in a header that nobody reads.
      if (typeof name !== "string" || tensor?.source === undefined) {
        const isName = typeof name === "string";
        throw new VistaError("USAGE", isName ? "is no tensor of this package" : "is no text, as names are", {
          record: String(name),
          hint: isName ? "Make it with tensorFrom(typedArray, shape)." : "Give the name as text.",
        });
      }
      map.set(name, tensor);
    }
    this.tensors = map;
    this.#files = files;
  }

  /** @internal The files behind the plan. */
  get files(): readonly SourceFile[] {
    return this.#files;
  }

  /** Returns another plan over the same files; closing one closes both. */
  with(tensors: Iterable<readonly [name: string, tensor: Tensor]>): StateDict {
    return new StateDict(tensors, this.#files);
  }

  /** Returns the distinct tensors, in the order of their first name, each with that name. */
  unique(): Map<Tensor, string> {
    const seen = new Map<Tensor, string>();
    for (const [name, tensor] of this.tensors) if (!seen.has(tensor)) seen.set(tensor, name);
    return seen;
  }

  /** The number of elements; shared tensors count once. */
  get numel(): number {
    return sum(this.unique().keys(), ({ numel }) => numel);
  }

  /** The number of bytes; shared tensors count once. */
  get byteLength(): number {
    return sum(this.unique().keys(), ({ byteLength }) => byteLength);
  }

  /** Closes the files behind the plan as soon as nothing reads them any more; no other read can begin. */
  async close(): Promise<void> {
    await settleAll(this.#files.map((file) => file.close()));
  }
}

function noPairs(what: string): VistaError {
  return new VistaError("USAGE", `a state dict is made of pairs of a name and a tensor, and ${what}`, {
    hint: "Give a Map, [[name, tensor]], or Object.entries(object).",
  });
}

/**
 * Refuses what is no state dict: programs in JavaScript may give the checkpoint that has one.
 * @throws VistaError `USAGE`
 */
export function requireState(state: StateDict): void {
  if (typeof state?.with === "function") return;
  throw new VistaError("USAGE", "what is given is no StateDict", {
    hint: "Give checkpoint.state, or new StateDict([[name, tensor]]).",
  });
}

/** Refuses what is no tensor: most often it is what a Map gives for a name that is not in it. @throws VistaError `USAGE` */
export function requireTensor(tensor: Tensor): void {
  if (tensor?.source !== undefined) return;
  throw new VistaError("USAGE", "what is given is no tensor of this package", {
    hint: "Give one of checkpoint.tensors, by a name that is there, or one of tensorFrom(typedArray, shape).",
  });
}

/** Returns the names whose tensor has an earlier name too, each with the first one; tensors without elements share nothing. */
export function sharedNames(tensors: ReadonlyMap<string, Tensor>): [name: string, first: string][] {
  const first = new Map<Tensor, string>();
  const shared: [string, string][] = [];
  for (const [name, tensor] of tensors) {
    const source = first.get(tensor);
    if (source === undefined) first.set(tensor, name);
    else if (tensor.numel > 0) shared.push([name, source]);
  }
  return shared;
}
