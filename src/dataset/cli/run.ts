/** The work of most commands, which is one part of the bundle and is loaded when one of them runs. */
export { runCheck } from "./run-check.js";
export { runExplain } from "./run-explain.js";
export { runIndex } from "./run-index.js";
export { runMergeReports } from "./run-merge-reports.js";
export { runPreview } from "./run-preview.js";
export { runStats } from "./run-stats.js";
