/** The time in milliseconds after which a loop that never waits lets everything else run. */
const TURN_MS = 50;

/**
 * Tells a loop that computes or reads without waiting (which is quicker than promises) when it is time to report its progress
 * and to let the event loop run, so that Ctrl-C is heard and the progress bar drawn.
 */
export class Turns {
  #last = performance.now();

  /** Tells whether it is time, and counts the time anew if it is. */
  due(): boolean {
    const now = performance.now();
    if (now - this.#last < TURN_MS) return false;
    this.#last = now;
    return true;
  }
}
