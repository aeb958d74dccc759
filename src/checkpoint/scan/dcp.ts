/**
 * Folders of torch.distributed.checkpoint: `.metadata`, a pickle, says where in the `.distcp` files each item is: a torch zip of
 * one tensor, or the bytes of torch.save for anything else, which loading unpickles.
 *
 * Source: torch/distributed/checkpoint/{metadata,filesystem}.py.
 */
import type { RangeReader } from "../../core/io/source.js";
import { asDict, asInteger, asString, keyText, PyObject, PyTuple, type PyValue } from "../torch/objects.js";
import { inside, type Place } from "./findings.js";
import { tryPickle } from "./pickles.js";
import { Slice } from "./readers.js";
import type { Scanner } from "./scanner.js";

export interface DcpItem {
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

/** The items of each file, by its name in the folder; empty where this is no `.metadata` of DCP. */
export function dcpItems(metadata: Uint8Array, place: Place): Map<string, DcpItem[]> {
  const items = new Map<string, DcpItem[]>();
  const top = fieldsOf(tryPickle(metadata, 0, place).value);
  for (const [index, info] of asDict(top?.get("storage_data")) ?? []) {
    const fields = fieldsOf(info);
    const file = asString(fields?.get("relative_path"));
    const offset = asInteger(fields?.get("offset"));
    const length = asInteger(fields?.get("length"));
    if (file === undefined || offset === undefined || length === undefined) continue;
    const name = asString(fieldsOf(index)?.get("fqn")) ?? keyText(index);
    const there = items.get(file);
    if (there === undefined) items.set(file, [{ name, offset, length }]);
    else there.push({ name, offset, length });
  }
  return items;
}

/** Each item, and that no byte of the file is left over. */
export async function scanItems(
  scanner: Scanner,
  reader: RangeReader,
  items: readonly DcpItem[],
  place: Place,
): Promise<void> {
  let end = 0;
  for (const { name, offset, length } of items.slice().sort((a, b) => a.offset - b.offset)) {
    const within = inside(place, name);
    if (offset !== end) {
      const what =
        offset < end
          ? "begins inside the item before it"
          : `${offset - end} bytes before it belong to no item`;
      scanner.add("contradiction", what, within, offset);
    }
    if (length < 0 || offset < 0 || offset + length > reader.size) {
      scanner.add("contradiction", `bytes ${offset} to ${offset + length} of ${reader.size}`, within);
      continue;
    }
    scanner.records++;
    await scanner.content(new Slice(reader, offset, length), within, 1);
    end = Math.max(end, offset + length);
  }
  if (end < reader.size)
    scanner.add("contradiction", `${reader.size - end} bytes at the end belong to no item`, place);
}

/** The fields of a dataclass as it is pickled: a dict, or a pair of the dict and the slots. */
function fieldsOf(value: PyValue | undefined): ReadonlyMap<PyValue, PyValue> | undefined {
  if (!(value instanceof PyObject)) return undefined;
  const { state } = value;
  return asDict(
    state instanceof PyTuple ? (state.items.find((part) => asDict(part) !== undefined) ?? null) : state,
  );
}
