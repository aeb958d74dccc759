/** The options of the command `vista-train status <run>`, whose work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addRecipeOptions, RUN } from "./options.js";

export function addStatus(program: Command, context: CommandContext): void {
  addRecipeOptions(program.command("status").argument(...RUN))
    .summary("show epochs, steps and loss of a run, its checkpoints, what could be resumed")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-train status logs/phase1-4711")
    .action(later(async () => (await import("./run-status.js")).status, context));
}
