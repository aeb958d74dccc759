/** The parts that an output is made of, and the windows of work that they are cut into. */
import { sum } from "../../core/sum.js";
import { dtypeInfo } from "../tensor/dtype.js";
import { rangesOf, type Tensor } from "../tensor/tensor.js";

/**
 * The largest number of bytes of output that are one piece of work: few messages go between threads, and Ctrl-C is heard between
 * two pieces.
 */
export const WINDOW = 2 * 1024 * 1024;
/** The largest number of slices of a window: what is known of each takes some hundred bytes while its window is under way. */
const WINDOW_SLICES = 1024;
/** The largest number of byte ranges of a window: a parameter may have one on each of a thousand ranks. */
const WINDOW_RANGES = 2048;
/** The number of bytes in which the elements of every dtype are whole, but for those of 6 bits, which are never converted. */
const STEP = 16;

/** A part of the output. Parts follow one another without gaps. */
export type OutputPart =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | {
      readonly kind: "late";
      readonly length: number;
      /** Returns the bytes. It is called once, when all before this part is done, since the bytes may depend on earlier CRCs. */
      bytes(): Uint8Array;
    }
  | {
      readonly kind: "tensor";
      readonly tensor: Tensor;
      /** Gets the CRC-32 of the tensor's bytes when they are done. */
      onCrc32?(crc32: number): void;
    };

export function partLength(part: OutputPart): number {
  if (part.kind === "bytes") return part.bytes.byteLength;
  return part.kind === "late" ? part.length : part.tensor.byteLength;
}

export function lengthOf(parts: readonly OutputPart[]): number {
  return sum(parts, partLength);
}

export interface FileContent {
  readonly length: number;
  /** The tensors of the parts; `undefined` where they become known with the parts, of which there are too many to keep. */
  readonly tensors: readonly Tensor[] | undefined;
  /** Whether the bytes of all tensors are copied or converted from files of this machine, which takes no memory. */
  readonly copied: boolean;
  /** Returns the parts. It is called when the file's turn has come, so that not all plans of thousands of files are in memory. */
  readonly parts: () => readonly OutputPart[] | Promise<readonly OutputPart[]>;
}

/** Returns the content of parts that are there already. */
export function contentOf(parts: readonly OutputPart[]): FileContent {
  const tensors = tensorsIn(parts);
  return { length: lengthOf(parts), tensors, copied: tensors.every(isCopied), parts: () => parts };
}

export function tensorsIn(parts: readonly OutputPart[]): Tensor[] {
  return parts.flatMap((part) => (part.kind === "tensor" ? [part.tensor] : []));
}

/** Returns the byte ranges that a tensor is copied or converted from; `undefined` for a view or a computed tensor. */
function rangesBehind({ source }: Tensor) {
  const inner = source.kind === "cast" ? source.from.source : source;
  return inner.kind === "pieces" ? inner.pieces : undefined;
}

export function isCopied(tensor: Tensor): boolean {
  const pieces = rangesBehind(tensor);
  if (pieces === undefined) return false;
  const [first] = pieces;
  return first?.region.file.isLocal !== false;
}

/** A stretch of one part inside a window. */
export interface Slice {
  readonly part: OutputPart;
  /** The distance from the part's start in bytes. */
  readonly from: number;
  /** The distance from the window's start in bytes. */
  readonly at: number;
  readonly length: number;
  /** Whether the part ends with this slice. */
  readonly last: boolean;
}

export interface Window {
  readonly position: number;
  readonly length: number;
  readonly slices: readonly Slice[];
}

/**
 * Cuts the parts into windows of {@link WINDOW} bytes, or of {@link WINDOW_SLICES} slices or {@link WINDOW_RANGES} ranges where these
 * have fewer bytes.
 */
export function* windowsOf(parts: readonly OutputPart[]): Generator<Window> {
  let position = 0;
  let length = 0;
  let ranges = 0;
  let slices: Slice[] = [];
  for (const part of parts) {
    const size = partLength(part);
    const step = stepOf(part);
    const perByte = part.kind === "tensor" && size > 0 ? rangesOf(part.tensor) / size : 0;
    let from = 0;
    do {
      const room = Math.min(WINDOW - length, Math.max(STEP, (WINDOW_RANGES - ranges) / perByte));
      const take = size - from <= room ? size - from : Math.floor(room / step) * step;
      if (take > 0 || size === 0)
        slices.push({ part, from, at: length, length: take, last: from + take === size });
      from += take;
      length += take;
      ranges += take * perByte;
      if (from < size || length === WINDOW || slices.length === WINDOW_SLICES || ranges >= WINDOW_RANGES) {
        yield { position, length, slices };
        position += length;
        length = 0;
        ranges = 0;
        slices = [];
      }
    } while (from < size);
  }
  if (slices.length > 0) yield { position, length, slices };
  // What a window lacks would be lacking in the file.
  const all = lengthOf(parts);
  if (position + length !== all) throw new Error(`windows of ${position + length} bytes for ${all}`);
}

/**
 * Returns the number of bytes at whose multiples a part may be cut: as few as leave elements whole, so that windows end where two
 * buffers of a lane meet. Else each window would begin with a write of some bytes, for which one lane waits for the other.
 */
function stepOf(part: OutputPart): number {
  if (part.kind !== "tensor") return 1;
  const { dtype, source } = part.tensor;
  const { bits } = dtypeInfo(dtype);
  const read = source.kind === "cast" ? dtypeInfo(source.from.dtype).bits : bits;
  return Math.min(bits, read) < 8 ? STEP : bits / 8;
}

/** Tells whether the CRC-32 of a slice's bytes is wanted. @param all  whether that of the whole file is wanted */
export function wantsCrc({ part, length }: Slice, all: boolean): boolean {
  return part.kind === "tensor" && (all || part.onCrc32 !== undefined) && length > 0;
}

/** Tells whether a lane can make a slice: known bytes, or ranges of files as they are or converted. */
export function isPlain({ part }: Slice): boolean {
  return part.kind !== "tensor" || rangesBehind(part.tensor) !== undefined;
}
