/** The work of `vista-train <recipe>`: it checks, then runs here, submits with Slurm, or only shows what it would do. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { formatDuration } from "../../core/cli/format.js";
import { type CommandContext, EXIT, exitCodeOfStop } from "../../core/cli/program.js";
import { runWithProgress } from "../../core/cli/progress.js";
import { oneLine, VistaError } from "../../core/errors.js";
import { writeWhole } from "../../core/io/output.js";
import { namesIn } from "../../core/io/regular.js";
import { quote, words } from "../../core/text.js";
import { launchCommand, toScript } from "../launch/command.js";
import { fromVista, type LaunchPlan, runOf } from "../launch/plan.js";
import { type SlurmScriptOptions, slurmFolder, slurmScript, submit } from "../launch/slurm.js";
import { realSystem, type System } from "../launch/system.js";
import { checkSelectors, type PreflightReport, preflight, rulesWanted } from "../preflight/preflight.js";
import { resolveWeights } from "../run/checkpoints.js";
import { parseSteps, type Step } from "../run/finish.js";
import {
  findRankChange,
  goOn,
  type Preparation,
  planResharded,
  preparationOf,
  type RankChange,
} from "../run/prepare.js";
import { runTraining, type TrainingResult } from "../run/run.js";
import { newRuns } from "../run/runs.js";
import { MAX_REQUEUES, RENDEZVOUS_TIMEOUT } from "./options.js";
import { findRecipe, makePlan, readRecipes, refuseWithoutEffect, type StartFlags } from "./plan.js";
import { failureLines, findingLines, verdict, warningsTo } from "./report.js";
import { finish } from "./run-finish.js";
import { asStarted, byFile } from "./started.js";

/** The rules for what can be seen to be wrong without looking at the machine: a dry run refuses no more than this. */
const DRY_RULES = words(`
  no-rendezvous finetune-needed finetune-missing finetune-format finetune-recipe finetune-damaged finetune-keys
  resume resume-ranks resume-and-name resume-recipe resume-config last-checkpoint last-link run-exists
  checkout config-missing config-value unknown-flag flag-value unknown-key text-flag set-twice
`);

/** Returns the rules of a dry run, those of them that `--only` names. @throws VistaError `USAGE` where it names none of them */
function dryRules(only: readonly string[] = []): string[] {
  const rules = DRY_RULES.filter(rulesWanted({ only }));
  if (rules.length > 0) return rules;
  throw new VistaError("USAGE", `a dry run does not look at the rules of --only ${only.join(",")}`, {
    hint: "`vista-train check` looks at them, and starts nothing either.",
  });
}

/** Starts a recipe, or shows what would be started. @param more  the words after the recipe; there must be none */
export async function start(
  name: string,
  more: readonly string[],
  flags: StartFlags,
  extra: readonly string[],
  context: CommandContext,
): Promise<void> {
  const recipe = findRecipe(await readRecipes(flags), name);
  if (more.length > 0) {
    throw new VistaError("USAGE", `what is \`${more[0]}\`?`, {
      hint: `A recipe takes no further words; arguments of train.py go after --${flags.base === undefined ? "" : ", and --base is said once for each file"}.`,
    });
  }
  await launch(makePlan(recipe, flags, extra), flags, context);
}

/** What a launch does: the step before, the training, and what `--then` asks for. */
interface Launch {
  plan: LaunchPlan;
  /** The file that train.py loads; undefined to start from SVD, or for a run that goes on. */
  finetune: string | undefined;
  step: Preparation | undefined;
  then: readonly Step[];
  flags: StartFlags;
}

/** Checks and starts a plan, or shows it. */
export async function launch(asked: LaunchPlan, flags: StartFlags, context: CommandContext): Promise<void> {
  refuseWithoutEffect(flags, asked);
  checkSelectors(flags);
  const only = flags.dryRun ? dryRules(flags.only) : (flags.only ?? []);
  const plan = await goOn(asked);
  const { quiet = false } = flags;
  const then = flags.then === undefined ? [] : parseSteps(flags.then);
  const system = realSystem(process.env, context.signal);
  if (!flags.skipChecks) {
    const report = await runWithProgress(quiet, context.signal, (run) =>
      preflight(plan, system, { ...run, only, ignore: flags.ignore }),
    );
    if (!passed(report, quiet, context)) return;
  }
  const change = plan.reshard ? await findRankChange(plan) : undefined;
  const weights =
    plan.finetune === undefined || plan.resume !== undefined
      ? undefined
      : await resolveWeights(plan.finetune);
  const step = preparationOf(weights, change);
  const final = change === undefined ? plan : await planResharded(plan, change);
  const whole: Launch = { plan: final, finetune: weights?.file, step, then, flags };
  if (plan.resume !== asked.resume && !quiet)
    process.stderr.write(
      `vista-train: ${oneLine(plan.resume!)} is further than ${oneLine(asked.resume!)}: resuming it\n`,
    );
  if (change !== undefined && !quiet) process.stderr.write(`vista-train: ${describeChange(change, final)}\n`);
  if (flags.dryRun) process.stdout.write(dryRun(whole));
  else if (final.slurm !== undefined) await submitJob(whole, system);
  else {
    if (step !== undefined) await prepareHere(step, quiet, context);
    await runHere(whole, context);
  }
}

function describeChange({ saved, wanted }: RankChange, { logdir, name }: LaunchPlan): string {
  const share = `${saved} ranks become ${wanted}: a step sees ${formatRatio(wanted / saved)} times as many samples as before`;
  return `${share} (lightning.trainer.accumulate_grad_batches times ${formatRatio(saved / wanted)} keeps them); goes on in ${join(logdir, name!)}`;
}

function formatRatio(ratio: number): string {
  return String(Number(ratio.toPrecision(4)));
}

/** Shows findings on stderr. Returns false, and sets exit code 1, if one of them is an error. */
function passed({ findings, sampled }: PreflightReport, quiet: boolean, context: CommandContext): boolean {
  const errors = findings.filter((one) => one.severity === "error");
  for (const line of findingLines(quiet ? errors : findings)) process.stderr.write(`${line}\n`);
  const found = verdict(findings, sampled);
  if (errors.length === 0) {
    if (sampled.length > 0 && !quiet) process.stderr.write(`vista-train: ${found}\n`);
    return true;
  }
  process.stderr.write(
    `vista-train: not started: ${found}. --ignore RULE leaves one out, --skip-checks all.\n`,
  );
  context.setExitCode(EXIT.failed);
  return false;
}

/** Returns what would be done, as a shell script. */
function dryRun(whole: Launch): string {
  const { plan, finetune, step, then } = whole;
  if (plan.slurm !== undefined) return slurmScript(plan, finetune, scriptOptions(whole));
  const before = step === undefined ? "" : prepareLines(step);
  const script = before + toScript(launchCommand(plan, finetune, process.env));
  if (then.length === 0) return script;
  const run = runOf(plan);
  const finish = finishCommand(run === undefined ? "THE_NEW_RUN" : quote(run), then);
  // train.py makes up the name of a run that has none.
  return run === undefined
    ? `${script}# When it has ended well: ${finish}\n`
    : `${script.trimEnd()} &&\n${finish}\n`;
}

function prepareLines({ output, words }: Preparation): string {
  const folder = dirname(output);
  const made = existsSync(folder) ? "" : `mkdir -p ${quote(folder)} &&\n`;
  return `${made}${asStarted("vista-ckpt")} ${words.map(quote).join(" ")} &&\n`;
}

/** Returns the command that does what `--then` asks for. @param run  the run folder, as a word of a shell */
function finishCommand(run: string, then: readonly Step[]): string {
  return `${byFile("vista-train")} finish ${run} --steps ${then.join(",")}`;
}

function scriptOptions({ step, then, flags }: Launch): SlurmScriptOptions {
  const tool = byFile("vista-ckpt");
  // Whoever leaves the rule out means to go on from what is there.
  const looks = !flags.skipChecks && rulesWanted(flags)("train/resume");
  return {
    maxRequeues: flags.maxRequeues ?? MAX_REQUEUES,
    beforehand: step && [{ ...step, command: `${tool} ${step.words.map(quote).join(" ")}` }],
    verify: looks ? `${tool} verify --quiet` : undefined,
    afterwards: then.length === 0 ? [] : [finishCommand('"$run"', then)],
  };
}

async function prepareHere(step: Preparation, quiet: boolean, context: CommandContext): Promise<void> {
  if (!quiet)
    process.stderr.write(`vista-train: ${step.doing} ${oneLine(step.input)} into ${oneLine(step.output)}\n`);
  await runWithProgress(quiet, context.signal, (run) => step.run({ ...run, onWarning: warningsTo(quiet) }));
}

async function submitJob(whole: Launch, system: System): Promise<void> {
  const { plan, finetune, flags } = whole;
  // sbatch does not make the folder of the job's output, and the job then fails without a word.
  await mkdir(slurmFolder(plan), { recursive: true });
  const stamp = new Date().toISOString().slice(0, 19).replace(/:/g, "-");
  const script = join(slurmFolder(plan), `${plan.name ?? plan.recipe.name}-${stamp}.sbatch`);
  await writeWhole(script, slurmScript(plan, finetune, scriptOptions(whole)), { force: true });
  const id = await submit(script, plan, system);
  process.stdout.write(`${id}\n`);
  if (flags.quiet) return;
  process.stderr.write(
    `vista-train: submitted as job ${id}: ${script}\n  output goes to ${slurmFolder(plan)}; cancel with: scancel ${id}\n`,
  );
}

async function runHere(whole: Launch, context: CommandContext): Promise<void> {
  const { plan, finetune, then, flags } = whole;
  const command = launchCommand(plan, finetune, process.env);
  const before = await namesIn(plan.logdir);
  let onExit: (() => void) | undefined;
  // Other commands go on to their verdict without a reader. A training must not: its processes would stop at full pipes, unseen.
  const onReaderGone = () => process.exit(EXIT.failed);
  process.stdout.on("error", onReaderGone);
  let result: TrainingResult;
  try {
    result = await runTraining(command, {
      stdout: process.stdout,
      stderr: process.stderr,
      env: process.env,
      rendezvousTimeout:
        plan.recipe.launcher === "torchrun" ? (flags.rendezvousTimeout ?? RENDEZVOUS_TIMEOUT) : undefined,
      expectedWeights: expectedWeights(plan, finetune),
      onStart(training) {
        onExit = () => {
          training.kill();
          // The reader is gone, or Ctrl-C came twice: what was killed did not end well.
          process.exitCode ||= EXIT.failed;
        };
        process.on("exit", onExit);
        const forward = () => training.interrupt(context.signal.reason as NodeJS.Signals);
        if (context.signal.aborted) forward();
        else context.signal.addEventListener("abort", forward, { once: true });
      },
    });
  } finally {
    if (onExit !== undefined) process.off("exit", onExit);
    process.stdout.off("error", onReaderGone);
  }
  if (result.left.length > 0) {
    process.stderr.write(
      `vista-train: SIGKILL did not end ${result.left.map((pid) => `process ${pid}`).join(", ")}: it hangs in a driver or a file system (state D in \`ps\`), and holds its GPU until that lets it go\n`,
    );
    context.setExitCode(EXIT.failed);
  }
  const known = runOf(plan);
  const runs = known === undefined ? await newRuns(plan.logdir, before) : [known];
  // Of several new ones, another training made the others.
  const run = runs.length === 1 ? runs[0] : undefined;
  if (result.exitCode !== 0) {
    reportFailure(result, plan, run, context);
    return;
  }
  if (result.fallback !== undefined) process.stderr.write(`${failureLines(result).join("\n")}\n`);
  if (context.signal.aborted || then.length === 0) return;
  if (run === undefined) {
    const which = runs.length === 0 ? "no new run folder" : "more than one new run folder";
    process.stderr.write(
      `vista-train: --then: ${which} with checkpoints in ${oneLine(plan.logdir)}. For one of them: ${finishCommand("RUN", then)}\n`,
    );
    context.setExitCode(EXIT.failed);
    return;
  }
  await finish(run, { ...flags, steps: then.join(",") }, context);
}

/** Returns the path of the weights as train.py prints it before it loads them; undefined for a run that goes on. */
function expectedWeights(plan: LaunchPlan, finetune: string | undefined): string | undefined {
  if (plan.resume !== undefined) return undefined;
  return finetune === undefined ? "ckpts/svd_xt.safetensors" : fromVista(plan.vista, finetune);
}

function reportFailure(
  result: TrainingResult,
  plan: LaunchPlan,
  run: string | undefined,
  context: CommandContext,
): void {
  const { aborted, reason } = context.signal;
  const lines: string[] = [];
  if (result.rendezvousTimeout !== undefined) {
    lines.push(
      `vista-train: ended: no worker was started within ${formatDuration(result.rendezvousTimeout)}, so the nodes did not find one another.`,
      `  Each of the ${plan.nodes} nodes must be started with the same endpoint and --nodes ${plan.nodes}, and reach that address and port.`,
      "  --rendezvous-timeout SECONDS gives them more time, 0 for ever.",
    );
  } else if (!aborted) {
    const how = result.signal === undefined ? `exit code ${result.exitCode}` : `killed by ${result.signal}`;
    const program = plan.recipe.launcher === "torchrun" ? "torchrun" : "train.py";
    lines.push(`vista-train: training failed: ${program}: ${how}`, ...failureLines(result));
  } else {
    lines.push(`vista-train: training was stopped by ${String(reason)}`);
  }
  if (run !== undefined) {
    lines.push(`  See what can be resumed: vista-train status ${quote(run)}`);
  }
  process.stderr.write(`${lines.join("\n")}\n`);
  context.setExitCode(aborted ? exitCodeOfStop(reason) : result.exitCode);
}
