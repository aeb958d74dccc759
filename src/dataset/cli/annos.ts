import type { Command } from "commander";
import type { CommandContext } from "../../core/cli/program.js";
import { addAnnosNuScenesCommand } from "./annos-nuscenes.js";
import { addAnnosNuScenes12HzCommand } from "./annos-nuscenes-12hz.js";
import { addAnnosYouTubeCommand } from "./annos-youtube.js";

/** Adds `vista-data annos …`: the commands that make annotation files, each in a file of its own. */
export function addAnnosCommand(program: Command, context: CommandContext): void {
  const annos = program
    .command("annos")
    .description("make the annotation files that Vista and its successors train on, from the data itself");
  annos.addHelpText("after", "\nExamples:\n  $ vista-data annos nuscenes /data/nuscenes --split val");
  addAnnosNuScenesCommand(annos, context);
  addAnnosNuScenes12HzCommand(annos, context);
  addAnnosYouTubeCommand(annos, context);
}
