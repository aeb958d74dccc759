/**
 * Has V8's optimising compiler take its turn nine times as late, on Node 20, where it runs in a thread of its own. The commands read
 * thousands of small values once and leave the rest to the disk, to checksums and to two threads on what may be two cores: for them,
 * optimising takes more time than it saves. Later versions of V8 begin with a quicker compiler and have no such switch.
 *
 * It is set when all that a command needs is loaded, so this is imported last: V8 takes the compiled code of Node's own modules only
 * with its switches as they were when Node was built.
 */
import { setFlagsFromString } from "node:v8";

if (process.version.startsWith("v20.")) setFlagsFromString("--interrupt-budget=600000");
