/** Runs `vista-ckpt to-universal`, which writes a ZeRO checkpoint as a universal one. */
import { plural } from "../../core/cli/format.js";
import type { CommandContext } from "../../core/cli/program.js";
import type { WrittenUniversal } from "../to-universal.js";
import { type FolderCommandOptions, stateWords, writeFolder } from "./run-folder.js";
import { sourceLine } from "./texts.js";

export async function toUniversal(
  folder: string,
  options: FolderCommandOptions,
  context: CommandContext,
): Promise<void> {
  const describe = (result: WrittenUniversal, wrote: string, size: string) => [
    `${wrote} ${result.output}, tag ${result.universalTag}`,
    `  ${plural(result.files, "file")}, ${size}`,
    sourceLine(result, [plural(result.ranks, "rank")]),
    `  ${plural(result.parameters, "parameter tensor")}${stateWords(result)}`,
    ...result.leftOut.map((name) => `  left out: the optimizer's ${name}, for which the form has no place`),
    '  DeepSpeed loads it with {"checkpoint": {"load_universal": true}}',
    ...result.cautions.map((caution) => `  but ${caution}`),
  ];
  await writeFolder({ job: "to-universal" }, folder, options, context, describe);
}
