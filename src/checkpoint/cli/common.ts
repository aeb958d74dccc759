/** Declares the options that several commands of vista-ckpt share. */
import type { Command } from "commander";
import { JSON_OBJECT, type PrintOptions, QUIET } from "../../core/cli/options.js";
import { VistaError } from "../../core/errors.js";

/** The help of `--key`, which all commands have that read a torch file. */
export const KEY_HELP = "the state dict's place in a torch file, keys joined by dots, . for the file itself";

/** The options that every command takes which writes a file. */
export interface CommonOptions extends PrintOptions {
  output?: string;
  force?: boolean;
  verify: boolean;
  fsync: boolean;
  dryRun?: boolean;
}

export function addCommonOptions(command: Command): Command {
  return command
    .option("--force", "replace an existing output")
    .option("--no-verify", "do not check the input's CRC-32 checksums")
    .option("--no-fsync", "do not wait until the output is on disk")
    .option("--dry-run", "show the plan, write nothing")
    .option(...JSON_OBJECT)
    .option(...QUIET);
}

/** Returns the output, which is given as argument or as option, not both. @throws VistaError `USAGE` for two outputs */
export function oneOutput(argument: string | undefined, option: string | undefined): string | undefined {
  if (argument !== undefined && option !== undefined && argument !== option) {
    throw new VistaError("USAGE", `two outputs: ${argument} and ${option}`, { hint: "Give one." });
  }
  return option ?? argument;
}
