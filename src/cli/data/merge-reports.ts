import type { Command } from "commander";
import { VistaError } from "../../errors.js";
import type { CommandContext } from "../program.js";

export function addMergeReportsCommand(program: Command, _context: CommandContext): void {
  program
    .command("merge-reports")
    .description("join the JSON reports of --shard runs into one")
    .action(() => {
      throw new VistaError("UNSUPPORTED", "this command is not built yet");
    });
}
