import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import { printJson } from "../../core/cli/print.js";

export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .description("print a rule's page: what it is, why it hurts, how to mend it")
    .argument("<rule>", "as reports name it: annos/past-end")
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", "\nExamples:\n  $ vista-data explain annos/past-end")
    .action(async (code: string, options: { json?: boolean; quiet?: boolean }) => {
      const [{ findRule }, { unknownRule }, { readRegular }] = await Promise.all([
        import("../rules.js"),
        import("./unknown-rule.js"),
        import("../../core/io/regular.js"),
      ]);
      const rule = findRule(code);
      if (rule === undefined) throw unknownRule(code, code);
      // The folder `docs/` is part of the package, and the path to it is the same from src/ and from dist/.
      const page = new URL(`../../../docs/rules/${code.replace("/", "-")}.md`, import.meta.url);
      const text = (await readRegular(fileURLToPath(page))).toString();
      if (options.json) printJson({ command: "explain", ...rule, page: text });
      else if (!options.quiet) process.stdout.write(text);
    });
}
