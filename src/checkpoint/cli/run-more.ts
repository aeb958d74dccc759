/** Exports what the other commands do than those of `run.ts`, most of whose code they need as well. */
import "./run.js";

export { diff } from "./run-diff.js";
export { inspect } from "./run-inspect.js";
export { reshard } from "./run-reshard.js";
export { scan } from "./run-scan.js";
export { toUniversal } from "./run-to-universal.js";
