/** Holds lines about ZeRO checkpoints that several commands print. */
import { formatCount, plural } from "../../core/cli/format.js";
import type { ZeroInfo } from "../zero/plan.js";
import type { GroupSizes } from "../zero/trained.js";

/** The facts that are printed of the checkpoint that was read. */
export type Source = Pick<ZeroInfo, "folder" | "tag" | "deepspeed" | "stage" | "globalSteps">;

/**
 * Returns a line such as `from last.ckpt, tag checkpoint: DeepSpeed 0.10.1 with Lightning 2.0.1, ZeRO stage 2, 4 ranks, step 10`.
 */
export function sourceLine(
  source: Source,
  lightning: string | undefined,
  more: readonly string[] = [],
): string {
  const { folder, tag, deepspeed, stage, globalSteps } = source;
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
