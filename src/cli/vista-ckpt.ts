import { diffCommand } from "./ckpt/diff.js";
import { inspectCommand } from "./ckpt/inspect.js";
import { mergeCommand } from "./ckpt/merge.js";
import { toStCommand } from "./ckpt/to-st.js";
import { verifyCommand } from "./ckpt/verify.js";
import { createProgram, runProgram } from "./program.js";

/** `vista-ckpt`: merge, convert, look into and compare checkpoints. */
export function main(argv: readonly string[]): Promise<void> {
  return runProgram("vista-ckpt", argv, (context) => {
    const program = createProgram(
      "vista-ckpt",
      "Checkpoints of Vista and other DeepSpeed models, without Python",
    );
    mergeCommand(program, context);
    toStCommand(program, context);
    inspectCommand(program, context);
    diffCommand(program, context);
    verifyCommand(program, context);
    return program;
  });
}
