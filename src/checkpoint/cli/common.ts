/** What several commands of vista-ckpt share. */
import type { Command } from "commander";
import { VistaError } from "../../core/errors.js";

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
