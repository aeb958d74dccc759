import type { Command } from "commander";
import { VistaError } from "../../errors.js";
import type { CommandContext } from "../program.js";

export function addPreviewCommand(program: Command, _context: CommandContext): void {
  program
    .command("preview")
    .description("draw a clip as the model sees it")
    .action(() => {
      throw new VistaError("UNSUPPORTED", "this command is not built yet");
    });
}
