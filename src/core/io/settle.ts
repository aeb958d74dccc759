/** Several operations at once, none of which is left running when another fails. */

/**
 * Returns what all promises gave, in their order. Unlike `Promise.all` it never ends before the last of them has, so that after a
 * failure nothing reads into a buffer that serves again, or from a file that is being closed.
 *
 * @throws the first failure, in the order of the promises
 */
export async function settleAll<Result>(promises: Iterable<Promise<Result> | Result>): Promise<Result[]> {
  const outcomes = await Promise.allSettled(promises);
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}
