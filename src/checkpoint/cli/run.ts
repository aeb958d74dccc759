/**
 * Exports what the commands on large files do, which is loaded when one of them runs; the others are in `run-more.ts`. Each is one
 * file in the bundle, since a file takes a millisecond to find, and compiling all of them takes five.
 */
import { setFlagsFromString } from "node:v8";

export { merge } from "./run-merge.js";
export { toSt } from "./run-to-st.js";
export { verify } from "./run-verify.js";

// The V8 of Node 20 optimises what has run for a while, in a thread of its own. These commands read thousands of small values once
// and leave the rest to the disk, to checksums and to two threads on what may be two cores: for them, that takes more time than it
// saves, so it takes its turn nine times as late. Later versions of V8 begin with a quicker compiler and have no such switch. It is
// set when all that a command needs is loaded, since V8 takes the compiled code of Node's own modules only with its switches as
// they were when Node was built.
if (process.version.startsWith("v20.")) setFlagsFromString("--interrupt-budget=600000");
