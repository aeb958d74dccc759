import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";
import { onTestFinished } from "vitest";

/**
 * Ends the pauses of `node:timers/promises` at once for the rest of the test: those before a request is tried again, for example.
 *
 * @returns the milliseconds of each pause so far
 */
export function skipPauses(): number[] {
  const pauses: number[] = [];
  const { setTimeout } = timers;
  const put = (pause: typeof setTimeout) => {
    timers.setTimeout = pause;
    syncBuiltinESMExports();
  };
  put((milliseconds = 1, value, options) => {
    pauses.push(milliseconds);
    return setTimeout(0, value, options);
  });
  onTestFinished(() => put(setTimeout));
  return pauses;
}
