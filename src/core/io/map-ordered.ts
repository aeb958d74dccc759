/**
 * Runs `work` on every item, at most `limit` at a time, and yields the results in the order of the items. The items are
 * taken no more than `limit` ahead of what has been yielded, so memory does not grow with their number. Nothing is left
 * running where `work` fails or the caller stops.
 */
export async function* mapOrdered<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      const promise = work(item);
      // A failure is thrown when its turn comes; until then it must not count as unhandled.
      promise.catch(() => {});
      running.push(promise);
      if (running.length >= limit) yield await running.shift()!;
    }
    while (running.length > 0) yield await running.shift()!;
  } finally {
    await Promise.allSettled(running);
  }
}
