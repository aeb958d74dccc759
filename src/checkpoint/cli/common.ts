/** Holds what several commands of vista-ckpt share. */
import type { Command } from "commander";
import { formatCount } from "../../core/cli/format.js";
import { JSON_OBJECT, type PrintOptions, QUIET } from "../../core/cli/options.js";
import { printLines } from "../../core/cli/print.js";
import { firstNames, VistaError } from "../../core/errors.js";
import type { TorchFile } from "../torch/file.js";
import { unknownGlobals } from "../torch/known-globals.js";

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

/**
 * Prints what is worth knowing of an input on stderr: its warnings, and the names in its pickles that are outside the list of
 * `scan`.
 */
export function printWarnings(
  warnings: readonly string[],
  torchFiles: readonly Pick<TorchFile, "globals">[],
  prefix = "",
): void {
  for (const warning of warnings) printLines([`vista-ckpt: warning: ${prefix}${warning}`], process.stderr);
  printUnknown(unknownGlobals(torchFiles.flatMap(({ globals }) => globals)), prefix);
}

/** Prints a warning on stderr about names in pickles. @param names  the names of classes and functions that are not known */
export function printUnknown(names: readonly string[], prefix = ""): void {
  if (names.length === 0) return;
  const text =
    `${prefix}the pickle names what ordinary checkpoints do not: ${firstNames(names, 10)}; ` +
    "torch.load with weights_only=False would import and call it (nothing was executed here)";
  printLines([`vista-ckpt: warning: ${text}`], process.stderr);
}

/** Returns counts with their words, such as `12 different, 3 only in a.bin`; those of nothing are left out. */
export function countsText(counts: readonly (readonly [count: number, what: string])[]): string {
  const some = counts.filter(([count]) => count > 0);
  return some.map(([count, what]) => `${formatCount(count)} ${what}`).join(", ");
}

/** Returns pairs of names, such as an alias and the name whose tensor it shares, as `a = b`. */
export function pairTexts(pairs: readonly (readonly [string, string])[]): string[] {
  return pairs.map(([name, other]) => `${name} = ${other}`);
}

/** Returns a line with the first of the names and how many more there are; none where there are no names. */
export function namesLine(what: string, names: readonly string[]): string[] {
  return names.length === 0 ? [] : [`  ${what}: ${firstNames(names)}`];
}
