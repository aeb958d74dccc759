/**
 * The work of most commands, which is loaded when one of them runs and is one file in the bundle. `stats` needs little of it and
 * is quicker by itself.
 */
export { runCheck } from "./run-check.js";
export { runIndex } from "./run-index.js";
export { runMergeReports } from "./run-merge-reports.js";
export { runPreview } from "./run-preview.js";
