import type { Command } from "commander";
import { VistaError } from "../../errors.js";
import type { CommandContext } from "../program.js";

export function addStatsCommand(program: Command, _context: CommandContext): void {
  program
    .command("stats")
    .description("say what a data set holds")
    .action(() => {
      throw new VistaError("UNSUPPORTED", "this command is not built yet");
    });
}
