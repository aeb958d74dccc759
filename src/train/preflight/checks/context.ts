import type { RunOptions } from "../../../core/progress.js";
import type { Argument, KnownFlags } from "../../launch/arguments.js";
import type { ConfigTree } from "../../launch/config.js";
import type { TrainingFacts } from "../../launch/facts.js";
import type { LaunchPlan } from "../../launch/plan.js";
import type { System } from "../../launch/system.js";
import type { RuleName, TrainFinding } from "../rules.js";

/** The context that every check gets. */
export interface CheckContext {
  plan: LaunchPlan;
  system: System;
  /** The options of the checkout's train.py, and the plan's arguments for it, taken apart by these. */
  flags: KnownFlags;
  extra: readonly Argument[];
  /** Those of them that are settings of the config, `dotted.key=value`. */
  dotted: readonly string[];
  /** The merged config files; undefined where one of them cannot be read, which is a finding of its own. */
  config: ConfigTree | undefined;
  /** The config once the overrides of the command line are applied; `facts` are those of it. */
  given: ConfigTree | undefined;
  facts: TrainingFacts | undefined;
  signal: AbortSignal | undefined;
  onProgress: RunOptions["onProgress"];
  /** Tells whether anyone asks for a rule, so that what takes long is not looked at for nothing. */
  wanted(rule: RuleName): boolean;
  /** The samples that stand for the whole, for the verdict; checks add their own. */
  sampled: string[];
}

/** A topic of the preflight: it yields what it finds, as it finds it. */
export type CheckFunction = (context: CheckContext) => AsyncIterable<TrainFinding>;
