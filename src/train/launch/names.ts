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

/** The commands of vista-train beside `run`, which a recipe's name alone stands for. */
export const COMMANDS = ["check", "next", "finish", "status", "prune", "recipes", "completion"] as const;

/** The words that the command line takes for commands and that nobody has to be told of. */
export const UNSAID = ["run", "help"] as const;
