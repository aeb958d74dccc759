/** Declares `vista-ckpt scan` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";

const HELP = `
Examples:
  $ vista-ckpt scan downloaded.ckpt          before anything loads it
  $ vista-ckpt scan 'models/**/*.pt' --sarif scan.sarif
  $ vista-ckpt scan logs/run/checkpoints     every file in a folder, hidden ones too

Looks at every record and every pickle inside of one, by content and not by name, and executes nothing. Exit code 0 where all
was understood and nothing found, 1 for findings; what could not be read is a finding.`;

export function scanCommand(parent: Command, context: CommandContext): void {
  parent
    .command("scan")
    .summary("look for code in checkpoints before something loads them")
    .description(
      "Look for anything in checkpoints that is no data: names outside a list, hidden records, contradictions",
    )
    .argument("<paths...>", "files, folders, or patterns in quotes")
    .option(...JSON_OBJECT)
    .option("--sarif <file>", "write a SARIF file, for code scanning views")
    .option("--force", "replace an existing SARIF file")
    .option(...QUIET)
    .addHelpText("after", HELP)
    .action(later(async () => (await import("./run-scan.js")).scan, context));
}
