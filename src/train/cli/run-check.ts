/** The work of `vista-train check`: the preflight alone. */

import { printJson } from "../../core/cli/print.js";
import { type CommandContext, EXIT } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { realSystem } from "../launch/system.js";
import { checkSelectors, preflight } from "../preflight/preflight.js";
import { goOn } from "../run/prepare.js";
import { findRecipe, type LaunchFlags, makePlan, readRecipes } from "./plan.js";
import { findingLines, selected, verdict } from "./report.js";

export interface CheckFlags extends LaunchFlags {
  json?: boolean;
}

export async function check(
  name: string,
  flags: CheckFlags,
  extra: readonly string[],
  context: CommandContext,
): Promise<void> {
  checkSelectors(flags);
  const recipe = findRecipe(await readRecipes(flags), name);
  const plan = await goOn(makePlan(recipe, flags, extra));
  const { findings, sampled } = await runWithProgress(flags.quiet, context.signal, (run) =>
    preflight(plan, realSystem(process.env, context.signal), {
      ...run,
      only: flags.only,
      ignore: flags.ignore,
    }),
  );
  const errors = findings.filter((one) => one.severity === "error");
  const ok = errors.length === 0;
  if (!ok) context.setExitCode(EXIT.failed);
  if (flags.json) {
    const { vista, nodes, gpus } = plan;
    printJson({ command: "check", recipe: recipe.name, vista, nodes, gpus, ok, findings, sampled });
    return;
  }
  if (flags.quiet) {
    for (const line of findingLines(errors)) process.stderr.write(`${line}\n`);
    return;
  }
  const lines = findingLines(findings);
  process.stdout.write(
    `${[...lines, `${recipe.name}: ${verdict(findings, sampled)}${selected(flags)}`].join("\n")}\n`,
  );
}
