/** Declares `vista-ckpt verify` with its options. The code that does the work is loaded when it runs. */
import type { Command } from "commander";
import { JSON_OBJECT, QUIET } from "../../core/cli/options.js";
import type { CommandContext } from "../../core/cli/program.js";
import { startAhead } from "./ahead.js";
import { KEY_HELP } from "./common.js";
import type { VerifyCommandOptions } from "./run-verify.js";

const HELP = `
Examples:
  $ vista-ckpt verify last.ckpt             all shards of a ZeRO checkpoint, and whether they fit together
  $ vista-ckpt verify pytorch_model.bin     the CRC-32 of every record (torch.load never checks them)
  $ vista-ckpt verify vista.safetensors
  $ vista-ckpt verify 'logs/**/*.ckpt'      several, with a line for each

Exit code 0 for a sound checkpoint, 1 for a damaged one. NaN and infinity are counted, but are no damage.`;

export function verifyCommand(parent: Command, context: CommandContext): void {
  parent
    .command("verify")
    .summary("check every byte of a checkpoint")
    .description("Check the checksums of every record, the rules of the formats, and count NaN and infinity")
    .argument(
      "<paths...>",
      "torch files, *.index.json, safetensors, checkpoint folders, or patterns in quotes",
    )
    .option("--tag <tag>", "tag folder of a checkpoint instead of the one `latest` names")
    .option("--key <key>", KEY_HELP)
    .option(...JSON_OBJECT)
    .option(...QUIET)
    .addHelpText("after", HELP)
    .action(async (paths: string[], options: VerifyCommandOptions) => {
      await startAhead(paths[0]!);
      const { verify } = await import("./run-verify.js");
      await verify(paths, options, context);
    });
}
