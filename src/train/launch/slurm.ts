/** The sbatch script of a launch, and its submission. */
import { dirname, join } from "node:path";
import { oneLine, VistaError } from "../../core/errors.js";
import { quote } from "../../core/text.js";
import {
  fixedArguments,
  launchEnvironment,
  launcher,
  nameArguments,
  startArguments,
  torchrunArguments,
} from "./command.js";
import { checkCount, hasControlCharacters } from "./names.js";
import { type LaunchPlan, LEFT_OUT, resumedRun, runOf } from "./plan.js";
import type { System } from "./system.js";

export interface SlurmScriptOptions {
  /** The number of times that the job may be put back in the queue by its own script. */
  maxRequeues: number;
  /** The steps to do before the first start, on the first node of the job alone. */
  beforehand?: readonly JobStep[] | undefined;
  /**
   * The shell command that reads the checkpoint whose path is put behind it, and ends with 1 where that is not sound; a job that
   * goes on from such a one starts nothing. Without the command, it goes on from whatever is there.
   */
  verify?: string | undefined;
  /** The shell commands to run on the first node when training has ended well; `$run` is the run folder. */
  afterwards: readonly string[];
}

/** A step that makes one file or folder from another, but not again where that is newer than all of what it is made from. */
export interface JobStep {
  /** The word for it in messages: `merging`. */
  doing: string;
  /** The shell command. */
  command: string;
  input: string;
  output: string;
}

/** The seconds before the time limit at which Slurm sends the script its warning. */
const WARNING_SECONDS = 300;

/** Returns the folder for the script and the job's output. */
export function slurmFolder(plan: LaunchPlan): string {
  return join(plan.logdir, "slurm");
}

/**
 * Returns the script for `sbatch`. Each node runs one torchrun; they meet on the first node of the job, at a port made from the
 * job's number. On the warning before the time limit the script ends the step and puts the job back in the queue, to go on from
 * the last checkpoint; it does so only while checkpoints are being made.
 */
export function slurmScript(
  plan: LaunchPlan,
  finetune: string | undefined,
  options: SlurmScriptOptions,
): string {
  checkCount(options.maxRequeues, "--max-requeues", 0);
  const run = runOf(plan);
  const lines = [
    "#!/bin/bash",
    ...directives(plan).map(directiveLine),
    "",
    `cd ${quote(plan.vista)} || exit 1`,
    ...Object.entries(launchEnvironment(plan, {})).map(([key, value]) => `export ${key}=${quote(value)}`),
    "# Since Slurm 22.05 srun no longer takes this over from sbatch.",
    '[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK',
    "",
    ...meeting(plan),
    `run=${run === undefined ? `${quote(plan.logdir)}/"${plan.recipe.name}-\${SLURM_JOB_ID}"` : quote(run)}`,
    "",
    "# When the last checkpoint was made; nothing where there is none. A folder that is saved over keeps its own time, and DeepSpeed",
    "# writes `latest` when all of it is there.",
    'newest() { stat -c %Y "$run"/checkpoints/last*.ckpt{,/latest} 2>/dev/null | sort -n | tail -n 1; }',
    "before=$(newest)",
    "",
    ...beforehand(options.beforehand ?? [], plan.resume === undefined ? finetune : undefined),
    ...(options.verify === undefined ? [] : verifying(options.verify)),
    ...startWords(plan, finetune),
    "",
    "# Slurm warns this script, not the steps: the signal alone would kill torchrun and leave its workers.",
    "warned=",
    "woken=",
    `trap 'warned=1; woken=1; echo "vista-train: time is nearly up, ending the step"; scancel --signal=TERM "$SLURM_JOB_ID.0"' USR1`,
    "",
    "# Lightning before 2.1 takes the processes below srun for its own, with ranks from SLURM_PROCID, unless the job has",
    "# this name (pytorch-lightning#18466). One task a node: torchrun starts the workers.",
    "srun --ntasks-per-node=1 --label --kill-on-bad-exit=1 --wait=60 env SLURM_JOB_NAME=interactive \\",
    `  ${slurmLauncher(plan)} \\`,
    `  train.py "\${start[@]}" \\`,
    `  ${fixedArguments(plan).map(quote).join(" ")} &`,
    "step=$!",
    'wait "$step"',
    "rc=$?",
    "# A trapped signal ends `wait` early: wait again for the step itself.",
    'while [ -n "$woken" ]; do',
    "  woken=",
    '  wait "$step"',
    "  rc=$?",
    "done",
    "",
    'if [ -n "$warned" ] && [ "$rc" -ne 0 ]; then',
    '  if [ "$(newest)" = "$before" ]; then',
    '    echo "vista-train: not queued again: no checkpoint was made in this time; ask for more with --time" >&2',
    `  elif [ "\${SLURM_RESTART_COUNT:-0}" -ge ${options.maxRequeues} ]; then`,
    `    echo "vista-train: not queued again: that was done ${options.maxRequeues} times" >&2`,
    "  else",
    '    echo "vista-train: queueing again, to go on from the last checkpoint of $run"',
    '    scontrol requeue "$SLURM_JOB_ID"',
    "  fi",
    "fi",
    ...(options.afterwards.length === 0
      ? []
      : [
          "",
          "# What --then asked for.",
          'if [ "$rc" -eq 0 ]; then',
          ...options.afterwards.map((line) => `  ${line} || rc=$?`),
          "fi",
        ]),
    // A failed srun followed by anything else would end the job with 0.
    "exit $rc",
  ];
  return `${lines.join("\n")}\n`;
}

/** Returns the options of sbatch by their names; an empty value stands for an option without one. */
function directives(plan: LaunchPlan): [name: string, value: string][] {
  const slurm = plan.slurm!;
  const own: Record<string, string | undefined> = {
    "job-name": plan.name ?? `vista-${plan.recipe.name}`,
    nodes: String(plan.nodes),
    "ntasks-per-node": "1",
    "gpus-per-node": String(plan.gpus),
    exclusive: "",
    requeue: "",
    "open-mode": "append",
    // With less time than twice that, the warning would come too soon for a checkpoint: Slurm sends it a minute early, too.
    signal:
      seconds(slurm.sbatch.time ?? slurm.time) < 2 * WARNING_SECONDS
        ? undefined
        : `B:USR1@${WARNING_SECONDS}`,
    // A percent sign of the folder's own is written twice, since sbatch replaces patterns such as %j.
    output: join(slurmFolder(plan).replaceAll("%", "%%"), "%x-%j.out"),
    partition: slurm.partition,
    time: slurm.time,
    account: slurm.account,
    ...slurm.sbatch,
  };
  return Object.entries(own).flatMap(([key, value]) => {
    if (value === undefined || value === LEFT_OUT) return [];
    if (hasControlCharacters(value)) {
      throw new VistaError(
        "USAGE",
        `sbatch takes no line break or other control character, and --${key} has one: ${oneLine(value)}`,
        { hint: "Look at the variable, the folder or the recipe that it came from." },
      );
    }
    return [[key, value]];
  });
}

/** Returns the seconds of a time limit; Infinity where there is none. @throws VistaError `USAGE` for what sbatch does not take */
function seconds(limit: string | undefined): number {
  if (limit === undefined || limit === LEFT_OUT || /^(unlimited|infinite|-\d+)$/i.test(limit))
    return Infinity;
  const [, days, first, second = "0", third] = /^(?:(\d+)-)?(\d*)(?::(\d+))?(?::(\d+))?$/.exec(limit) ?? [];
  if (first === undefined || (first === "" && (days === undefined || limit.includes(":")))) {
    throw new VistaError("USAGE", `sbatch takes no time limit like ${oneLine(limit, 100)}`, {
      hint: "Write minutes, hours:minutes:seconds, days-hours or days-hours:minutes.",
    });
  }
  // `minutes`, `minutes:seconds`, `hours:minutes:seconds`; behind days `hours`, `hours:minutes`, `hours:minutes:seconds`.
  const hours = days !== undefined || third !== undefined;
  const minutes = hours ? Number(first) * 60 + Number(second) : Number(first);
  return Number(days ?? 0) * 86_400 + minutes * 60 + Number(hours ? (third ?? 0) : second);
}

/** Writes a directive, which sbatch splits at blanks, and in which it knows quotes and backslashes. */
function directiveLine([key, value]: [string, string]): string {
  const word = /[\s"'\\#]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value;
  return `#SBATCH --${value === "" ? key : `${key}=${word}`}`;
}

/** Returns the lines that say where the nodes meet. */
function meeting(plan: LaunchPlan): string[] {
  if (plan.rendezvous.kind !== "slurm") return [];
  return [
    'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
    'if [ -z "$head" ]; then echo "vista-train: the nodes of the job are not known" >&2; exit 1; fi',
    "# Below the ports that the system gives out by itself.",
    "port=$((20000 + SLURM_JOB_ID % 10000))",
  ];
}

function slurmLauncher(plan: LaunchPlan): string {
  const words = [...launcher(plan), ...torchrunArguments(plan)].map(quote).join(" ");
  return plan.rendezvous.kind === "slurm"
    ? `${words} --rdzv_backend=c10d --rdzv_endpoint="$head:$port" --rdzv_id="$SLURM_JOB_ID"`
    : words;
}

/**
 * Returns the lines that make what the first start needs. The script runs on the first node alone, so each step is done once; a
 * job that goes on from a checkpoint of its own needs none of them. The last line looks for the weights, since train.py takes
 * others in silence where they are missing.
 */
function beforehand(steps: readonly JobStep[], weights: string | undefined): string[] {
  if (steps.length === 0 && weights === undefined) return [];
  const lines = steps.flatMap(({ doing, command, input, output }) => [
    `  if [ ! -e ${quote(output)} ] || [ -n "$(find -L ${quote(input)} -newer ${quote(output)} -o -cnewer ${quote(output)} | head -n 1)" ]; then`,
    `    echo "vista-train: ${doing} "${quote(input)}`,
    `    mkdir -p ${quote(dirname(output))} &&`,
    `    ${command} || { echo "vista-train: not started: ${doing} failed" >&2; exit 1; }`,
    "  fi",
  ]);
  const check =
    weights === undefined
      ? []
      : [
          `  [ -e ${quote(weights)} ] || { echo "vista-train: not started: no "${quote(weights)} >&2; exit 1; }`,
        ];
  return ["# Before the first start only.", 'if [ -z "$before" ]; then', ...lines, ...check, "fi", ""];
}

/**
 * Returns the lines that look at the checkpoint that a job goes on from, before any GPU reads it: train.py takes the newest
 * `last*.ckpt`. A node without the program is no reason to lose the job.
 */
function verifying(command: string): string[] {
  return [
    "# A node that was lost, or a signal while it was written, leaves a checkpoint that is not whole; torch.load checks no sums.",
    'if [ -n "$before" ]; then',
    '  last=$(ls -tdL "$run"/checkpoints/last*.ckpt | head -n 1)',
    '  echo "vista-train: verifying $last"',
    '  if [ -d "$last" ] && ! ls "$last"/latest* > /dev/null 2>&1; then',
    '    echo "vista-train: $last has no file latest" >&2',
    "    false",
    "  else",
    `    ${command} "$last"`,
    "  fi",
    "  case $? in",
    "  0) ;;",
    '  1) echo "vista-train: not started: $last is not sound; see what else can be resumed: vista-train status $run" >&2; exit 1 ;;',
    '  *) echo "vista-train: $last could not be verified, and is gone on with" >&2 ;;',
    "  esac",
    "fi",
    "",
  ];
}

/** Returns the lines that set `start` to the words that begin a new run, or go on with it where it has a checkpoint. */
function startWords(plan: LaunchPlan, finetune: string | undefined): string[] {
  const words = startArguments({ ...plan, name: undefined }, finetune)
    .map(quote)
    .join(" ");
  if (resumedRun(plan) !== undefined) return [`start=(${words})`];
  const named =
    plan.name === undefined
      ? `--name "\${run##*/}" --no_date`
      : nameArguments(plan.name).map(quote).join(" ");
  return [
    'if [ -n "$before" ]; then',
    `  start=(--resume "$run" --finetune '')`,
    "else",
    `  start=(${named} ${words})`,
    "fi",
  ];
}

/**
 * Submits a script.
 *
 * @returns the number of the job
 * @throws VistaError `NOT_FOUND` without sbatch, `IO` with what sbatch said where it refuses
 */
export async function submit(script: string, plan: LaunchPlan, system: System): Promise<string> {
  // Variables such as SBATCH_PARTITION win over the lines of a script, and the command line over both.
  const words = directives(plan).map(([key, value]) => (value === "" ? `--${key}` : `--${key}=${value}`));
  const result = await system.capture("sbatch", ["--parsable", ...words, script], {
    cwd: plan.vista,
    timeoutSeconds: 120,
  });
  if (result.outcome === "missing") {
    throw new VistaError("NOT_FOUND", "there is no sbatch on this machine", {
      hint: "Run on a login node of the cluster; --dry-run prints the script anywhere.",
    });
  }
  const id = /^(\d+)(;.*)?$/m.exec(result.stdout)?.[1];
  if (result.outcome === "timeout" || result.code !== 0 || id === undefined) {
    const said = result.stderr.trim() || result.stdout.trim() || `exit code ${result.code}`;
    throw new VistaError(
      "IO",
      `sbatch refused the job: ${oneLine(said.split("\n").slice(0, 3).join("; "))}`,
      { path: script },
    );
  }
  return id;
}
