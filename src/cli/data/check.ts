import type { Command } from "commander";
import { VistaError } from "../../errors.js";
import type { CommandContext } from "../program.js";

export function addCheckCommand(program: Command, _context: CommandContext): void {
  program
    .command("check")
    .description("check a data set and say everything that is wrong with it")
    .action(() => {
      throw new VistaError("UNSUPPORTED", "this command is not built yet");
    });
}
