/** Does the work of `vista-train finish`. */
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { finishRun, parseSteps } from "../run/finish.js";
import { warningsTo } from "./report.js";

interface FinishFlags extends PrintOptions {
  /** The steps, joined by commas. */
  steps: string;
}

export async function finish(run: string, flags: FinishFlags, context: CommandContext): Promise<void> {
  const steps = parseSteps(flags.steps);
  const files = await runWithProgress(flags.quiet, context.signal, (options) =>
    finishRun(run, steps, { ...options, onWarning: warningsTo(flags.quiet) }),
  );
  printResult(flags, { command: "finish", run, files }, files);
}
