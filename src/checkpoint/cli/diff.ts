/** `vista-ckpt diff`: its options. What it does is loaded when it runs. */
import { type Command, InvalidArgumentError } from "commander";
import type { CommandContext } from "../../core/cli/program.js";
import { KEY_HELP } from "./common.js";

export interface DiffCommandOptions {
  max: number;
  key?: string;
  keyB?: string;
  verify: boolean;
  json?: boolean;
  quiet?: boolean;
}

const HELP = `
Examples:
  $ vista-ckpt diff a.bin b.safetensors
  $ vista-ckpt diff last.ckpt pytorch_model.bin     shards against a merged file
  $ vista-ckpt diff old.safetensors new.safetensors --json

Exit code 0 where names, dtypes, shapes and all bytes are equal, 1 where they differ.`;

export function diffCommand(parent: Command, context: CommandContext): void {
  parent
    .command("diff")
    .summary("compare two checkpoints of any kind")
    .description("Compare the tensors of two checkpoints: names, dtypes, shapes, bytes, values")
    .argument("<a>", "torch file, *.index.json, safetensors or ZeRO checkpoint folder")
    .argument("<b>", "the other")
    .option("--key <key>", KEY_HELP)
    .option("--key-b <key>", "the same for the other input, where it is another one")
    .option("--no-verify", "do not check the CRC-32 checksums")
    .option("--max <count>", "names shown of each kind of difference", parseMax, 20)
    .option("--json", "print one JSON object on stdout")
    .option("-q, --quiet", "print nothing but errors")
    .addHelpText("after", HELP)
    .action(async (a: string, b: string, options: DiffCommandOptions) => {
      const { diff } = await import("./run.js");
      await diff(a, b, options, context);
    });
}

function parseMax(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("It is a number.");
  return Number(text);
}
