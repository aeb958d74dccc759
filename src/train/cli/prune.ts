/** The options of the command `vista-train prune <run> --keep N`, whose work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET, wholeNumber } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { RUN } from "./options.js";

const HELP = `
Examples:
  $ vista-train prune logs/phase1-4711 --keep 2 --dry-run   verify, and say what would go
  $ vista-train prune logs/phase1-4711 --keep 2

Every byte of the checkpoints that stay is read first. Where one of them is damaged, not whole or
holds NaN, nothing is removed. The one that --resume takes stays in any case.`;

export function addPrune(program: Command, context: CommandContext): void {
  program
    .command("prune")
    .argument(...RUN)
    .summary("remove the older checkpoints of a run, after verifying those that stay")
    .requiredOption("--keep <n>", "how many of the newest checkpoints stay (required)", wholeNumber(1))
    .option("--dry-run", "verify and show the plan, remove nothing")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", HELP)
    .action(later(async () => (await import("./run-prune.js")).prune, context));
}
