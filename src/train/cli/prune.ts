/** `vista-train prune <run> --keep N`: removes the older checkpoints of a run. */
import { type Command, InvalidArgumentError } from "commander";
import { formatBytes, plural } from "../../core/cli/format.js";
import { printLines } from "../../core/cli/print.js";
import type { CommandContext } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { type PruneReport, pruneRun } from "../run/prune.js";
import { tools } from "../tools.js";

interface PruneFlags {
  keep: number;
  dryRun?: boolean;
  json?: boolean;
  quiet?: boolean;
}

const HELP = `
Examples:
  $ vista-train prune logs/phase1-4711 --keep 2 --dry-run   verify, and say what would go
  $ vista-train prune logs/phase1-4711 --keep 2

Every byte of the checkpoints that stay is read first. Where one of them is damaged, not whole or
holds NaN, nothing is removed. The one that --resume takes stays in any case.`;

export function addPrune(program: Command, context: CommandContext): void {
  program
    .command("prune <run>")
    .summary("remove the older checkpoints of a run, after verifying those that stay")
    .requiredOption("--keep <n>", "how many of the newest checkpoints stay", parseKeep)
    .option("--dry-run", "verify and show the plan, remove nothing")
    .option("--json", "print one JSON object on stdout")
    .option("-q, --quiet", "print nothing but errors")
    .addHelpText("after", HELP)
    .action(async (run: string, { keep, dryRun = false, json, quiet }: PruneFlags) => {
      const report = await runWithProgress(quiet ?? false, context.signal, (options) =>
        pruneRun(run, keep, tools.checkpoints, { ...options, dryRun }),
      );
      if (json) process.stdout.write(`${JSON.stringify({ command: "prune", ...report })}\n`);
      else if (!quiet) printLines(show(report));
    });
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

function parseKeep(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("It is a number from 1 on.");
  return Number(text);
}
