/**
 * The check of the config: it exists where train.py wants it, is for DeepSpeed stage 2, and saves a checkpoint before the end.
 */
import { sep } from "node:path";
import { textOf } from "../../../core/text.js";
import { type ConfigTree, getPath, readConfigs } from "../../launch/config.js";
import { CHECKPOINTS, stepsToFirst, type TrainingFacts } from "../../launch/facts.js";
import { fromVista } from "../../launch/plan.js";
import { configsOf } from "../../run/runs.js";
import { finding, type TrainFinding } from "../rules.js";
import { unknownKeys } from "./config-keys.js";
import type { CheckContext } from "./context.js";
import { readable, there } from "./look.js";

/** The names that Lightning has for DeepSpeed with ZeRO stage 2. */
const STAGE_2: readonly unknown[] = ["deepspeed", "deepspeed_stage_2", "deepspeed_stage_2_offload"];

export async function* checkConfig(context: CheckContext): AsyncGenerator<TrainFinding> {
  const { plan, facts, config, given } = context;
  const files = yield* readable("config-missing", () => configsOf(plan));
  if (files === undefined) return;
  let isMissing = false;
  for (const full of files) {
    const path = fromVista(plan.vista, full);
    const own = yield* there("config-missing", full, `there is no config ${path}`, "file");
    const read = own && (yield* readable("config-missing", () => readConfigs([full]), "Correct the file."));
    isMissing ||= read === undefined;
  }
  if (isMissing) return;
  // Each of them can be read, and still they may not go together.
  yield* readable("config-missing", () => readConfigs(files));
  const first = plan.base[0];
  // train.py only looks for the folder where it has to make up the name of the run.
  const isNamed = [plan.resume, plan.name, plan.slurm].some((given) => given !== undefined);
  if (first !== undefined && !isNamed && !first.split(sep).slice(0, -1).includes("configs")) {
    yield finding("config-folder", `${first} does not lie below a folder named \`configs\``);
    return;
  }
  if (config !== undefined) yield* unknownKeys(config);
  if (facts === undefined) return;
  yield* checkValues(facts);
  yield* checkKept(given ?? {});

  const { strategy } = facts;
  const isUnclear = facts.unclear.some((text) => text.startsWith("lightning.trainer.strategy "));
  if (!STAGE_2.includes(strategy) && !isUnclear) {
    yield finding("strategy", `the strategy is ${strategy === undefined ? "not set" : textOf(strategy)}`);
  }
  const soonest = stepsToFirst(plan.nodes * plan.gpus, facts);
  const { iterations } = plan.recipe;
  if (soonest !== undefined && iterations !== undefined && iterations < soonest) {
    const when = `the first checkpoint comes after ${soonest} steps; the documentation stops after ${iterations}`;
    yield finding("late-checkpoint", when);
  }
}

/** Looks for values that stop train.py, that save no checkpoint, and for those that are not known here. */
function* checkValues(facts: TrainingFacts): Generator<TrainFinding> {
  const { problems, unclear, everyEpochs, everySteps, saveLast } = facts;
  for (const problem of problems) yield finding("config-value", problem);
  if (everyEpochs && everySteps) {
    const both = `${CHECKPOINTS} has every_n_epochs ${everyEpochs} and every_n_train_steps ${everySteps}: Lightning takes one of them`;
    yield finding("config-value", both, {
      fix: `Set one of them to null: -- ${CHECKPOINTS}.every_n_epochs=null`,
    });
  }
  if (facts.saveTopK === 0 && !saveLast) {
    const what = `${CHECKPOINTS} keeps nothing by its steps and epochs, and no last.ckpt: no checkpoint would be saved`;
    yield finding("config-value", what, {
      fix: "Write 1 or more; null stands for a setting that is not used.",
    });
  }
  if (facts.saveTopK !== undefined && facts.saveTopK > 1 && !facts.monitored) {
    const what = `${CHECKPOINTS}.save_top_k is ${facts.saveTopK} and no \`monitor\` says by what: Lightning stops`;
    yield finding("config-value", what, {
      fix: "Write -1 to keep all, 1 for the newest or 0 for none beside `last`.",
    });
  }
  for (const text of unclear) {
    yield finding("config-value", `${text}, which only OmegaConf works out: it was not looked at`, {
      severity: "note",
      fix: "Look for yourself whether it is what you mean.",
    });
  }
}

/** The settings with which a training runs and cannot be gone on with: which values, what follows, and the way out. */
const ODD: readonly [
  key: string,
  isOdd: (value: unknown) => boolean,
  what: (value: unknown) => string,
  fix: string,
][] = [
  [
    `${CHECKPOINTS}.save_last`,
    (value) => value === null || value === false,
    () => "is off: there would be no last.ckpt to go on from",
    "Leave it out: --resume RUN, and a Slurm job that is queued again, take last.ckpt.",
  ],
  [
    `${CHECKPOINTS}.dirpath`,
    (value) => value !== null,
    (value) => `is ${textOf(value)}`,
    "Leave it out, and choose the disk by --logdir: --resume RUN, `status` and a job that is queued again look into the run folder.",
  ],
  [
    `${CHECKPOINTS}.save_weights_only`,
    (value) => value === true,
    () => "is on: Lightning goes on from no such checkpoint, and with DeepSpeed none is smaller",
    "Leave it out.",
  ],
  [
    "lightning.trainer.callbacks",
    () => true,
    (value) =>
      `is ${textOf(value)}: Lightning takes it in the place of train.py's own, which save last.ckpt and the configs`,
    "Write them below lightning.callbacks, which train.py adds to its own.",
  ],
  [
    "lightning.trainer.fast_dev_run",
    (value) => value !== null && value !== false && value !== 0,
    (value) => `is ${textOf(value)}: Lightning trains so many batches and saves no checkpoint`,
    "Leave it out, if more is meant than a try.",
  ],
];

/** Looks for values with which nothing would be there to go on from. */
function* checkKept(given: ConfigTree): Generator<TrainFinding> {
  for (const [key, isOdd, what, fix] of ODD) {
    const value = getPath(given, key);
    if (value === undefined || !isOdd(value)) continue;
    yield finding("config-value", `${key} ${what(value)}`, { severity: "warning", fix });
  }
  const [used, section] = ["lightning.trainer.strategy", "lightning.strategy"];
  if (getPath(given, section) && getPath(given, used) !== undefined) {
    const what = `${section} has no effect beside ${used}, which train.py takes`;
    yield finding("config-value", what, {
      severity: "warning",
      fix: `Take one of the two out of the config.`,
    });
  }
}
