/**
 * Holds V8's optimising compiler back for a second, on Node 20, where it runs in a thread of its own. Opening a checkpoint is a tenth
 * of a second of code that runs once, and a copy waits for the disk and for checksums: on two cores, optimising that takes more from
 * the two threads that do the work than it gives back. Later versions of V8 begin with a quicker compiler.
 *
 * It is set when all that a command needs is loaded, so this is imported last: V8 takes the compiled code of Node's own modules only
 * with its switches as they were when Node was built.
 */
import { setFlagsFromString } from "node:v8";

/** The milliseconds after which a run is long enough to be worth optimising, whatever it does. */
const LATER = 1000;

if (process.version.startsWith("v20.")) {
  setFlagsFromString("--no-opt");
  setTimeout(() => setFlagsFromString("--opt"), LATER).unref();
}
