/** What `vista-train prune` does. */
import { formatBytes, plural } from "../../core/cli/format.js";
import { printJson, printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { type PruneReport, pruneRun } from "../run/prune.js";
import { tools } from "../tools.js";

export interface PruneFlags {
  keep: number;
  dryRun?: boolean;
  json?: boolean;
  quiet?: boolean;
}

export async function prune(
  run: string,
  { keep, dryRun = false, json, quiet = false }: PruneFlags,
  context: CommandContext,
): Promise<void> {
  const report = await runWithProgress(quiet, context.signal, (options) =>
    pruneRun(run, keep, tools.checkpoints, { ...options, dryRun }),
  );
  if (json) printJson({ command: "prune", ...report });
  else if (!quiet) printLines(show(report));
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
