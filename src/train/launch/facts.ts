/** What a merged config says of a training, as Vista's train.py and Lightning 2.0.1 read it. */
import { isRecord } from "../../core/maps.js";
import { numberOf, textOf, words } from "../../core/text.js";
import { countProblems, WHOLE_FLOAT } from "../../dataset/vista-config.js";
import { type ConfigTree, getPath, resolved } from "./config.js";

/** The facts of a config that the checks need, after all overrides. */
export interface TrainingFacts {
  subsets: string[];
  /** What `subsets` is where it is no list with something in it; Vista takes a text letter by letter. */
  noSubsets: string | undefined;
  probs: number[] | undefined;
  /** What is wrong with the settings of `data.params`. */
  countProblems: string[];
  /** What is wrong with other settings. */
  problems: string[];
  /** The settings that only OmegaConf can work out (`${oc.env:HEIGHT}`), each as a clause; what they decide is not known. */
  unclear: string[];
  numFrames: number | undefined;
  height: number | undefined;
  width: number | undefined;
  strategy: unknown;
  batchSize: number;
  samplesPerEpoch: number | undefined;
  /** The number of batches that are taken of an epoch, or the share of them; undefined for all. */
  limitBatches: { batches: number } | { share: number } | undefined;
  accumulate: number;
  /** The numbers of optimizer steps and of epochs after which Lightning stops by itself; undefined where it does not. */
  maxSteps: number | undefined;
  maxEpochs: number | undefined;
  everyEpochs: number | undefined;
  everySteps: number | undefined;
  /** Whether Lightning comes to save anything when an epoch ends. */
  savesAtEpochEnd: boolean;
  /** The number of checkpoints that are kept beside `last`; -1, which train.py sets itself, keeps all. */
  saveTopK: number | undefined;
  /** Whether a `monitor` says which checkpoints are the best. */
  monitored: boolean;
  saveLast: boolean;
  /** Whether only the adapters have optimizer state (phase 2). */
  adaptersOnly: boolean;
  modelChannels: number | undefined;
}

/** The class of the data in Vista's configs, and those of its parameters that it cannot do without. */
export const SAMPLER = "vwm.data.dataset.Sampler";
const SAMPLER_NEEDS = ["subsets", "batch_size", "samples_per_epoch"];

/** The section of the config with the parameters of Lightning's ModelCheckpoint. */
export const CHECKPOINTS = "lightning.modelcheckpoint.params";

/** The settings of Lightning that count something, each with the least that it may be. */
const LIGHTNING_COUNTS = {
  "lightning.trainer.accumulate_grad_batches": 1,
  "lightning.trainer.max_steps": -1,
  "lightning.trainer.max_epochs": -1,
  "lightning.modelcheckpoint.params.every_n_epochs": 0,
  "lightning.modelcheckpoint.params.every_n_train_steps": 0,
  "lightning.modelcheckpoint.params.save_top_k": -1,
} as const;

const PRECISIONS = new Set(["16", "32", "bf16", "16-mixed", "bf16-mixed", "32-true"]);

/** The settings at whose values train.py stops, beside those that count something: which values, and why. */
const STOPPING: readonly [key: string, stops: (value: unknown) => boolean, why: string][] = [
  ["model.base_learning_rate", (value) => !((toNumber(value) ?? 0) > 0), "not a number above 0"],
  [
    "lightning.trainer.precision",
    (value) => !PRECISIONS.has(textOf(value)),
    `not one that Lightning has for DeepSpeed (${[...PRECISIONS].join(", ")})`,
  ],
  [
    "lightning.trainer.limit_train_batches",
    (value) => limitOf(value) === undefined,
    "neither a number of batches from 1 on nor a share between 0.0 and 1.0",
  ],
  ["lightning.trainer.max_steps", (value) => value === 0, "Lightning ends before the first step"],
  ["lightning.trainer.max_epochs", (value) => value === 0, "Lightning ends before the first step"],
  [
    "lightning.trainer.max_time",
    (value) => !isRecord(value) && !/^\d+(:\d+){3}$/.test(textOf(value)),
    "not the text days:hours:minutes:seconds (without quotes, 10:00:00:00 is a number to YAML)",
  ],
  [
    "lightning.trainer.gradient_clip_algorithm",
    (value) => value === "value",
    "DeepSpeed clips gradients by their norm only",
  ],
  [
    "lightning.trainer.barebones",
    (value) => value === true,
    "Lightning stops, because train.py has it log and save checkpoints",
  ],
  [
    "lightning.trainer.enable_checkpointing",
    (value) => value === false,
    "Lightning stops, because train.py has it save checkpoints",
  ],
  [
    "lightning.trainer.logger",
    (value) => value === false,
    "Lightning stops, because train.py has it log the learning rate",
  ],
  [
    "lightning.modelcheckpoint.params.train_time_interval",
    () => true,
    "Lightning wants a timedelta, which no config can give; every_n_train_steps counts steps",
  ],
];

/** The sections that train.py merges with its own; to OmegaConf, one that is null is no section. */
const MERGED = words("trainer logger modelcheckpoint strategy callbacks").map((name) => `lightning.${name}`);

export function trainingFacts(config: ConfigTree): TrainingFacts {
  const reader = readerOf(config);
  const { raw, given, value, number, count, problems, unclear } = reader;
  const subsets = value("data.params.subsets");
  const probs = value("data.params.probs");
  const params = getPath(config, "data.params");
  for (const key of ["model.target", "data.target", "model.base_learning_rate"]) {
    if (given(key) === undefined) problems.push(`${key} is not set`);
  }
  for (const [key, stops, why] of STOPPING) {
    const found = value(key) ?? undefined;
    if (found !== undefined && stops(found)) problems.push(`${key} is ${textOf(found)}: ${why}`);
  }
  for (const key of MERGED) {
    if (raw(key) === null)
      problems.push(`${key} is null, which train.py cannot merge with its own; leave it out`);
  }
  for (const text of lightningLinks(config))
    problems.push(`${text}, which train.py cannot follow: it takes \`lightning\` out of the config first`);
  return {
    // They are compared with the subsets, where those are known.
    probs: Array.isArray(probs) && Array.isArray(subsets) ? probs.map(numberOf) : undefined,
    countProblems: [
      ...(given("data.target") === SAMPLER ? samplerProblems(reader) : []),
      ...(isRecord(params) ? countProblems(params) : []),
    ],
    numFrames: number("data.params.num_frames"),
    subsets: Array.isArray(subsets) ? subsets.map(textOf) : [],
    noSubsets: noList(subsets),
    height: number("data.params.target_height"),
    width: number("data.params.target_width"),
    strategy: strategyOf(reader),
    batchSize: number("data.params.batch_size") ?? 1,
    samplesPerEpoch: number("data.params.samples_per_epoch"),
    limitBatches: limitOf(value("lightning.trainer.limit_train_batches")),
    accumulate: count("lightning.trainer.accumulate_grad_batches") ?? 1,
    maxSteps: limited(count("lightning.trainer.max_steps")),
    maxEpochs: limited(count("lightning.trainer.max_epochs")),
    ...savingFacts(reader),
    adaptersOnly: given("model.params.train_peft_adapters") === true,
    modelChannels: number("model.params.network_config.params.model_channels"),
    unclear,
    problems,
  };
}

type Reader = ReturnType<typeof readerOf>;

/** Finds the settings that refer to the section `lightning`, each as a clause. */
function lightningLinks(value: unknown, key = ""): string[] {
  if (typeof value === "string") return /\$\{lightning[.[}]/.test(value) ? [`${key} is ${value}`] : [];
  if (!isRecord(value) && !Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([name, item]) =>
    lightningLinks(item, key === "" ? name : `${key}.${name}`),
  );
}

/** Returns the strategy by the name that Lightning has for it; the section `lightning.strategy` counts where the trainer has none. */
function strategyOf({ raw, value }: Reader): unknown {
  if (raw("lightning.trainer.strategy") !== undefined) return value("lightning.trainer.strategy");
  const target = value("lightning.strategy.target");
  const isDeepSpeed = typeof target === "string" && target.endsWith(".DeepSpeedStrategy");
  // A config of DeepSpeed's own may say another stage.
  if (!isDeepSpeed || raw("lightning.strategy.params.config") !== undefined) return target;
  return `deepspeed_stage_${textOf(value("lightning.strategy.params.stage") ?? 2)}`;
}

/** Returns the ways to read settings of a config, and the lists of what is unclear and wrong of those that were read. */
function readerOf(config: ConfigTree) {
  const unclear: string[] = [];
  const problems: string[] = [];
  const raw = (key: string): unknown => getPath(config, key);
  const given = (key: string): unknown => raw(key) ?? undefined;
  const value = (key: string): unknown => {
    const found = resolved(config, raw(key));
    const parts = Array.isArray(found) ? found : [found];
    if (!parts.some((part) => typeof part === "string" && part.includes("${"))) return found;
    const text = `${key} is ${textOf(found)}`;
    if (!unclear.includes(text)) unclear.push(text);
    return undefined;
  };
  const isUnclear = (key: string): boolean => unclear.some((text) => text.startsWith(`${key} is `));
  const number = (key: string): number | undefined => toNumber(value(key));
  const count = (key: keyof typeof LIGHTNING_COUNTS): number | undefined => {
    const found = number(key);
    const isCount = Number.isSafeInteger(found) && found! >= LIGHTNING_COUNTS[key];
    if (given(key) !== undefined && !isCount && !isUnclear(key)) {
      const text = textOf(given(key));
      // A number that is a text shows no fault without its quotes.
      const shown = typeof given(key) === "string" && Number.isFinite(Number(text)) ? `"${text}"` : text;
      problems.push(`${key} is ${shown}, not a whole number from ${LIGHTNING_COUNTS[key]} on`);
    }
    return isCount ? found : undefined;
  };
  return { raw, given, value, isUnclear, number, count, unclear, problems };
}

/** Finds out when Lightning saves a checkpoint, and which of them it keeps. */
function savingFacts({ raw, given, number, isUnclear, count, problems }: Reader) {
  const everyEpochs = count("lightning.modelcheckpoint.params.every_n_epochs");
  const everySteps = count("lightning.modelcheckpoint.params.every_n_train_steps");
  const ends = `${CHECKPOINTS}.save_on_train_epoch_end`;
  const validates = "lightning.trainer.check_val_every_n_epoch";
  const validatesEvery = number(validates) === 1 || raw(validates) === undefined || isUnclear(validates);
  const savesAtEpochEnd = typeof raw(ends) === "boolean" ? raw(ends) === true : validatesEvery;
  if (!savesAtEpochEnd && !everySteps) {
    const why = raw(ends) === false ? ends : validates;
    problems.push(
      `${why} is ${textOf(raw(why))}: Lightning then saves after a validation, of which Vista has none, so there would be no checkpoint`,
    );
  }
  // Lightning saves `last` when an epoch ends whatever these two say, and nothing beside it where they are off.
  const isOff = (everyEpochs === 0 && !everySteps) || (everySteps === 0 && everyEpochs === undefined);
  const saveLast = raw(`${CHECKPOINTS}.save_last`);
  return {
    everyEpochs,
    everySteps,
    savesAtEpochEnd,
    saveTopK: isOff ? 0 : count("lightning.modelcheckpoint.params.save_top_k"),
    monitored: given(`${CHECKPOINTS}.monitor`) !== undefined,
    saveLast: saveLast !== null && saveLast !== false,
  };
}

/** Returns the number of a setting. A whole float comes as text, `2.0`; other texts are no numbers, not even `"2"` in quotes. */
function toNumber(value: unknown): number | undefined {
  const number = typeof value === "string" && WHOLE_FLOAT.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** Reads `limit_train_batches`: a whole number counts batches, a float is their share. */
function limitOf(value: unknown): TrainingFacts["limitBatches"] {
  if (typeof value === "number" && Number.isInteger(value)) return value > 0 ? { batches: value } : undefined;
  const share = toNumber(value);
  return share !== undefined && share > 0 && share <= 1 ? { share } : undefined;
}

/** Returns a limit of Lightning's; -1 is none, and with 0 it trains nothing. */
function limited(count: number | undefined): number | undefined {
  return count !== undefined && count > 0 ? count : undefined;
}

/**
 * Returns what is wrong with the parameters of Vista's Sampler. It passes a `prefetch_factor` to torch in any case, which torch refuses
 * without workers: the default of `num_workers`, 0, stops the training.
 */
function samplerProblems({ raw, given }: Reader): string[] {
  const problems = SAMPLER_NEEDS.map((key) => `data.params.${key}`)
    .filter((key) => given(key) === undefined)
    .map((key) => `${key} is not set, and the data set is not made without it`);
  for (const [name, unset] of [
    ["num_workers", 0],
    ["prefetch_factor", 2],
  ] as const) {
    const key = `data.params.${name}`;
    // `null` is no number of workers either; for the factor it leaves the choice to torch.
    const value = name === "num_workers" ? raw(key) : given(key);
    const found = value === undefined ? unset : value;
    if (typeof found === "string" && found.includes("${")) continue;
    if (Number.isSafeInteger(found) && Number(found) >= 1) continue;
    const shown = value === undefined ? "not set" : JSON.stringify(value);
    problems.push(
      `${key} is ${shown}, not a whole number from 1 on, without which torch refuses Vista's loader`,
    );
  }
  return problems;
}

function noList(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : undefined;
  return `${typeof value === "string" ? "the text " : ""}${textOf(value)}, not a list`;
}

/** Tells whether a strategy is one of DeepSpeed, which goes on from folders of shards and from no single file. */
export function needsFolders({ strategy }: Pick<TrainingFacts, "strategy">): boolean {
  return typeof strategy === "string" && strategy.startsWith("deepspeed");
}

/** Returns the optimizer steps of an epoch; undefined where the config does not tell. */
function stepsOfEpoch(processes: number, facts: TrainingFacts): number | undefined {
  const { samplesPerEpoch, limitBatches: limit } = facts;
  if (samplesPerEpoch === undefined) return undefined;
  // Lightning deals out the samples of an epoch to all processes.
  const all = Math.ceil(samplesPerEpoch / (processes * facts.batchSize));
  const batches =
    limit === undefined
      ? all
      : "batches" in limit
        ? Math.min(all, limit.batches)
        : Math.floor(all * limit.share);
  return Math.ceil(batches / facts.accumulate);
}

/** Returns the optimizer steps between two checkpoints that stay; undefined where that is not known. */
export function stepsBetween(processes: number, facts: TrainingFacts): number | undefined {
  if (facts.everySteps) return facts.everySteps;
  const epoch = stepsOfEpoch(processes, facts);
  return epoch === undefined ? undefined : epoch * Math.max(1, facts.everyEpochs ?? 1);
}

/** Returns the optimizer steps before the first checkpoint; undefined where that is not known. */
export function stepsToFirst(processes: number, facts: TrainingFacts): number | undefined {
  const between = stepsBetween(processes, facts);
  // `last` is saved at the end of every epoch, and everything where Lightning stops by itself.
  const last = facts.saveLast && facts.savesAtEpochEnd ? stepsOfEpoch(processes, facts) : undefined;
  const end = facts.savesAtEpochEnd ? facts.maxSteps : undefined;
  const known = [between, last, end].filter((steps) => steps !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** Returns the optimizer steps that will be trained of those that are wanted: Lightning may stop by itself before. */
export function stepsTrained(wanted: number, processes: number, facts: TrainingFacts): number {
  const { maxSteps = wanted, maxEpochs } = facts;
  const epoch = stepsOfEpoch(processes, facts);
  const ofEpochs = maxEpochs === undefined || epoch === undefined ? wanted : maxEpochs * epoch;
  return Math.min(wanted, maxSteps, ofEpochs);
}
