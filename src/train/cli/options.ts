/** The options that describe a launch and a start, shared by launching, `check` and `next`. */
import { Argument, type Command } from "commander";
import { collect, QUIET, wholeNumber } from "../../core/cli/options.js";
import { BUILT_IN_RECIPES } from "../launch/built-in-recipes.js";

const count = wholeNumber(1);
const index = wholeNumber();

/** The number of seconds that a torchrun has to start a worker, where `--rendezvous-timeout` does not say. */
export const RENDEZVOUS_TIMEOUT = 900;

/** The number of times that a Slurm job goes back into the queue, where `--max-requeues` does not say. */
export const MAX_REQUEUES = 10;

/** The arguments of `.argument(...RUN)`. */
export const RUN = ["<run>", "run folder, as train.py made it: <logdir>/<name>"] as const;

/** Makes the argument of a recipe. Its choices are shown and completed; recipes of one's own are taken too, unlike by `choices`. */
export function recipeArgument(): Argument {
  const argument = new Argument("<recipe>", "one of these, or of your own");
  argument.argChoices = BUILT_IN_RECIPES.map(({ name }) => name);
  return argument;
}

export function addRecipeOptions(command: Command): Command {
  return command
    .option("--vista <dir>", "Vista checkout, where train.py is", ".")
    .option("--recipes <file>", "recipes of your own (default: vista-train.yaml here or in the checkout)");
}

export function addLaunchOptions(command: Command): Command {
  return addRecipeOptions(command)
    .option("--nodes <n>", "number of nodes (default: the recipe's)", count)
    .option("--gpus <n>", "GPUs of each node (default: the recipe's)", count)
    .option("--base <file>", "config file; again for more, merged from left to right", collect)
    .option("--finetune <path>", "weights to start from: .bin, .safetensors, checkpoint folder or run folder")
    .option("--logdir <dir>", "where run folders go (default: logs in the checkout)")
    .option("--name <name>", "run folder <logdir>/<name>, without a date")
    .option("--resume <path>", "go on with a run folder, or with one checkpoint in a new run folder")
    .option(
      "--reshard",
      "with --resume: first make a checkpoint for this number of GPUs, where it has another",
    )
    .option("--rdzv-endpoint <host[:port]>", "several nodes: where they meet; the same on all of them")
    .option("--node-rank <n>", "several nodes, the other way: this node's rank, from 0", index)
    .option("--master-addr <host>", "address of the node with rank 0")
    .option("--master-port <port>", "its port (default: 29500)", wholeNumber(1, 65_535))
    .option("--python <file>", "interpreter; torchrun is then PYTHON -m torch.distributed.run")
    .option("--torchrun <file>", "torchrun program")
    .option("--env <K=V>", "set a variable for the training; again for more", collect)
    .option("--slurm", "for a Slurm job")
    .option("--partition <name>", "Slurm partition")
    .option("--time <limit>", "Slurm time limit, e.g. 24:00:00")
    .option("--account <name>", "Slurm account")
    .option("--sbatch <K=V>", "any other option of sbatch, e.g. qos=high; again for more", collect)
    .option("--only <rules>", "look only at these rules, e.g. gpu,train/port-busy", rules)
    .option("--ignore <rules>", "leave these rules out", rules)
    .option(...QUIET);
}

export function addStartOptions(command: Command): Command {
  return addLaunchOptions(command)
    .option("--dry-run", "print the command (or the Slurm script) and its environment; run nothing")
    .option("--skip-checks", "start without the preflight")
    .option("--then <steps>", "when training ends well: merge, to-st, or both with a comma")
    .option(
      "--rendezvous-timeout <seconds>",
      `end a torchrun that has started no worker by then; 0: never (default: ${RENDEZVOUS_TIMEOUT})`,
      index,
    )
    .option(
      "--max-requeues <n>",
      `how often a Slurm job may be put back in the queue (default: ${MAX_REQUEUES})`,
      index,
    );
}

/** Splits off the words after `--`, which are for train.py; commander would look for its own options among them. */
export function splitArguments(argv: readonly string[]): { own: string[]; extra: string[] } {
  const at = argv.indexOf("--");
  return at === -1 ? { own: [...argv], extra: [] } : { own: argv.slice(0, at), extra: argv.slice(at + 1) };
}

function rules(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...text.split(",").map((part) => part.trim())];
}
