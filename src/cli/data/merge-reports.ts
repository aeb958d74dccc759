import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { fromSystem, VistaError } from "../../errors.js";
import { type CommandContext, EXIT } from "../program.js";

interface MergeOptions {
  json?: boolean;
  sarif?: string;
  report?: string;
  force?: boolean;
}

export function addMergeReportsCommand(program: Command, context: CommandContext): void {
  program
    .command("merge-reports")
    .description("join the JSON reports of all --shard runs into the report of one run")
    .argument("<reports...>", "what `vista-data check --shard i/n --json` printed, one file a shard")
    .option("--json", "print the report as one JSON object")
    .option("--sarif <file>", "write a SARIF file, one result for each rule and folder")
    .option("--report <file>", "write an HTML report")
    .option("--force", "replace output files that exist")
    .action(async (paths: string[], options: MergeOptions) => {
      const { mergeReports } = await import("../../dataset/report/merge.js");
      const { writeReports } = await import("./outputs.js");
      const report = mergeReports(
        await Promise.all(paths.map(async (path) => ({ path, report: await readReport(path) }))),
      );
      await writeReports(report, options);
      context.setExitCode(
        report.counts.error > 0 || report.verdict === "interrupted" ? EXIT.failed : EXIT.ok,
      );
    });
}

async function readReport(path: string) {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw fromSystem(error, path, "read the report");
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new VistaError("FORMAT", "this is not JSON: the run that wrote it did not end, or had no --json", {
      path,
      hint: "Run that shard again.",
      cause: error,
    });
  }
}
