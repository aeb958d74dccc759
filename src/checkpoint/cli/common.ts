/** What several commands of vista-ckpt share. */
import type { Command } from "commander";
import { JSON_OBJECT, type PrintOptions, QUIET } from "../../core/cli/options.js";
import { printLines } from "../../core/cli/print.js";
import { firstNames, VistaError } from "../../core/errors.js";
import type { TorchFile } from "../torch/file.js";
import { unknownGlobals } from "../torch/known-globals.js";

/** Of the option that all commands have which read a torch file. */
export const KEY_HELP = "the state dict's place in a torch file, keys joined by dots, . for the file itself";

/** Options that every command which writes a file takes. */
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

/** The output as argument or as option, not both. @throws VistaError `USAGE` */
export function oneOutput(argument: string | undefined, option: string | undefined): string | undefined {
  if (argument !== undefined && option !== undefined && argument !== option) {
    throw new VistaError("USAGE", `two outputs: ${argument} and ${option}`, { hint: "Give one." });
  }
  return option ?? argument;
}

/** What is worth knowing of an input, on stderr: its warnings, and what its pickles name outside the list of `scan`. */
export function printWarnings(
  warnings: readonly string[],
  torchFiles: readonly Pick<TorchFile, "globals">[],
  prefix = "",
): void {
  for (const warning of warnings) printLines([`vista-ckpt: warning: ${prefix}${warning}`], process.stderr);
  printUnknown(unknownGlobals(torchFiles.flatMap(({ globals }) => globals)), prefix);
}

/** @param names  classes and functions outside the list of known ones */
export function printUnknown(names: readonly string[], prefix = ""): void {
  if (names.length === 0) return;
  const text =
    `${prefix}the pickle names what ordinary checkpoints do not: ${firstNames(names, 10)}; ` +
    "torch.load with weights_only=False would import and call it (nothing was executed here)";
  printLines([`vista-ckpt: warning: ${text}`], process.stderr);
}
