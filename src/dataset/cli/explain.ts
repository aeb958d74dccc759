import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { later } from "../../core/cli/program.js";

export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .description("print a rule's page: what it is, why it hurts, how to mend it")
    .argument("<rule>", "as reports name it: annos/past-end")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-data explain annos/past-end")
    .action(later(async () => (await import("./run-explain.js")).runExplain));
}
