/** Declares `vista-ckpt to-st` with its options. The code that does the work is loaded when it runs. */
import { type Command, Option } from "commander";
import { finiteNumber } from "../../core/cli/options.js";
import type { CommandContext } from "../../core/cli/program.js";
import { VistaError } from "../../core/errors.js";
import { PROFILES, type Profile } from "../vista/profile-names.js";
import { startAhead } from "./ahead.js";
import { addCommonOptions, KEY_HELP, oneOutput } from "./common.js";
import { addOutputFileOptions } from "./output-options.js";
import type { ToStOptions } from "./run-to-st.js";

const DEFAULT_INPUT = "pytorch_model.bin";

const HELP = `
Examples:
  $ vista-ckpt to-st                                    pytorch_model.bin → ckpts/vista.safetensors
  $ vista-ckpt to-st logs/run/checkpoints/last.ckpt     straight from the shards of a checkpoint
  $ vista-ckpt to-st vista.bin -o vista16.safetensors --dtype fp16
  $ vista-ckpt to-st model.pt -o model.safetensors --raw    any torch file, no Vista steps
  $ vista-ckpt to-st iter_000010000 --profile cosmos        a folder of Cosmos: net_ema. becomes net.

Vista's steps, as bin_to_st.py does them: merge the LoRA adapters, take \`_forward_module.\` off
the names, put the EMA's weights in the place of the trained ones. Needs no Python.`;

export function toStCommand(parent: Command, context: CommandContext): void {
  const command = parent
    .command("to-st")
    .summary("make vista.safetensors from a .bin or a checkpoint folder")
    .description("Convert a checkpoint to safetensors for inference (what Vista's bin_to_st.py does)")
    .argument("[input]", "torch file, *.index.json, safetensors or ZeRO checkpoint folder", DEFAULT_INPUT)
    .argument("[output]", "output file (default: ckpts/vista.safetensors)")
    .option("-o, --output <file>", "the output file, named by an option")
    .option("--tag <tag>", "tag folder of a checkpoint instead of the one `latest` names")
    .option("--key <key>", KEY_HELP)
    .addOption(
      new Option("--profile <name>", "whose steps to take; told by the names where that is plain").choices([
        ...PROFILES,
      ]),
    )
    .option("--raw", "convert as it is, the same as --profile none")
    .option("--no-lora", "keep LoRA adapters as tensors of their own")
    .option("--no-ema", "take the trained weights and leave the EMA's out")
    .option("--keep-prefix", "leave `_forward_module.` in the names")
    .option("--keep-unprefixed", "keep names without `_forward_module.` (by default an error)")
    .option("--lora-scale <number>", "factor of the LoRA products", finiteNumber("0.5"), 1);
  addOutputFileOptions(command);
  addCommonOptions(command)
    .addHelpText("after", HELP)
    .action(async (input: string, output: string | undefined, options: ToStOptions) => {
      const target = oneOutput(output, options.output);
      const profile = profileOf(options);
      if (!options.dryRun) await startAhead(input);
      const { toSt } = await import("./run-to-st.js");
      await toSt(input, target, { ...options, ...profile }, context);
    });
}

/**
 * Returns the profile that the options ask for, where they do; `--raw` and `--profile none` are the same.
 * @throws VistaError `USAGE` for options that contradict one another
 */
function profileOf(options: ToStOptions): { raw?: boolean; profile?: Profile } {
  const { raw = false, profile } = options;
  const isScaled = options.loraScale !== 1;
  const ofVista = [
    [!options.lora, "--no-lora"],
    [isScaled, "--lora-scale"],
    [options.keepPrefix, "--keep-prefix"],
    [options.keepUnprefixed, "--keep-unprefixed"],
  ] as const;
  const other = ofVista.find(([given]) => given)?.[1];
  const isRaw = raw || profile === "none";
  const asItIs = `and ${raw ? "--raw" : "--profile none"}`;
  const pairs = [
    [raw && profile !== undefined && profile !== "none", `--raw and --profile ${profile}`],
    [profile === "cosmos" && other !== undefined, `${other}, for Vista's steps, and --profile cosmos`],
    [isScaled && !options.lora, "--lora-scale and --no-lora"],
    [isRaw && isScaled, `--lora-scale ${asItIs}`],
    [isRaw && !options.ema, `--no-ema ${asItIs}`],
  ] as const;
  const pair = pairs.find(([holds]) => holds)?.[1];
  if (pair !== undefined)
    throw new VistaError("USAGE", `${pair} contradict one another`, { hint: "Leave one of the two out." });
  if (isRaw) return { raw: true, profile: "none" };
  // An option of Vista's steps says that Vista's profile is meant.
  if (profile === undefined && other !== undefined) return { profile: "vista" };
  return {};
}
