/**
 * Exports what the commands do, which is loaded when one of them runs. It is one file in the bundle, since each file takes a
 * millisecond to find.
 */
export { diff } from "./run-diff.js";
export { inspect } from "./run-inspect.js";
export { merge } from "./run-merge.js";
export { reshard } from "./run-reshard.js";
export { scan } from "./run-scan.js";
export { toSt } from "./run-to-st.js";
export { toUniversal } from "./run-to-universal.js";
export { verify } from "./run-verify.js";
