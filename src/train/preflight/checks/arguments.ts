/** The check of the arguments that go to train.py as they are. */
import { suggest } from "../../../core/suggest.js";
import {
  type Argument,
  NO,
  TEXT_PARAMETERS,
  TRAINER_PARAMETERS,
  valueProblem,
  YES,
} from "../../launch/arguments.js";
import { applyDotted } from "../../launch/config.js";
import { finding, type TrainFinding } from "../rules.js";
import { unknownKey } from "./config-keys.js";
import type { CheckContext } from "./context.js";
import { readable } from "./look.js";

/** The flags that this launcher sets itself, each with the option of vista-train that sets it. */
const OWN: Record<string, string> = {
  "--base": "--base",
  "-b": "--base",
  "--num_nodes": "--nodes",
  "--n_devices": "--gpus",
  "--devices": "--gpus",
  "--finetune": "--finetune",
  "--name": "--name",
  "-n": "--name",
  "--resume": "--resume",
  "-r": "--resume",
  "--logdir": "--logdir",
  "-l": "--logdir",
};
/** The settings that train.py replaces by flags which this launcher sets, each with the option of vista-train for it. */
const REPLACED: Record<string, string> = {
  "lightning.trainer.devices": "--gpus",
  "lightning.trainer.num_nodes": "--nodes",
};
/**
 * The flags that make another run folder than the one that this launcher knows, where it gives the run its name; `--debug` moves it
 * into `debug_runs` at the end.
 */
const OF_THE_NAME = ["--postfix", "-f", "--no_date", "--debug", "-d"];

/** The flags that end train.py otherwise than by training where they say no, each with what happens then. */
const UNTRAINED: Record<string, string> = {
  "--train": "train.py ends before the first step",
  "-t": "train.py ends before the first step",
  "--no_test": "train.py fails when the training has ended, since Vista has no test",
};

export async function* checkArguments(context: CheckContext): AsyncGenerator<TrainFinding> {
  const { flags, extra, dotted, config, plan } = context;
  const isNamed = (plan.name ?? plan.slurm) !== undefined;
  if (config !== undefined) yield* readable("config-value", () => applyDotted(config, dotted));
  for (const argument of extra) {
    const { kind, word, name, values } = argument;
    const problem = valueProblem(argument, flags);
    switch (kind) {
      case "flag":
        if (Object.hasOwn(OWN, name)) {
          const fix = `Use ${OWN[name]} of vista-train instead.`;
          yield finding("set-twice", `${word} among the arguments for train.py`, { fix });
        } else if (
          isNamed &&
          OF_THE_NAME.includes(name) &&
          // With a name, `--no_date` is given anyway.
          !(name === "--no_date" && YES.test(values[0] ?? "1")) &&
          !(/^(--debug|-d)$/.test(name) && !YES.test(values[0] ?? "1"))
        ) {
          const what = `${word} among the arguments for train.py, and the run has a name: it would be another folder`;
          yield finding("set-twice", what, { fix: "Give the whole name by --name." });
        } else if (name === "--resume_from_checkpoint" && plan.resume !== undefined) {
          yield finding("set-twice", `${word} among the arguments for train.py, and --resume`);
        } else if (problem !== undefined) {
          yield finding("flag-value", problem);
        } else if (Object.hasOwn(UNTRAINED, name) && NO.test(values[0] ?? "yes")) {
          const fix = "Leave it out, if more is meant than a try.";
          yield finding("flag-value", `${word} ${values[0]}: ${UNTRAINED[name]}`, {
            severity: "warning",
            fix,
          });
        } else if (isNumberAsText(argument)) {
          const fix = `Set it in the config instead: lightning.trainer.${name.slice(2)}=${values[0] ?? "VALUE"}`;
          yield finding("text-flag", `${name} as a flag`, { fix });
        }
        break;
      case "ambiguous-flag":
        yield finding("unknown-flag", `${word} could be ${values.join(" or ")}`, {
          fix: "Write the flag in full.",
        });
        break;
      case "unknown-flag":
        yield unknownFlag(argument, [...flags.keys()]);
        break;
      case "stray":
        yield finding("unknown-flag", `train.py has no use for \`${word}\``, {
          fix: "Settings of the config are written dotted.key=value; check the order of the words.",
        });
        break;
      case "dotted":
        if (Object.hasOwn(REPLACED, name)) {
          const what = `${word} among the arguments for train.py has no effect: the number comes from vista-train`;
          yield finding("set-twice", what, { severity: "warning", fix: `Use ${REPLACED[name]} instead.` });
        }
        if (config !== undefined) yield* unknownKey(name, config);
    }
  }
}

/** Tells whether a flag is for a parameter of the Trainer that must not be text. */
function isNumberAsText(argument: Argument): boolean {
  const name = argument.name.slice(2);
  return TRAINER_PARAMETERS.includes(name) && !TEXT_PARAMETERS.has(name);
}

function unknownFlag(argument: Argument, flags: readonly string[]): TrainFinding {
  const bare = argument.name.replace(/^-+/, "");
  if (bare.includes(".")) {
    return finding("unknown-flag", `train.py has no flag ${argument.name}`, {
      fix: `Settings of the config are written without dashes: ${bare}=VALUE`,
    });
  }
  const close =
    suggest(argument.name, flags) ?? suggest(argument.name.replaceAll("-", "_").replace(/^__/, "--"), flags);
  const fix = close === undefined ? undefined : `Did you mean ${close}?`;
  return finding("unknown-flag", `train.py has no flag ${argument.name}`, { fix });
}
