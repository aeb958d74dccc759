/**
 * The check of the config: it exists where train.py wants it, is for DeepSpeed stage 2, and saves a checkpoint before the end.
 */
import { sep } from "node:path";
import { textOf } from "../../../core/text.js";
import { readConfigs, stepsBetween, type TrainingFacts } from "../../launch/config.js";
import { fromVista } from "../../launch/plan.js";
import { configsOf } from "../../run/runs.js";
import { finding, type TrainFinding } from "../rules.js";
import { unknownKeys } from "./arguments.js";
import type { CheckContext } from "./context.js";
import { readable, there } from "./look.js";

export async function* checkConfig(context: CheckContext): AsyncGenerator<TrainFinding> {
  const { plan, facts, extra, config } = context;
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

  const strategy = extra.findLast((flag) => flag.name === "--strategy")?.values[0] ?? facts.strategy;
  const isUnclear = facts.unclear.some((text) => text.startsWith("lightning.trainer.strategy "));
  if (strategy !== "deepspeed_stage_2" && strategy !== "deepspeed_stage_2_offload" && !isUnclear) {
    yield finding("strategy", `the strategy is ${strategy === undefined ? "not set" : textOf(strategy)}`);
  }
  const between = stepsBetween(plan.nodes * plan.gpus, facts);
  const { iterations } = plan.recipe;
  if (between !== undefined && iterations !== undefined && iterations < between) {
    const when = `the first checkpoint comes after ${between} steps; the documentation stops after ${iterations}`;
    yield finding("late-checkpoint", when);
  }
}

/** Looks for values that stop train.py, that save no checkpoint to go on from, and for those that are not known here. */
function* checkValues(facts: TrainingFacts): Generator<TrainFinding> {
  const { problems, unclear, everyEpochs, everySteps, saveLast } = facts;
  for (const problem of problems) yield finding("config-value", problem);
  const params = "lightning.modelcheckpoint.params";
  if (everyEpochs && everySteps) {
    const both = `${params} has every_n_epochs ${everyEpochs} and every_n_train_steps ${everySteps}: Lightning takes one of them`;
    yield finding("config-value", both, { fix: `Set one of them to null: -- ${params}.every_n_epochs=null` });
  }
  if ((everyEpochs === 0 && !everySteps) || (everySteps === 0 && everyEpochs === undefined)) {
    const what = `${params}.${everyEpochs === 0 ? "every_n_epochs" : "every_n_train_steps"} is 0: no checkpoint would be saved`;
    yield finding("config-value", what, {
      fix: "Write 1 or more; null stands for a setting that is not used.",
    });
  }
  if (facts.saveTopK !== undefined && facts.saveTopK > 1 && !facts.monitored) {
    const what = `${params}.save_top_k is ${facts.saveTopK} and no \`monitor\` says by what: Lightning stops`;
    yield finding("config-value", what, {
      fix: "Write -1 to keep all, 1 for the newest or 0 for none beside `last`.",
    });
  }
  if (!saveLast) {
    yield finding("config-value", `${params}.save_last is off: there would be no last.ckpt to go on from`, {
      severity: "warning",
      fix: "Leave it out: --resume RUN, and a Slurm job that is queued again, take last.ckpt.",
    });
  }
  if (facts.checkpointFolder !== undefined) {
    yield finding("config-value", `${params}.dirpath is ${textOf(facts.checkpointFolder)}`, {
      severity: "warning",
      fix: "Leave it out, and choose the disk by --logdir: --resume RUN, `status` and a job that is queued again look into the run folder.",
    });
  }
  for (const text of unclear) {
    yield finding("config-value", `${text}, which only OmegaConf works out: it was not looked at`, {
      severity: "note",
      fix: "Look for yourself whether it is what you mean.",
    });
  }
}
