import type { Command } from "commander";
import { VistaError } from "../../errors.js";
import type { CommandContext } from "../program.js";

export function addIndexCommand(program: Command, _context: CommandContext): void {
  program
    .command("index")
    .description("write a compact index, or Vista's annotation file")
    .action(() => {
      throw new VistaError("UNSUPPORTED", "this command is not built yet");
    });
}
