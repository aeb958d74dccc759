/** The work of `vista-train prune`, and the lines that it prints. */
import { formatBytes, plural } from "../../core/cli/format.js";
import type { PrintOptions } from "../../core/cli/options.js";
import { printResult } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { type PruneReport, pruneRun } from "../run/prune.js";

export interface PruneFlags extends PrintOptions {
  keep: number;
  dryRun?: boolean;
}

export async function prune(run: string, flags: PruneFlags, context: CommandContext): Promise<void> {
  const { keep, dryRun = false } = flags;
  const report = await runWithProgress(flags.quiet, context.signal, (options) =>
    pruneRun(run, keep, { ...options, dryRun }),
  );
  printResult(flags, { command: "prune", ...report }, show(report));
}

function show({ dryRun, kept, verified, removed, bytes }: PruneReport): string[] {
  return [
    ...removed.map((one) => `${dryRun ? "would remove" : "removed"} ${one.name}  ${formatBytes(one.bytes)}`),
    ...kept.map((one) => `${verified ? "sound, " : ""}stays ${one.name}  ${formatBytes(one.bytes)}`),
    removed.length === 0
      ? `nothing to remove: ${plural(kept.length, "checkpoint")}, not verified`
      : `${dryRun ? "would free" : "freed"} ${formatBytes(bytes)}: ${plural(removed.length, "checkpoint")}`,
  ];
}
