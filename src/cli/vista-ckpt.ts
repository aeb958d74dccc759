import { setFlagsFromString } from "node:v8";
import { diffCommand } from "./ckpt/diff.js";
import { inspectCommand } from "./ckpt/inspect.js";
import { mergeCommand } from "./ckpt/merge.js";
import { toStCommand } from "./ckpt/to-st.js";
import { verifyCommand } from "./ckpt/verify.js";
import { createProgram, runProgram } from "./program.js";

/**
 * MiB of V8's young generation. A copy makes a little garbage for each of its windows; left alone, V8 lets that part of the
 * heap grow by some 30 MB over a long one.
 */
const YOUNG_GENERATION = 2;

/** `vista-ckpt`: merge, convert, look into and compare checkpoints. */
export function main(argv: readonly string[]): Promise<void> {
  setFlagsFromString(`--max-semi-space-size=${YOUNG_GENERATION}`);
  setFlagsFromString("--semi-space-growth-factor=1");
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
