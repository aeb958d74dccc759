import { addCompletion } from "../../core/cli/completion.js";
import { createProgram, runProgram } from "../../core/cli/program.js";
import { BUILT_IN_RECIPES } from "../launch/built-in-recipes.js";
import { COMMANDS, UNSAID } from "../launch/names.js";
import { addCheck } from "./check.js";
import { addFinish } from "./finish.js";
import { addLaunch } from "./launch.js";
import { addNext } from "./next.js";
import { splitArguments } from "./options.js";
import { addPrune } from "./prune.js";
import { addRecipes } from "./recipes.js";
import { addStatus } from "./status.js";

/** The words that are not recipes. */
const NO_RECIPES: readonly string[] = [...COMMANDS, ...UNSAID];

/** Runs `vista-train`, which starts Vista's documented trainings with torchrun or Slurm after looking for what would go wrong. */
export function main(argv: readonly string[]): Promise<void> {
  const { own, extra } = splitArguments(argv);
  // `vista-train phase1 --help` is about launching, not about the list of commands.
  const first = own[2];
  if (first !== undefined && !first.startsWith("-") && !NO_RECIPES.includes(first)) own.splice(2, 0, "run");
  return runProgram("vista-train", own, (context) => {
    const program = createProgram("vista-train", "Start Vista's trainings with torchrun or Slurm");
    program.usage("<recipe> [options] [-- arguments of train.py]\n       vista-train <command> …");
    addLaunch(program, context, extra);
    addCheck(program, context, extra);
    addNext(program, context, extra);
    addFinish(program, context);
    addStatus(program, context);
    addPrune(program, context);
    addRecipes(program);
    const recipes = BUILT_IN_RECIPES.map(({ name }) => name);
    addCompletion(program, { run: recipes });
    program.addHelpText(
      "after",
      `\nRecipes: ${recipes.join(", ")}\n\nExamples:\n  $ vista-train phase1 --nodes 1 --gpus 8 --dry-run\n  $ vista-train status logs/phase1-4711`,
    );
    if (own.length <= 2) program.help({ error: true });
    return program;
  });
}
