/**
 * The environment in which a program sends itself a signal while it makes its output: a small input is enough for it to be in the
 * middle, on a machine of any speed.
 *
 * @param step  the number of the call before which it is sent, from 1
 * @param before  the calls that count: those that create a file of the output, or those that give, take or exchange names
 * @param inThread  whether those of the program's worker threads count, in place of the main thread's own; and how often such a thread
 *   sends the signal, with time for the main thread to hear of each
 */
export function signalAt(
  step: number,
  before: "create" | "name",
  signal: NodeJS.Signals,
  inThread = 0,
): Record<string, string> {
  return {
    NODE_OPTIONS: `--import ${new URL("../reliability/kill-at.mjs", import.meta.url).href}`,
    KILL_AT: String(step),
    KILL_BEFORE: before,
    KILL_BY: signal,
    KILL_IN_THREAD: String(inThread),
  };
}
