import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

export function addMergeReportsCommand(program: Command, context: CommandContext): void {
  program
    .command("merge-reports")
    .description("join the JSON reports of all --shard runs into the report of one run")
    .argument("<reports...>", "what `vista-data check --shard i/n --json` printed, one file a shard")
    .option(...JSON_OBJECT)
    .option("--ndjson <file>", "write every finding, one JSON object a line (shards: --max-findings 0)")
    .option("--sarif <file>", "write a SARIF file, one result for each rule and folder")
    .option("--report <file>", "write an HTML report")
    .option("--force", "replace output files that exist")
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-data merge-reports shard-*.json --report report.html`)
    .action(later(async () => (await import("./run-merge-reports.js")).runMergeReports, context));
}
