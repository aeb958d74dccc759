/** Opening of many files side by side. */
import { throwIfAborted } from "../errors.js";
import type { RunOptions } from "../progress.js";
import { mapOrdered } from "./map-ordered.js";
import { settleAll } from "./settle.js";

/**
 * Opens files side by side, `limit` at a time. Where one cannot be opened, those that were are closed again.
 *
 * @returns what `open` returns for each, in order
 * @throws what `open` throws for the first of those that cannot be opened, so that every run says the same; VistaError `ABORTED`
 */
export async function openAll<Item, Opened>(
  items: readonly Item[],
  limit: number,
  open: (item: Item, i: number) => Promise<Opened>,
  close: (opened: Opened) => Promise<void>,
  { signal, onProgress }: RunOptions,
): Promise<Opened[]> {
  /** What was opened, also where its turn in the order has not come. */
  const all: Opened[] = [];
  const inOrder: Opened[] = [];
  try {
    const opening = mapOrdered(items.entries(), limit, async ([i, item]) => {
      throwIfAborted(signal);
      const opened = await open(item, i);
      all.push(opened);
      return opened;
    });
    for await (const opened of opening) {
      inOrder.push(opened);
      onProgress?.({ phase: "open", done: inOrder.length, total: items.length, unit: "files" });
    }
    return inOrder;
  } catch (error) {
    await settleAll(all.map(close));
    throw error;
  }
}
