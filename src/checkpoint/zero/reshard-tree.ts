/** Small steps of resharding: exact pickles of shards as dicts, flat tensors put in, parameters cut and joined with zeros. */
import { VistaError } from "../../core/errors.js";
import type { Piece } from "../../core/io/source.js";
import { type DType, dtypeInfo } from "../tensor/dtype.js";
import { makeTensor, piecesBetween, type Tensor } from "../tensor/tensor.js";
import { asDict, type PyDict, PyObject, type PyValue } from "../torch/objects.js";
import { replaceFlatTensor } from "../torch/rewrite-file.js";

/** A run of a parameter's elements and where it goes in a flat tensor. */
export interface Placed {
  readonly tensor: Tensor;
  /** First element, in the parameter. */
  readonly from: number;
  /** First element, in the flat tensor. */
  readonly start: number;
  readonly length: number;
}

/**
 * A flat tensor of `size` elements in which parts of parameters lie, with zeros between and after them.
 * @param placed  in the order of their places
 * @returns what a storage is made of: tensors, and numbers of zero bytes
 */
export function flatContent(placed: readonly Placed[], size: number, dtype: DType): (Tensor | number)[] {
  const width = dtypeInfo(dtype).bits / 8;
  const content: (Tensor | number)[] = [];
  let run: Piece[] = [];
  let at = 0;
  const endRun = () => {
    if (run.length === 0) return;
    const bytes = run.reduce((sum, piece) => sum + piece.length, 0);
    content.push(makeTensor(dtype, [bytes / width], { kind: "pieces", pieces: run }));
    run = [];
  };
  const zerosTo = (start: number) => {
    if (start === at) return;
    endRun();
    content.push((start - at) * width);
  };
  for (const { tensor, from, start, length } of placed) {
    zerosTo(start);
    for (const piece of piecesOf(tensor, from * width, length * width)) addPiece(run, piece);
    at = start + length;
  }
  zerosTo(size);
  endRun();
  return content;
}

function piecesOf(tensor: Tensor, start: number, length: number): Piece[] {
  if (tensor.source.kind !== "pieces") throw new Error("a state that is no byte range");
  return piecesBetween(tensor.source.pieces, start, length);
}

/** Parameters that follow each other in a shard become one range of it. */
function addPiece(run: Piece[], piece: Piece): void {
  const last = run.at(-1);
  if (last?.region === piece.region && last.start + last.length === piece.start) {
    run[run.length - 1] = { ...last, length: last.length + piece.length };
  } else run.push(piece);
}

/** The call that rebuilds `node`'s tensor, with other content. @throws VistaError `UNSUPPORTED` */
export function putFlat(
  node: PyValue | undefined,
  content: (Tensor | number)[],
  numel: number,
  dtype: DType,
  path: string,
): PyObject {
  const made = replaceFlatTensor(node as PyValue, content, numel, dtypeInfo(dtype).bits / 8);
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

/** A dict in a dict of an exact pickle, which is known to be there. */
export function dictAt(dict: PyDict, key: string): PyDict {
  const found = asDict(dict.get(key));
  if (found === undefined) throw new Error(`the shard has no ${key} any more`);
  return found;
}

/** The entries of a dict of an exact pickle anew: in the object itself, so that whoever shares it sees them. */
export function setEntries(dict: PyValue | undefined, entries: Iterable<readonly [PyValue, PyValue]>): void {
  if (dict instanceof PyObject) dict.dictItems = new Map(entries);
  else if (dict instanceof Map) {
    const all = [...entries];
    dict.clear();
    for (const [key, value] of all) dict.set(key, value);
  }
}
