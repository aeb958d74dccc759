/**
 * What ends requests over a network that are under way when a command is interrupted. Reads of local files end by themselves
 * within a moment; a request may wait for half a minute, and most readers have no signal to hand on.
 */
let interrupt: AbortSignal | undefined;

/** For the command that this process runs; `undefined` when it has ended. */
export function interruptRequests(signal: AbortSignal | undefined): void {
  interrupt = signal;
}

export function interruptSignal(): AbortSignal | undefined {
  return interrupt;
}
