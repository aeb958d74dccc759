/** The options of the command `vista-train check <recipe>`, whose work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addLaunchOptions, recipeArgument } from "./options.js";

export function addCheck(program: Command, context: CommandContext, extra: readonly string[]): void {
  addLaunchOptions(program.command("check").addArgument(recipeArgument()))
    .summary("look for what would go wrong, and start nothing")
    .description(
      "Look for what would go wrong and start nothing. Exit codes: 0 nothing wrong (warnings and notes may be shown), 1 errors found, 2 wrong usage.",
    )
    .option(...JSON_OBJECT)
    .addHelpText("after", `\nExamples:\n  $ vista-train check phase1 --vista ../Vista --nodes 1 --gpus 8`)
    .action(later(async () => (await import("./run-check.js")).check, extra, context));
}
