import { addCompletion } from "../../core/cli/completion.js";
import { createProgram, runProgram } from "../../core/cli/program.js";
import { diffCommand } from "./diff.js";
import { inspectCommand } from "./inspect.js";
import { mergeCommand } from "./merge.js";
import { reshardCommand } from "./reshard.js";
import { scanCommand } from "./scan.js";
import { toStCommand } from "./to-st.js";
import { toUniversalCommand } from "./to-universal.js";
import { verifyCommand } from "./verify.js";

/** Runs `vista-ckpt`, which merges, converts, looks into and compares checkpoints. */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram("vista-ckpt", argv, (context) => {
    const program = createProgram(
      "vista-ckpt",
      "Checkpoints of Vista and other DeepSpeed models, without Python",
    );
    mergeCommand(program, context);
    toStCommand(program, context);
    reshardCommand(program, context);
    toUniversalCommand(program, context);
    inspectCommand(program, context);
    diffCommand(program, context);
    verifyCommand(program, context);
    scanCommand(program, context);
    addCompletion(program);
    program.addHelpText(
      "after",
      "\nExamples:\n  $ vista-ckpt inspect last.ckpt\n  $ vista-ckpt merge last.ckpt",
    );
    return program;
  });
}
