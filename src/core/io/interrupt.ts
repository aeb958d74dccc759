/**
 * The signal that ends requests over a network when a command is interrupted. Reads of local files end by themselves within a
 * moment; a request may wait for half a minute, and most readers have no signal to hand on.
 */
let interrupt: AbortSignal | undefined;

/** Sets the signal of the command that this process runs; `undefined` takes it away when the command has ended. */
export function interruptRequests(signal: AbortSignal | undefined): void {
  interrupt = signal;
}

export function interruptSignal(): AbortSignal | undefined {
  return interrupt;
}
