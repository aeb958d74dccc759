/** Makes the lines that several commands of vista-ckpt print. */
import { formatCount, plural } from "../../core/cli/format.js";
import { printLines } from "../../core/cli/print.js";
import { firstNames } from "../../core/errors.js";
import type { TorchFile } from "../torch/file.js";
import { unknownGlobals } from "../torch/known-globals.js";
import type { ZeroInfo } from "../zero/plan.js";
import type { GroupSizes } from "../zero/trained.js";

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

/** The facts that are printed of the checkpoint that was read. */
export type Source = Pick<ZeroInfo, "folder" | "tag" | "deepspeed" | "stage" | "globalSteps"> &
  Partial<Pick<ZeroInfo, "lightning">>;

/**
 * Returns a line such as `from last.ckpt, tag checkpoint: DeepSpeed 0.10.1 with Lightning 2.0.1, ZeRO stage 2, 4 ranks, step 10`.
 */
export function sourceLine(source: Source, more: readonly string[] = []): string {
  const { folder, tag, deepspeed, lightning, stage, globalSteps } = source;
  const writer = [
    (deepspeed === undefined ? "an unknown DeepSpeed" : `DeepSpeed ${deepspeed}`) +
      (lightning === undefined ? "" : ` with Lightning ${lightning}`),
    `ZeRO stage ${stage}`,
    ...more,
    ...(globalSteps === undefined ? [] : [`step ${formatCount(globalSteps)}`]),
  ];
  return `  from ${folder}, tag ${tag}: ${writer.join(", ")}`;
}

/** Returns the beginning of a line about one group of parameters, such as `  group 0: 12 parameter tensors, 345 elements`. */
export function groupText({ parameters, numel }: Pick<GroupSizes, "parameters" | "numel">, index: number) {
  return `  group ${index}: ${plural(parameters, "parameter tensor")}, ${formatCount(numel)} elements`;
}
