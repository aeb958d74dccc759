import { addCheckCommand } from "./data/check.js";
import { addIndexCommand } from "./data/index.js";
import { addMergeReportsCommand } from "./data/merge-reports.js";
import { addPreviewCommand } from "./data/preview.js";
import { addStatsCommand } from "./data/stats.js";
import { createProgram, runProgram } from "./program.js";

/**
 * `vista-data`: check, index and look at driving data. The files of `data/` declare options only; each imports the code
 * that does the work when its command runs, so that `--help` stays quick.
 */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram("vista-data", argv, (context) => {
    const program = createProgram(
      "vista-data",
      "Check and index nuScenes, OpenDV-YouTube and Vista's annotation files",
    );
    addCheckCommand(program, context);
    addMergeReportsCommand(program, context);
    addIndexCommand(program, context);
    addStatsCommand(program, context);
    addPreviewCommand(program, context);
    return program;
  });
}
