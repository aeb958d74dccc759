/**
 * The check of the config: it exists where train.py wants it, is for DeepSpeed stage 2, and saves a checkpoint before the end.
 */
import { isAbsolute, join, sep } from "node:path";
import { readConfigs, stepsPerEpoch } from "../../launch/config.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";
import { readable, there } from "./look.js";

export async function* checkConfig({ plan, facts, extra }: CheckContext): AsyncGenerator<TrainFinding> {
  let isMissing = false;
  for (const path of plan.base) {
    const full = isAbsolute(path) ? path : join(plan.vista, path);
    const own = yield* there("config-missing", full, `there is no config ${path}`);
    if (own?.isFile()) {
      const config = yield* readable("config-missing", () => readConfigs([full]), "Correct the file.");
      isMissing ||= config === undefined;
      continue;
    }
    if (own !== undefined) yield finding("config-missing", `${path} is a folder, not a config file`);
    isMissing = true;
  }
  if (isMissing) return;
  const first = plan.base[0];
  // train.py only looks for the folder where it has to make up the name of the run.
  const isNamed = [plan.resume, plan.name, plan.slurm].some((given) => given !== undefined);
  if (first !== undefined && !isNamed && !first.split(sep).slice(0, -1).includes("configs")) {
    yield finding("config-folder", `${first} does not lie below a folder named \`configs\``);
    return;
  }
  if (facts === undefined) return;

  const strategy = extra.findLast((flag) => flag.name === "--strategy")?.values[0] ?? facts.strategy;
  if (strategy !== "deepspeed_stage_2" && strategy !== "deepspeed_stage_2_offload") {
    yield finding("strategy", `the strategy is ${strategy === undefined ? "not set" : String(strategy)}`);
  }
  const steps = stepsPerEpoch(plan.nodes * plan.gpus, facts);
  const { iterations } = plan.recipe;
  const isLate = steps !== undefined && iterations !== undefined && iterations < steps;
  if (isLate && facts.everySteps === undefined) {
    const when = `the first checkpoint comes after ${steps} steps; the documentation stops after ${iterations}`;
    yield finding("late-checkpoint", when);
  }
}
