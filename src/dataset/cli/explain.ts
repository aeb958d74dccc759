import { fileURLToPath } from "node:url";
import type { Command } from "commander";

export function addExplainCommand(program: Command): void {
  program
    .command("explain")
    .description("print a rule's page: what it is, why it hurts, how to mend it")
    .argument("<rule>", "as reports name it: annos/past-end")
    .addHelpText("after", "\nExamples:\n  $ vista-data explain annos/past-end")
    .action(async (code: string) => {
      const [{ findRule }, { unknownRule }, { readRegular }] = await Promise.all([
        import("../rules.js"),
        import("./unknown-rule.js"),
        import("../../core/io/regular.js"),
      ]);
      if (findRule(code) === undefined) throw unknownRule(code, code);
      // `docs/` is part of the package; the way to it is the same from src/ and from dist/.
      const page = new URL(`../../../docs/rules/${code.replace("/", "-")}.md`, import.meta.url);
      process.stdout.write(await readRegular(fileURLToPath(page)));
    });
}
