import { addCompletion } from "../../core/cli/completion.js";
import { createProgram, runProgram } from "../../core/cli/program.js";
import { addAnnosCommand } from "./annos.js";
import { addCheckCommand } from "./check.js";
import { addExplainCommand } from "./explain.js";
import { addIndexCommand } from "./index-command.js";
import { addMergeReportsCommand } from "./merge-reports.js";
import { addPreviewCommand } from "./preview.js";
import { addStatsCommand } from "./stats.js";

/**
 * Runs `vista-data`, which checks, indexes and shows driving data. The files beside this one only declare options. Each imports
 * the code that does the work when its command runs, so that `--help` stays quick.
 */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram("vista-data", argv, (context) => {
    const program = createProgram(
      "vista-data",
      "Check and index nuScenes and OpenDV-YouTube, check and make Vista's annotation files",
    );
    addCheckCommand(program, context);
    addExplainCommand(program);
    addMergeReportsCommand(program, context);
    addIndexCommand(program, context);
    addAnnosCommand(program, context);
    addStatsCommand(program, context);
    addPreviewCommand(program, context);
    addCompletion(program);
    program.addHelpText("after", "\nExamples:\n  $ vista-data check /data/vista --report report.html");
    return program;
  });
}
