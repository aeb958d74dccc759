/** The command `vista-train finish <run>`, which does by itself what `--then` does after a training. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { type CommandContext, later } from "../../core/cli/program.js";
import { RUN } from "./options.js";

export function addFinish(program: Command, context: CommandContext): void {
  program
    .command("finish")
    .argument(...RUN)
    .summary("merge the last checkpoint of a run, make a file for inference: what --then does")
    .option("--steps <steps>", "merge (pytorch_model.bin), to-st (vista.safetensors), or both", "merge,to-st")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", `\nExamples:\n  $ vista-train finish logs/phase1-4711 --steps to-st`)
    .action(later(async () => (await import("./run-finish.js")).finish, context));
}
