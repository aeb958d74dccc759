/** Names and texts that become folders, words of a command and lines of a script. */
import { oneLine, VistaError } from "../../core/errors.js";

/** The pattern of a folder's name that no program takes for an option, a hidden file or a way upwards. */
const FOLDER_NAME = /^[A-Za-z0-9_][\w.+=-]*$/;

/** The largest size of a name in bytes: what every file system in use takes, less what Slurm's log and script add to it. */
const MAX_NAME = 200;

/** Tells whether a text has line breaks, escapes or other control characters, which no line of a script should have. */
export function hasControlCharacters(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

/** Checks the name of a run. @throws VistaError `USAGE` for a name that cannot be that of a run folder */
export function checkRunName(name: string): void {
  if (FOLDER_NAME.test(name) && name.length <= MAX_NAME) return;
  throw new VistaError("USAGE", `--name ${oneLine(name, 100)} is not a plain folder name`, {
    hint: `Take letters, digits and . _ + = - , beginning with a letter, a digit or _, ${MAX_NAME} at most.`,
  });
}

/**
 * Checks a text that becomes a word of a command or a line of a script.
 *
 * @param what  what the text is, for the message: `--env A`
 * @throws VistaError `USAGE` for text with control characters
 */
export function checkText(text: string, what: string): void {
  if (!hasControlCharacters(text)) return;
  throw new VistaError(
    "USAGE",
    `${what} has a line break or another control character: ${oneLine(text, 100)}`,
    { hint: "Look at the variable or the file that it came from." },
  );
}

/** The pattern of the names of variables, in `env` of a recipe and for `--env`. */
export const VARIABLE_NAME = /^[A-Za-z_]\w*$/;
/** The pattern of the names of sbatch options, in `slurm.sbatch` of a recipe and for `--sbatch`. */
export const SBATCH_NAME = /^[a-z][a-z-]*$/;

/** Checks the names and the texts of variables or of options of sbatch. @throws VistaError `USAGE` */
export function checkPairs(pairs: Readonly<Record<string, string>> = {}, option: "--env" | "--sbatch"): void {
  const pattern = option === "--env" ? VARIABLE_NAME : SBATCH_NAME;
  for (const [name, value] of Object.entries(pairs)) {
    if (!pattern.test(name)) {
      throw new VistaError("USAGE", `${option} ${oneLine(name, 100)}=… is not NAME=VALUE`, {
        hint: `Write ${option === "--env" ? "--env NCCL_DEBUG=INFO" : "--sbatch qos=long"}, for example.`,
      });
    }
    checkText(value, `${option} ${name}`);
  }
}

/** Checks a number that counts something. @throws VistaError `USAGE` */
export function checkCount(value: number | undefined, what: string, least: number, most = Infinity): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least && value <= most)) return;
  throw new VistaError("USAGE", `${what} ${value} is not a whole number from ${least} on`, {
    hint: most === Infinity ? "Leave it out for the default." : `The largest is ${most}.`,
  });
}

/** The commands of vista-train beside `run`, which a recipe's name alone stands for. */
export const COMMANDS = ["check", "next", "finish", "status", "prune", "recipes", "completion"] as const;

/** The words that the command line takes for commands and that nobody has to be told of. */
export const UNSAID = ["run", "help"] as const;
