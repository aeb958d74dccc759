/**
 * The queue in which windows take hold of their files, one after the other: where descriptors are few, each window gets all that
 * it needs when those before it are done, and no two wait for what the other has.
 */
export class HoldQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Takes hold of files when all earlier windows have theirs. */
  take(what: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(what);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** Waits until all windows have what they have asked for so far. */
  async taken(): Promise<void> {
    await this.#last;
  }
}
