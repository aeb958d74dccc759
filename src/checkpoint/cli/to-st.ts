/** `vista-ckpt to-st`: its options. What it does is loaded when it runs. */
import { type Command, InvalidArgumentError } from "commander";
import type { CommandContext } from "../../core/cli/program.js";
import { startAhead } from "./ahead.js";
import { addCommonOptions, type CommonOptions, KEY_HELP, oneOutput } from "./common.js";
import { addOutputFileOptions, type OutputFileOptions } from "./output-options.js";

export interface ToStOptions extends CommonOptions, OutputFileOptions {
  tag?: string;
  key?: string;
  raw?: boolean;
  lora: boolean;
  ema: boolean;
  keepPrefix?: boolean;
  keepUnprefixed?: boolean;
  loraScale: number;
}

const DEFAULT_INPUT = "pytorch_model.bin";
export const DEFAULT_FOLDER = "ckpts";

const HELP = `
Examples:
  $ vista-ckpt to-st                                    pytorch_model.bin → ckpts/vista.safetensors
  $ vista-ckpt to-st logs/run/checkpoints/last.ckpt     straight from the shards of a checkpoint
  $ vista-ckpt to-st vista.bin -o vista16.safetensors --dtype fp16
  $ vista-ckpt to-st model.pt -o model.safetensors --raw    any torch file, no Vista steps

Vista's steps, as bin_to_st.py does them: merge the LoRA adapters, take \`_forward_module.\` off
the names, put the EMA's weights in the place of the trained ones. Needs no Python.`;

export function toStCommand(parent: Command, context: CommandContext): void {
  const command = parent
    .command("to-st")
    .summary("make vista.safetensors from a .bin or a checkpoint folder")
    .description("Convert a checkpoint to safetensors for inference (what Vista's bin_to_st.py does)")
    .argument("[input]", "torch file, *.index.json, safetensors or ZeRO checkpoint folder", DEFAULT_INPUT)
    .argument("[output]", `output file (default: ${DEFAULT_FOLDER}/vista.safetensors)`)
    .option("-o, --output <file>", "the same as an option")
    .option("--tag <tag>", "tag folder of a checkpoint instead of the one `latest` names")
    .option("--key <key>", KEY_HELP)
    .option("--raw", "convert as it is: no LoRA, prefix or EMA step")
    .option("--no-lora", "keep LoRA adapters as tensors of their own")
    .option("--no-ema", "take the trained weights and leave the EMA's out")
    .option("--keep-prefix", "leave `_forward_module.` in the names")
    .option("--keep-unprefixed", "keep names without `_forward_module.` (by default an error)")
    .option("--lora-scale <number>", "factor of the LoRA products", parseScale, 1);
  addOutputFileOptions(command);
  addCommonOptions(command)
    .addHelpText("after", HELP)
    .action(async (input: string, output: string | undefined, options: ToStOptions) => {
      const target = oneOutput(output, options.output);
      const loading = import("./run.js");
      if (!options.dryRun) startAhead(input);
      const { toSt } = await loading;
      await toSt(input, target, options, context);
    });
}

function parseScale(text: string): number {
  const scale = Number(text);
  if (text.trim() === "" || !Number.isFinite(scale))
    throw new InvalidArgumentError("It is a number, for example 1.");
  return scale;
}
