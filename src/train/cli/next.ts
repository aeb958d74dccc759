/** The options of the command `vista-train next <run>`, whose work is loaded when it runs. */
import type { Command } from "commander";
import { type CommandContext, later } from "../../core/cli/program.js";
import { addStartOptions, RUN } from "./options.js";

export function addNext(program: Command, context: CommandContext, extra: readonly string[]): void {
  addStartOptions(program.command("next").argument(...RUN))
    .summary("print, or with --start start, the phase that follows a run")
    .description(
      "Print the command of the phase that follows a run, from its last checkpoint; --start starts it.",
    )
    .option("--recipe <name>", "the recipe of the run, where its folder does not tell")
    .option("--start", "start it")
    .addHelpText("after", `\nExamples:\n  $ vista-train next logs/phase1-4711 --start`)
    .action(later(async () => (await import("./run-next.js")).next, extra, context));
}
