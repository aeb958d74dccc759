/** The small steps of resharding: they read and set dicts of exact pickles, put flat tensors in, and join parts with zeros. */
import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { firstWhere } from "../../core/search.js";
import { sum } from "../../core/sum.js";
import { type DType, dtypeInfo } from "../tensor/dtype.js";
import { makeTensor, PieceRule, piecesBetween, rangesOf, type Tensor } from "../tensor/tensor.js";
import { asDict, type PyDict, PyObject, type PyValue } from "../torch/objects.js";
import { replaceFlatTensor } from "../torch/rewrite-file.js";
import type { Fragment } from "./flat-group.js";

/** A param group before and after resharding; sizes are in elements. */
export interface ReshardedGroup {
  readonly parameters: number;
  readonly numel: number;
  /** The elements that each rank held before, padding included. */
  readonly partitionBefore: number;
  /** The elements that each rank holds now, padding included. */
  readonly partition: number;
  /** The padding of all ranks before. */
  readonly paddingBefore: number;
  /** The padding of all ranks now. */
  readonly padding: number;
}

/** A flat tensor in which parts of parameters lie, with zeros between and after them. */
export interface FlatTensor {
  readonly dtype: DType;
  /** The parts, in the order of their places. */
  readonly placed: readonly Fragment[];
  /** The elements of its storage. */
  readonly size: number;
  /** The elements of the tensor, from the start of its storage; by default all. */
  readonly numel?: number;
  /** Returns the tensor of a parameter, which is not kept, since there are thousands. */
  of(parameter: number): Tensor;
}

/** Returns the content of a flat tensor's storage: tensors, and numbers of zero bytes. */
function contentOf({ placed, size, dtype, of }: FlatTensor): (Tensor | number)[] {
  const width = dtypeInfo(dtype).bits / 8;
  const content: (Tensor | number)[] = [];
  let run: Fragment[] = [];
  let at = 0;
  const endRun = () => {
    if (run.length === 0) return;
    const pieces = new PlacedPieces(run, (at - run[0]!.start) * width, width, of);
    content.push(makeTensor(dtype, [at - run[0]!.start], { kind: "pieces", pieces }));
    run = [];
  };
  const zerosTo = (start: number) => {
    if (start === at) return;
    endRun();
    content.push((start - at) * width);
  };
  for (const each of placed) {
    zerosTo(each.start);
    run.push(each);
    at = each.start + each.length;
  }
  endRun();
  zerosTo(size);
  return content;
}

/** The bytes of parts of parameters that follow one another without a gap. */
class PlacedPieces extends PieceRule {
  constructor(
    private readonly run: readonly Fragment[],
    length: number,
    private readonly width: number,
    private readonly of: (parameter: number) => Tensor,
  ) {
    super(length);
  }

  override get count(): number {
    return sum(this.run, ({ parameter, length }) => {
      const tensor = this.of(parameter);
      return Math.ceil((rangesOf(tensor) * length) / tensor.numel);
    });
  }

  /** Yields byte ranges; parameters that follow each other in a shard are in one range of it. */
  *between(start: number, length: number): Generator<Piece> {
    const { run, width } = this;
    const first = run[0]!.start;
    const from = first + start / width;
    const end = from + length / width;
    let open: Piece | undefined;
    const next = firstWhere(run.length, (at) => run[at]!.start + run[at]!.length > from);
    for (let at = next; at < run.length && run[at]!.start < end; at++) {
      const part = run[at]!;
      const { source } = this.of(part.parameter);
      if (source.kind !== "pieces") throw new Error("a state that is no byte range");
      const skipped = Math.max(0, from - part.start);
      const taken = Math.min(end - part.start, part.length) - skipped;
      for (const piece of piecesBetween(source.pieces, (part.from + skipped) * width, taken * width)) {
        if (open?.region === piece.region && open.start + open.length === piece.start) {
          open = { ...open, length: open.length + piece.length };
          continue;
        }
        if (open !== undefined) yield open;
        open = piece;
      }
    }
    if (open !== undefined) yield open;
  }
}

/**
 * Returns the call that rebuilds a flat tensor in the place of `node`'s.
 * @throws VistaError `UNSUPPORTED` where `node` is not a plain tensor
 */
export function putFlat(node: PyValue | undefined, flat: FlatTensor, path: string): PyObject {
  const { dtype, size, numel = size } = flat;
  const made = replaceFlatTensor(node as PyValue, contentOf(flat), numel, dtypeInfo(dtype).bits / 8);
  if (made !== undefined) return made;
  throw new VistaError(
    "UNSUPPORTED",
    "a flat tensor that is not a plain torch tensor (a subclass of Tensor)",
    {
      path,
      record: "optimizer_state_dict",
      hint: "Go on with as many ranks as before, or merge the weights and start the optimizer anew.",
    },
  );
}

/** Returns a dict in a dict of an exact pickle, where it is known to be. */
export function dictAt(dict: PyDict, key: string): PyDict {
  const found = asDict(dict.get(key));
  if (found === undefined) throw new Error(`the shard has no ${key} any more`);
  return found;
}

/** Replaces the entries of a dict of an exact pickle in the object itself, so that whatever shares it has them too. */
export function setEntries(dict: PyValue | undefined, entries: Iterable<readonly [PyValue, PyValue]>): void {
  if (dict instanceof PyObject) dict.dictItems = new Map(entries);
  else if (dict instanceof Map) {
    const all = [...entries];
    dict.clear();
    for (const [key, value] of all) dict.set(key, value);
  }
}
