/** Small steps of the plan: flat vectors as pieces, tensors cut from them, shapes cut into groups. */

import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { firstWhere } from "../../core/search.js";
import { type DType, dtypeInfo, numelOf } from "../tensor/dtype.js";
import { makeTensor, piecesBetween, type Tensor } from "../tensor/tensor.js";
import type { TorchFile } from "../torch/file.js";
import type { TorchTensor } from "../torch/values.js";
import type { Shapes } from "./states.js";

/** One sub-group of a flat vector; `start` and `end` in elements of the vector. */
interface FlatPart {
  readonly start: number;
  readonly end: number;
  readonly dtype: DType;
  readonly pieces: readonly Piece[];
}

/** One rank's flat vector: its sub-groups, one after the other, each of a type of its own. */
export class FlatVector {
  /** Elements. */
  readonly length: number;
  readonly #parts: readonly FlatPart[];

  private constructor(parts: readonly FlatPart[], length: number) {
    this.#parts = parts;
    this.length = length;
  }

  static async of(file: TorchFile, groups: readonly TorchTensor[]): Promise<FlatVector> {
    const parts = [];
    let at = 0;
    for (const group of groups) {
      const numel = numelOf(group.shape) ?? 0;
      if (numel === 0) continue;
      parts.push({ start: at, end: at + numel, dtype: group.dtype, pieces: await flatPieces(file, group) });
      at += numel;
    }
    return new FlatVector(parts, at);
  }

  /** Elements `[start, start + length)`, a run for each sub-group that they lie in. */
  *between(start: number, length: number): Generator<{ dtype: DType; pieces: Piece[] }> {
    const end = start + length;
    for (let i = this.#partAt(start); i < this.#parts.length && this.#parts[i]!.start < end; i++) {
      const part = this.#parts[i]!;
      const width = dtypeInfo(part.dtype).bits / 8;
      const from = Math.max(start, part.start);
      const to = Math.min(end, part.end);
      const pieces = piecesBetween(part.pieces, (from - part.start) * width, (to - from) * width);
      yield { dtype: part.dtype, pieces };
    }
  }

  /** The part that element `at` is in. */
  #partAt(at: number): number {
    return firstWhere(this.#parts.length - 1, (part) => this.#parts[part]!.end > at);
  }
}

/** The bytes of a flat tensor. */
export async function flatPieces(file: TorchFile, description: TorchTensor): Promise<readonly Piece[]> {
  const { source } = await file.tensor(description);
  if (source.kind === "pieces") return source.pieces;
  throw new VistaError("UNSUPPORTED", "a flat group or frozen fragment that is not contiguous", {
    path: file.file.path,
  });
}

/** A tensor from the beginning of `pieces`; `undefined` where they are too short. */
export function cutTensor(
  pieces: readonly Piece[],
  dtype: DType,
  shape: readonly number[],
): Tensor | undefined {
  const tensor = makeTensor(dtype, shape, { kind: "pieces", pieces: [] });
  const cut = piecesBetween(pieces, 0, tensor.byteLength);
  if (sum(cut.map((piece) => piece.length)) !== tensor.byteLength) return undefined;
  return { ...tensor, source: { kind: "pieces", pieces: cut } };
}

/** Before DeepSpeed 0.5.4 one dict lists the parameters of all groups, group after group: cut it where a group is full. */
export function splitShapes(shapes: Shapes, available: readonly number[]): Shapes[] {
  const entries = [...shapes];
  let i = 0;
  return available.map((room, group) => {
    const part = new Map<string, readonly number[]>();
    for (let used = 0; i < entries.length; i++) {
      const [name, shape] = entries[i]!;
      used += numelOf(shape) ?? Infinity;
      if (used > room && group < available.length - 1) break;
      part.set(name, shape);
    }
    return part;
  });
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
