/**
 * The command line of Vista's train.py, read as argparse reads it. What argparse does not know, train.py hands to
 * OmegaConf, which takes anything: a misspelt flag is no error there but has no effect.
 */

import { join } from "node:path";
import { readRegular } from "../../core/io/regular.js";
import { words } from "../../core/text.js";

/**
 * The words that an option takes after itself: one, one whole number, one that may be left out, one for yes or no that may be left
 * out, as many as follow.
 */
type Takes = "nothing" | "one" | "integer" | "optional" | "boolean" | "many";

/** The options of train.py at the time of writing; those in the source of a checkout, where it can be read, come on top. */
const DOCUMENTED_FLAGS: Record<Takes, readonly string[]> = {
  nothing: ["-h", "--help"],
  one: words("-p --project -f --postfix -l --logdir --resume_from_checkpoint --finetune"),
  integer: ["-s", "--seed", "--n_devices"],
  optional: ["-n", "--name", "-r", "--resume"],
  boolean: words(`
    --no_date -t --train --no_test -d --debug --scale_lr --legacy_naming --enable_tf32 --no_base_name
  `),
  many: ["-b", "--base"],
};

/** The parameters of `pytorch_lightning.Trainer` 2.0.1, which train.py turns into options (`--max_epochs 5`). */
export const TRAINER_PARAMETERS = words(`
  accelerator strategy devices num_nodes precision logger callbacks fast_dev_run max_epochs min_epochs
  max_steps min_steps max_time limit_train_batches limit_val_batches limit_test_batches
  limit_predict_batches overfit_batches val_check_interval check_val_every_n_epoch
  num_sanity_val_steps log_every_n_steps enable_checkpointing enable_progress_bar enable_model_summary
  accumulate_grad_batches gradient_clip_val gradient_clip_algorithm deterministic benchmark
  inference_mode use_distributed_sampler profiler detect_anomaly barebones plugins sync_batchnorm
  reload_dataloaders_every_n_epochs default_root_dir
`);

/** The parameters among them that Lightning takes as text. A flag's value is text to train.py: `--max_epochs 5` gives "5". */
export const TEXT_PARAMETERS: ReadonlySet<string> = new Set(
  words(`
    accelerator strategy devices num_nodes precision max_time gradient_clip_algorithm profiler
    default_root_dir
  `),
);

export type KnownFlags = ReadonlyMap<string, Takes>;

/**
 * Returns the options of this checkout's train.py: the documented ones, those that its source adds, so that a fork's own count
 * too, and the parameters of the Trainer.
 */
export async function knownFlags(vista: string): Promise<KnownFlags> {
  const flags = new Map<string, Takes>();
  for (const [takes, names] of Object.entries(DOCUMENTED_FLAGS))
    for (const flag of names) flags.set(flag, takes as Takes);
  for (const name of TRAINER_PARAMETERS) flags.set(`--${name}`, "one");
  const source = await readRegular(join(vista, "train.py")).then(String, () => "");
  for (const [, body] of source.matchAll(/add_argument\(([\s\S]*?)\n?\s*\)(?=\s)/g)) {
    for (const [, flag] of body!.matchAll(/["'](--?[A-Za-z][\w-]*)["']\s*(?=,|$)/g))
      flags.set(flag!, takenBy(body!));
  }
  return flags;
}

/** Reads what an option takes from the arguments of its `add_argument`. */
function takenBy(source: string): Takes {
  if (/action\s*=\s*["']store_(true|false)["']/.test(source)) return "nothing";
  if (/nargs\s*=\s*["'][*+]["']/.test(source)) return "many";
  if (/nargs\s*=\s*["']\?["']/.test(source))
    return /type\s*=\s*str2bool\b/.test(source) ? "boolean" : "optional";
  return /type\s*=\s*int\b/.test(source) ? "integer" : "one";
}

/** A word or a group of words of a command line, as argparse sees it. */
export interface Argument {
  kind: "flag" | "unknown-flag" | "ambiguous-flag" | "dotted" | "stray";
  word: string;
  /** The full name of a flag, the key of a dotted assignment, or the word (of an unknown flag without its `=value`). */
  name: string;
  /** The words that a flag takes, or the flags that an ambiguous one could mean. */
  values: string[];
}

/** Splits arguments as argparse would with these options (`--flag=value` and unique prefixes are flags too). */
export function parseArguments(words: readonly string[], flags: KnownFlags): Argument[] {
  const parsed: Argument[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith("-") || word === "--" || NEGATIVE.test(word)) {
      const key = /^[\w.[\]]+(?==)/.exec(word)?.[0];
      parsed.push({ kind: key === undefined ? "stray" : "dotted", word, name: key ?? word, values: [] });
      continue;
    }
    const [name, attached] = resolveFlag(word, flags);
    if (Array.isArray(name)) {
      parsed.push({
        kind: name.length === 0 ? "unknown-flag" : "ambiguous-flag",
        word,
        name: word.split("=")[0]!,
        values: name,
      });
      // To people, a value that follows an unknown flag belongs to it.
      if (!word.includes("=") && words[i + 1] !== undefined && !/^-|=/.test(words[i + 1]!)) i++;
      continue;
    }
    const values = attached === undefined ? [] : [attached];
    const takes = flags.get(name)!;
    const most = takes === "many" ? Number.POSITIVE_INFINITY : takes === "nothing" ? 0 : 1;
    const limit = attached !== undefined ? 0 : most;
    for (let n = 0; n < limit && words[i + 1] !== undefined; n++) {
      const next = words[i + 1]!;
      if (next.startsWith("-") && !NEGATIVE.test(next)) break;
      values.push(next);
      i++;
    }
    parsed.push({ kind: "flag", word, name, values });
  }
  return parsed;
}

/** The words that argparse takes for numbers below 0, and not for options. */
const NEGATIVE = /^-(\d+|\d*\.\d+)$/;

/** The words for yes and no of train.py's str2bool. */
export const YES = /^(yes|true|t|y|1)$/i;
export const NO = /^(no|false|f|n|0)$/i;

/** Returns why argparse stops at the value of a flag; undefined where it does not. */
export function valueProblem(
  { name, word, values: [value] }: Argument,
  flags: KnownFlags,
): string | undefined {
  const takes = flags.get(name);
  if (takes === "boolean" && value !== undefined && !YES.test(value) && !NO.test(value))
    return `${word} takes yes or no, and not ${value}`;
  if ((takes === "one" || takes === "integer") && value === undefined) return `${word} has no value`;
  if (takes === "integer" && !/^\s*[+-]?\d+(_\d+)*\s*$/.test(value!))
    return `${word} takes a whole number, and not ${value}`;
  return undefined;
}

/** Returns the full name of a flag and the value attached to it, or the candidates where there is not exactly one. */
function resolveFlag(word: string, flags: KnownFlags): [string | string[], string | undefined] {
  const at = word.indexOf("=");
  const name = at === -1 ? word : word.slice(0, at);
  const attached = at === -1 ? undefined : word.slice(at + 1);
  if (flags.has(name)) return [name, attached];
  if (!name.startsWith("--")) {
    // The value of a short flag may be attached without a sign: -sVALUE.
    const short = word.slice(0, 2);
    return flags.has(short) ? [short, word.slice(2)] : [[], undefined];
  }
  const candidates = [...flags.keys()].filter((flag) => flag.startsWith(name));
  return candidates.length === 1 ? [candidates[0]!, attached] : [candidates, attached];
}
