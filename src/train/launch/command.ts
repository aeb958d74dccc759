/** The command of a launch: what is run, where, with which environment. */
import { join } from "node:path";
import { VistaError } from "../../core/errors.js";
import { quote } from "../../core/text.js";
import { fromVista, type LaunchPlan, resumedRun } from "./plan.js";

/** The command of a launch, as a process is started: program, arguments, working folder and environment. */
export interface Command {
  file: string;
  args: string[];
  cwd: string;
  /** The variables that are set on top of the environment of the caller. */
  env: Record<string, string>;
}

/** Returns the words for train.py that are the same for every start of a launch. */
export function fixedArguments({ nodes, gpus, extra }: LaunchPlan): string[] {
  return ["--num_nodes", String(nodes), "--n_devices", String(gpus), ...extra];
}

/**
 * Returns the words for config, name, log folder and weights, or for the run to go on with. train.py refuses --name with --resume.
 *
 * The value of --finetune is empty on purpose where nothing is named. Without the option, train.py takes ckpts/pytorch_model.bin if
 * such a file happens to lie there. With an empty value it loads SVD and copies its time embedding; on --resume it loads nothing
 * that would be overwritten.
 *
 * @param finetune  the weights file, as {@link LaunchPlan.finetune} was resolved; undefined to start from SVD
 */
export function startArguments(plan: LaunchPlan, finetune: string | undefined): string[] {
  const { vista, logdir, resume } = plan;
  const base = plan.base.length === 0 ? [] : ["--base", ...plan.base];
  const run = resumedRun(plan);
  if (run !== undefined) return ["--resume", fromVista(vista, run), ...base, "--finetune", ""];
  const place = logdir === join(vista, "logs") ? [] : ["--logdir", fromVista(vista, logdir)];
  // A DeepSpeed checkpoint is a folder, and train.py takes any folder after --resume for a run.
  const weights =
    resume === undefined
      ? ["--finetune", finetune === undefined ? "" : fromVista(vista, finetune)]
      : ["--resume_from_checkpoint", resume, "--finetune", ""];
  return [...base, ...nameArguments(plan.name), ...place, ...weights];
}

/** Returns the words that name a run; `--no_date` keeps its folder where it was said to be: `<logdir>/<name>`. */
export function nameArguments(name: string | undefined): string[] {
  return name === undefined ? [] : ["--name", name, "--no_date"];
}

/** Returns the words that start torchrun or Python. */
export function launcher(plan: LaunchPlan): string[] {
  if (plan.recipe.launcher === "python") return [plan.python ?? "python"];
  if (plan.torchrun !== undefined) return [plan.torchrun];
  return plan.python === undefined ? ["torchrun"] : [plan.python, "-m", "torch.distributed.run"];
}

/** Returns torchrun's options, with underscores, since torch before 2.0 knows no others. */
export function torchrunArguments(plan: LaunchPlan): string[] {
  const size = [`--nnodes=${plan.nodes}`, `--nproc_per_node=${plan.gpus}`];
  const meeting = plan.rendezvous;
  switch (meeting.kind) {
    case "none":
      return [];
    case "local":
      // --standalone used a fixed port in older torch. --local_addr is given neither here nor below: torch before 2.0 has none.
      return [...size, "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"];
    case "c10d":
      return [
        ...size,
        "--rdzv_backend=c10d",
        `--rdzv_endpoint=${meeting.host.includes(":") ? `[${meeting.host}]` : meeting.host}:${meeting.port}`,
        `--rdzv_id=${meeting.id}`,
      ];
    case "static":
      return [
        ...size,
        `--node_rank=${meeting.nodeRank}`,
        `--master_addr=${meeting.host}`,
        `--master_port=${meeting.port}`,
      ];
    case "slurm":
      return size;
    case "missing":
      throw new VistaError("USAGE", `${plan.nodes} nodes, and nothing says how they find one another`, {
        hint: "Give the same --rdzv-endpoint HOST:PORT on all of them, or --node-rank and --master-addr, or --slurm.",
      });
  }
}

/**
 * Returns the environment that a launch sets, that of the recipe and of `--env` included.
 *
 * @param inherited  the environment that it will be added to
 */
export function launchEnvironment(
  plan: LaunchPlan,
  inherited: Record<string, string | undefined>,
): Record<string, string> {
  return {
    // Python buffers what it writes to a pipe: a hang or a crash would hide the last lines.
    PYTHONUNBUFFERED: "1",
    // Lightning before 2.1 takes every process below srun for one that srun started, and its rank from SLURM_PROCID
    // (pytorch-lightning#18466). Job names `interactive` and `bash` are its way out.
    ...(inherited.SLURM_NTASKS !== undefined || inherited.SLURM_JOB_ID !== undefined
      ? { SLURM_JOB_NAME: "interactive" }
      : {}),
    ...plan.env,
  };
}

/** Makes the command of a launch. @throws VistaError `USAGE` for several nodes without a rendezvous */
export function launchCommand(
  plan: LaunchPlan,
  finetune: string | undefined,
  inherited: Record<string, string | undefined>,
): Command {
  const [file, ...rest] = launcher(plan);
  const train = [...startArguments(plan, finetune), ...fixedArguments(plan)];
  return {
    file: file!,
    args: [...rest, ...torchrunArguments(plan), "train.py", ...train],
    cwd: plan.vista,
    env: launchEnvironment(plan, inherited),
  };
}

/** Returns a script that does the same when pasted into a shell. */
export function toScript(command: Command): string {
  const settings = Object.entries(command.env).map(([name, value]) => `${name}=${quote(value)} \\\n`);
  return `cd ${quote(command.cwd)} &&\n${settings.join("")}${toShellLines([command.file, ...command.args])}\n`;
}

/** The pattern of words that start a line in {@link toShellLines}: options, and train.py. */
const BREAK = /^(-|train\.py$)/;

/** Writes one command over several lines with `\`, an option and its value on each, for people and to be pasted. */
function toShellLines(words: readonly string[]): string {
  const lines: string[][] = [];
  for (const [index, word] of words.entries()) {
    const fresh = index === 0 || (BREAK.test(word) && !(index === 1 && word === "-m"));
    const isValue = words[index - 1]?.startsWith("-") ?? false;
    const isDotted = /^[\w.[\]]+=/.test(word);
    if (fresh || (isDotted && !isValue)) lines.push([word]);
    else lines.at(-1)?.push(word);
  }
  return lines.map((line) => line.map(quote).join(" ")).join(" \\\n    ");
}
