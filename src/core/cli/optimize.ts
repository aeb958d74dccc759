/**
 * How V8 runs a command. The switches hold for the whole process, and Node's own modules come with compiled code that V8 takes
 * only while all of them are as they were when Node was built: they are touched when everything that a command needs is
 * loaded, and put back while its second thread starts, which would otherwise take twice as long.
 */
import { setFlagsFromString } from "node:v8";

/** Milliseconds after which a run is long enough for the optimising compiler to be worth it, whatever it does. */
const LATER = 1000;

let needed = false;

/**
 * Holds V8's optimising compiler back. Opening a checkpoint is a tenth of a second of code that runs once; copying waits for the
 * disk and for checksums. Optimising either takes time from the two threads that do the work and gives little back: without
 * it, merging 1 GB on two cores takes a tenth less.
 */
export function optimizeLater(): void {
  if (needed) return;
  setFlagsFromString("--no-opt");
  setTimeout(optimizeNow, LATER).unref();
}

/** Before work on the elements of tensors. */
export function optimizeNow(): void {
  needed = true;
  setFlagsFromString("--opt");
}

/** Before another thread starts: {@link optimizeLater} and {@link boundMemory} come when it has started. */
export function asBuilt(): void {
  setFlagsFromString("--opt");
}

/** V8's young generation stays at the size it has: left alone, it grows by some 30 MB over a large model's plan and copy. */
export function boundMemory(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
