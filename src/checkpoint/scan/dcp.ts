/**
 * Scans folders of torch.distributed.checkpoint, where the pickle `.metadata` says which items are where in the `.distcp` files:
 * a torch zip of one tensor, or the bytes of torch.save for anything else, which loading unpickles.
 *
 * Source: torch/distributed/checkpoint/{metadata,filesystem}.py.
 */

import { isVistaError } from "../../core/errors.js";
import type { RangeReader } from "../../core/io/source.js";
import { remember } from "../../core/maps.js";
import { readItems, type SavedItem } from "../dcp/metadata.js";
import { inside, type Place } from "./findings.js";
import { tryPickle } from "./pickles.js";
import { Slice } from "./readers.js";
import type { Scanner } from "./scanner.js";

/** Returns the items of each file, by its name in the folder; none where this is no `.metadata` of DCP that can be read. */
export function dcpItems(metadata: Uint8Array, place: Place): Map<string, SavedItem[]> {
  const items = new Map<string, SavedItem[]>();
  const { value } = tryPickle(metadata, 0, place);
  try {
    for (const item of readItems(value, place.path)) {
      remember(items, item.file, () => []).push(item);
    }
  } catch (error) {
    if (!isVistaError(error)) throw error;
    // The files are then looked into as what they begin like, and what is wrong with that is a finding.
    items.clear();
  }
  return items;
}

/** Scans each item, and checks that every byte of the file belongs to one. */
export async function scanItems(
  scanner: Scanner,
  reader: RangeReader,
  items: readonly SavedItem[],
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
    if (offset + length > reader.size) {
      scanner.add("contradiction", `bytes ${offset} to ${offset + length} of ${reader.size}`, within);
      continue;
    }
    scanner.records++;
    await scanner.content({ reader: new Slice(reader, offset, length), place: within, depth: 1 });
    end = Math.max(end, offset + length);
  }
  if (end < reader.size)
    scanner.add("contradiction", `${reader.size - end} bytes at the end belong to no item`, place);
}
