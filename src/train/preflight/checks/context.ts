import type { RunOptions } from "../../../core/progress.js";
import type { ConfigTree, TrainingFacts } from "../../launch/config.js";
import type { LaunchPlan } from "../../launch/plan.js";
import type { System } from "../../launch/system.js";
import type { CheckpointTools, Weights } from "../../run/checkpoints.js";
import type { DataTools } from "../data.js";
import type { RuleName, TrainFinding } from "../rules.js";

/** What every check gets. */
export interface CheckContext {
  plan: LaunchPlan;
  system: System;
  checkpoints: CheckpointTools;
  data: DataTools;
  /** The merged config files; undefined where one of them cannot be read (a finding of its own). */
  config: ConfigTree | undefined;
  /** What they say once the overrides of the command line are applied. */
  facts: TrainingFacts | undefined;
  /** What --finetune names; an error where it cannot be resolved; undefined where there is none. */
  weights: Weights | Error | undefined;
  signal: AbortSignal | undefined;
  onProgress: RunOptions["onProgress"];
  /** Whether anyone asks for a rule: what takes long is not looked at for nothing. */
  wanted(rule: RuleName): boolean;
  /** Checks add what they left out, for the verdict. */
  sampled: string[];
}

/** One topic of the preflight: gives what it finds, as it finds it. */
export type CheckFunction = (context: CheckContext) => AsyncIterable<TrainFinding>;
