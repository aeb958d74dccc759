/** What several commands of vista-ckpt share. */
import { setFlagsFromString } from "node:v8";
import type { Command } from "commander";
import { VistaError } from "../../errors.js";

/**
 * Keeps V8's young generation at the size it has. A copy makes a little garbage for each of its windows; left alone, V8 lets
 * that part of the heap grow by some 30 MB over a long one. Called when the plan is made: until then growth saves time.
 */
export function keepYoungGenerationSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

/** Options that every command which writes a file takes. */
export interface CommonOptions {
  output?: string;
  force?: boolean;
  verify: boolean;
  fsync: boolean;
  dryRun?: boolean;
  json?: boolean;
  quiet?: boolean;
}

export function addCommonOptions(command: Command): Command {
  return command
    .option("--force", "replace an existing output")
    .option("--no-verify", "do not check the input's CRC-32 checksums")
    .option("--no-fsync", "do not wait until the output is on disk")
    .option("--dry-run", "show the plan, write nothing")
    .option("--json", "print one JSON object on stdout")
    .option("-q, --quiet", "print nothing but errors");
}

/** The output as argument or as option, not both. @throws VistaError `USAGE` */
export function oneOutput(argument: string | undefined, option: string | undefined): string | undefined {
  if (argument !== undefined && option !== undefined && argument !== option) {
    throw new VistaError("USAGE", `two outputs: ${argument} and ${option}`, { hint: "Give one." });
  }
  return option ?? argument;
}
