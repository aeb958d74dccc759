/** `vista-train check <recipe>`: the preflight alone. */
import type { Command } from "commander";
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { withProgress } from "../../core/cli/progress.js";
import { realSystem } from "../launch/system.js";
import { preflight } from "../preflight/preflight.js";
import { tools } from "../tools.js";
import { addLaunchOptions, findRecipe, type LaunchFlags, makePlan, readRecipes } from "./options.js";
import { checkSelectors, findingLines, verdict } from "./report.js";

export function addCheck(program: Command, context: CommandContext, extra: readonly string[]): void {
  addLaunchOptions(program.command("check <recipe>"))
    .summary("look for what would go wrong, and start nothing")
    .description(
      "Looks for what would go wrong and starts nothing. Exit codes: 0 nothing wrong (warnings and notes may be shown), 1 errors found, 2 wrong usage.",
    )
    .option("--json", "print one JSON object")
    .addHelpText("after", `\nExamples:\n  $ vista-train check phase1 --vista ../Vista --nodes 1 --gpus 8`)
    .action(async (name: string, flags: LaunchFlags & { json?: boolean }) => {
      checkSelectors(flags);
      const recipe = findRecipe(await readRecipes(flags), name);
      const plan = makePlan(recipe, flags, extra);
      const { findings, sampled } = await withProgress((onProgress) =>
        preflight(plan, realSystem(process.env, context.signal), tools, {
          only: flags.only ?? [],
          ignore: flags.ignore ?? [],
          signal: context.signal,
          onProgress,
        }),
      );
      const ok = !findings.some((one) => one.severity === "error");
      if (!ok) context.setExitCode(EXIT.failed);
      if (flags.json) {
        const report = {
          recipe: recipe.name,
          vista: plan.vista,
          nodes: plan.nodes,
          gpus: plan.gpus,
          ok,
          findings,
          sampled,
        };
        process.stdout.write(`${JSON.stringify({ command: "check", ...report })}\n`);
        return;
      }
      const lines = findingLines(findings);
      process.stdout.write(`${[...lines, `${recipe.name}: ${verdict(findings, sampled)}`].join("\n")}\n`);
    });
}
