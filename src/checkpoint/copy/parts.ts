/** What an output is made of, and how it is cut into pieces of work. */
import type { Tensor } from "../tensor/tensor.js";

/** Bytes of the output that are one piece of work: few messages between threads, and Ctrl-C is heard between two. */
export const WINDOW = 2 * 1024 * 1024;
/** Parts of one, where they are small: what is known of each takes some hundred bytes while its window is under way. */
const WINDOW_SLICES = 1024;

/** A part of the output, in order, without gaps. */
export type OutputPart =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | {
      readonly kind: "late";
      readonly length: number;
      /** Called once, when everything before this part is done: what it returns may depend on earlier CRCs. */
      bytes(): Uint8Array;
    }
  | {
      readonly kind: "tensor";
      readonly tensor: Tensor;
      /** Called with the CRC-32 of the tensor's bytes when they are done. */
      onCrc32?(crc32: number): void;
    };

export function partLength(part: OutputPart): number {
  if (part.kind === "bytes") return part.bytes.byteLength;
  return part.kind === "late" ? part.length : part.tensor.byteLength;
}

function lengthOf(parts: readonly OutputPart[]): number {
  return parts.reduce((sum, part) => sum + partLength(part), 0);
}

/** What a file is made of. */
export interface FileContent {
  readonly length: number;
  /** One for each part that is a tensor; `undefined` where they are known with the parts, of which there are too many to keep. */
  readonly tensors: readonly Tensor[] | undefined;
  /** Whether all its bytes are copied or converted from files of this machine, which takes no memory. */
  readonly copied: boolean;
  /** Asked for when its turn has come: the plans of thousands of files need not be in memory at once. */
  readonly parts: () => readonly OutputPart[] | Promise<readonly OutputPart[]>;
}

/** That of parts that are there already. */
export function contentOf(parts: readonly OutputPart[]): FileContent {
  const tensors = tensorsIn(parts);
  return { length: lengthOf(parts), tensors, copied: tensors.every(isCopied), parts: () => parts };
}

export function tensorsIn(parts: readonly OutputPart[]): Tensor[] {
  return parts.flatMap((part) => (part.kind === "tensor" ? [part.tensor] : []));
}

export function isCopied(tensor: Tensor): boolean {
  const { source } = tensor;
  const inner = source.kind === "cast" ? source.from.source : source;
  if (inner.kind !== "pieces") return false;
  const [first] = inner.pieces;
  return first?.region.file.isLocal !== false;
}

/** A stretch of one part inside a window. */
export interface Slice {
  readonly part: OutputPart;
  /** From the part's start, in bytes. */
  readonly from: number;
  /** Where in the window. */
  readonly at: number;
  readonly length: number;
  /** True where the part ends here. */
  readonly last: boolean;
}

export interface Window {
  readonly position: number;
  readonly length: number;
  readonly slices: readonly Slice[];
}

/** Cuts the parts into windows of {@link WINDOW} bytes, or of {@link WINDOW_SLICES} parts where these have fewer. */
export function* windowsOf(parts: readonly OutputPart[]): Generator<Window> {
  let position = 0;
  let length = 0;
  let slices: Slice[] = [];
  for (const part of parts) {
    const size = partLength(part);
    let from = 0;
    do {
      const take = Math.min(size - from, WINDOW - length);
      slices.push({ part, from, at: length, length: take, last: from + take === size });
      from += take;
      length += take;
      if (length === WINDOW || slices.length === WINDOW_SLICES) {
        yield { position, length, slices };
        position += length;
        length = 0;
        slices = [];
      }
    } while (from < size);
  }
  if (slices.length > 0) yield { position, length, slices };
}

/** Whether the CRC-32 of its bytes is wanted. @param all  true where that of the whole file is */
export function wantsCrc({ part, length }: Slice, all: boolean): boolean {
  return part.kind === "tensor" && (all || part.onCrc32 !== undefined) && length > 0;
}

/** Whether a lane can do it: ranges of files, as they are or converted. */
export function isPlain({ part }: Slice): boolean {
  if (part.kind !== "tensor") return true;
  const { source } = part.tensor;
  return source.kind === "pieces" || (source.kind === "cast" && source.from.source.kind === "pieces");
}
