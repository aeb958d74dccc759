/** When V8's optimising compiler may run. For commands only: the switch holds for the whole process. */
import { setFlagsFromString } from "node:v8";

/** Milliseconds after which a run is long enough to be worth it, whatever it does. */
const LATER = 1000;

/**
 * Opening a checkpoint is a tenth of a second of code that runs once; copying waits for the disk and for checksums. Optimising
 * either takes time from the two threads that do the work and gives little back: without it, merging 1 GB on two cores takes a
 * tenth less.
 */
export function optimizeLater(): void {
  setFlagsFromString("--no-opt");
  setTimeout(optimizeNow, LATER).unref();
}

/** Before work on the elements of tensors. */
export function optimizeNow(): void {
  setFlagsFromString("--opt");
}
