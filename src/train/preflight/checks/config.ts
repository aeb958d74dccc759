/** The config: there, where train.py wants it, for DeepSpeed stage 2, with a checkpoint before the end. */
import { stat } from "node:fs/promises";
import { isAbsolute, join, sep } from "node:path";
import { isVistaError } from "../../../core/errors.js";
import { knownFlags, parseArguments } from "../../launch/arguments.js";
import { readConfigs, stepsPerEpoch } from "../../launch/config.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";

export async function checkConfig({ plan, facts }: CheckContext): Promise<TrainFinding[]> {
  const found: TrainFinding[] = [];
  for (const path of plan.base) {
    const full = isAbsolute(path) ? path : join(plan.vista, path);
    const own = await stat(full).catch(() => undefined);
    if (own === undefined) found.push(finding("configMissing", `there is no config ${path}`));
    else if (!own.isFile()) found.push(finding("configMissing", `${path} is a folder, not a config file`));
    else {
      await readConfigs([full]).catch((error: unknown) => {
        if (!isVistaError(error)) throw error;
        found.push(finding("configMissing", error.message, { fix: "Correct the file." }));
      });
    }
  }
  const first = plan.base[0];
  // train.py only looks for the folder where it has to make up the name of the run.
  if (
    found.length === 0 &&
    first !== undefined &&
    plan.resume === undefined &&
    plan.name === undefined &&
    plan.slurm === undefined
  ) {
    if (!first.split(sep).slice(0, -1).includes("configs")) {
      found.push(finding("configFolder", `${first} does not lie below a folder named \`configs\``));
    }
  }
  if (facts === undefined || found.length > 0) return found;

  const flags = parseArguments(plan.extra, await knownFlags(plan.vista));
  const strategy = flags.findLast((flag) => flag.name === "--strategy")?.values[0] ?? facts.strategy;
  if (strategy !== "deepspeed_stage_2" && strategy !== "deepspeed_stage_2_offload") {
    found.push(
      finding("strategy", `the strategy is ${strategy === undefined ? "not set" : String(strategy)}`),
    );
  }
  const steps = stepsPerEpoch(plan.nodes * plan.gpus, facts);
  const { iterations } = plan.recipe;
  if (
    steps !== undefined &&
    iterations !== undefined &&
    iterations < steps &&
    facts.everySteps === undefined
  ) {
    found.push(
      finding(
        "lateCheckpoint",
        `the first checkpoint comes after ${steps} steps; the documentation stops after ${iterations}`,
      ),
    );
  }
  return found;
}
