/** Exports what the smaller commands do: one file of the bundle, which is loaded when one of them runs. */
export { diff } from "./run-diff.js";
export { inspect } from "./run-inspect.js";
export { reshard } from "./run-reshard.js";
export { scan } from "./run-scan.js";
export { toUniversal } from "./run-to-universal.js";

import "./late-optimising.js";
