/**
 * The parts that the three programs share: option parsing by commander, exit codes, one-line errors, Ctrl-C.
 *
 * The exit codes are 0 for done and clean, 1 for bad input or findings, 2 for wrong usage (and for any trouble of `diff`, whose 1
 * says that inputs differ), 130 after Ctrl-C, 143 after SIGTERM, and 129 when the terminal has gone (SIGHUP).
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Command, CommanderError, Help, Option } from "commander";
import { fromSystem, isVistaError, oneLine, VistaError, withoutSecrets } from "../errors.js";
import { interruptRequests } from "../io/interrupt.js";
import { removePartialFiles } from "../io/live-partials.js";
import { readRegularSync } from "../io/regular.js";
import { errorJson, withHint } from "./inputs.js";
import { printJson } from "./print.js";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  trouble: 2,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** The exit codes of a run that a signal has ended. */
const EXIT_BY_SIGNAL = { SIGHUP: EXIT.hungUp, SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;
type StopSignal = keyof typeof EXIT_BY_SIGNAL;

/** Returns the exit code of a run that was asked to stop. @param reason  the reason of the abort signal that asked */
export function exitCodeOfStop(reason: unknown): number {
  return EXIT_BY_SIGNAL[reason as StopSignal] ?? EXIT.interrupted;
}

/** Reads the version from package.json, which takes time only when someone asks for it. */
export function packageVersion(): string {
  const file = fileURLToPath(new URL("../../../package.json", import.meta.url));
  return (JSON.parse(readRegularSync(file).toString()) as { version: string }).version;
}

/** Makes a commander program that throws instead of exiting, so that {@link runProgram} decides on the exit code. */
export function createProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("--debug", "print the stack trace of an error")
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, visibleOptions, commandDescription })
    .configureOutput({
      outputError: (text, write) => {
        const { message, hint } = usageError(text);
        write(`${name}: ${withHint(message, hint)}\n`);
      },
    })
    .enablePositionalOptions(false);
}

/** Makes an error of ours of what commander says, which may guess what was meant in a line of its own, or say what is taken. */
function usageError(text: string): VistaError {
  const [message, guess] = text
    .replace(/^error: /, "")
    .trim()
    .split(/\n|(?<=is invalid)\. /) as [string, string?];
  // Behind a command commander knows these from the program's help, and would say that they were meant.
  const isVersion = /'(?:-V|--version)'$/.test(message);
  const hint = isVersion
    ? "The version is printed by the program alone, without a command."
    : (guess?.replace(/^\((.*)\)$/, "$1") ?? "Add --help for what there is.");
  return new VistaError("USAGE", message, { hint });
}

/**
 * Returns the options of a help text. `-V, --version` is shown there but is no option of commander's, which would take the
 * `--version` of `vista-data check` for its own, wherever it stands.
 */
function visibleOptions(command: Command): Option[] {
  const options = new Help().visibleOptions(command);
  if (command.parent === null) options.push(new Option("-V, --version", "print the version"));
  return options;
}

/** Returns what a command's own help says of it, as a sentence; where it has only the line of the list of commands, that. */
function commandDescription(command: Command): string {
  const text = command.description() || command.summary();
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

/** The context that a command's action gets beside its options. */
export interface CommandContext {
  /** The signal that the first Ctrl-C, SIGTERM or SIGHUP aborts. */
  signal: AbortSignal;
  /** Sets the exit code for a run that ended well but found something (1). */
  setExitCode(code: number): void;
  /** Sets the exit code of errors (1), for a command whose 1 says something else. */
  setErrorCode(code: number): void;
}

/**
 * Returns the action of a command whose work is loaded when it runs.
 * @param load  loads the function that does the work; that gets arguments and options as commander has read them, and then `more`
 */
export function later(load: () => Promise<(...given: never[]) => Promise<void>>, ...more: unknown[]) {
  return async (...given: unknown[]): Promise<void> => {
    const work = await load();
    // The last argument is the command itself, which no work needs.
    await work(...([...given.slice(0, -1), ...more] as never[]));
  };
}

/**
 * Runs a program to its end and sets `process.exitCode`. An error becomes one line on stderr that ends with what to do about it;
 * with `--debug` the stack follows.
 */
export async function runProgram(
  name: string,
  argv: readonly string[],
  build: (context: CommandContext) => Command,
): Promise<void> {
  let exitCode: number = EXIT.ok;
  let errorCode: number = EXIT.failed;
  // The older listener is removed first, since tests run several programs in one process; the new one stays on, because the
  // error can come late.
  if (onStdoutError !== undefined) process.stdout.off("error", onStdoutError);
  onStdoutError = (error) => stdoutFailed(name, error, errorCode);
  process.stdout.on("error", onStdoutError);
  // Where nobody reads what is said beside the result (`merge 2>&1 | head -1`), the work goes on, and its exit code stays.
  process.stderr.off("error", ignore).on("error", ignore);
  if (argv[2] === "--version" || argv[2] === "-V") {
    process.stdout.write(`${packageVersion()}\n`);
    return;
  }
  const controller = new AbortController();
  interruptRequests(controller.signal);
  let interruptedBy: StopSignal | undefined;
  const onSignal = (signal: StopSignal) => {
    // A second Ctrl-C means "now": the run does not unwind, but it leaves no partial file either.
    if (interruptedBy !== undefined) {
      removePartialFiles();
      process.exit(EXIT_BY_SIGNAL[signal]);
    }
    interruptedBy = signal;
    controller.abort(signal);
  };
  const signals = Object.keys(EXIT_BY_SIGNAL) as StopSignal[];
  for (const signal of signals) process.on(signal, onSignal);
  try {
    const program = build({
      signal: controller.signal,
      setExitCode: (code) => (exitCode = code),
      setErrorCode: (code) => (errorCode = code),
    });
    checkWords(argv.slice(2));
    checkHelp(program, argv.slice(2));
    await program.parseAsync(argv as string[]);
  } catch (error) {
    if (error instanceof CommanderError) {
      // commander has printed its message; exit code 0 is --help.
      exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
      if (exitCode !== EXIT.ok && argv.includes("--json")) printJson(errorJson(usageError(error.message)));
    } else {
      exitCode = reportError(name, error, argv, interruptedBy);
      if (exitCode === EXIT.failed) exitCode = errorCode;
    }
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
  process.exitCode = exitCode;
}

/**
 * Checks the words of a command line for what a shell makes of a mistake: `prune "$RUN"` with a variable that is not set, and
 * `--logdir=~/logs`, where no shell puts the home folder in the place of `~`. And `-o=x.bin` would write a file `=x.bin`.
 *
 * @throws VistaError `USAGE`
 */
function checkWords(words: readonly string[]): void {
  for (const [at, word] of words.entries()) {
    const before = words[at - 1];
    const [, option, value = word] = /^(--[a-z-]+)=(.*)$/s.exec(word) ?? [];
    // A tensor may have a name without a letter.
    if (value === "" && (option ?? before) !== "--tensor") {
      const what = option ?? (before?.startsWith("-") ? `what follows ${before}` : "an argument");
      throw new VistaError("USAGE", `${what} is empty`, {
        hint: "Leave it out, or look at the variable that it came from.",
      });
    }
    if (/^-[a-z]=/i.test(word) && before !== "--tensor") {
      throw new VistaError("USAGE", `${word}: the = would become a part of the value`, {
        hint: `Write ${word.slice(0, 2)} ${word.slice(3)}.`,
      });
    }
    if (/^~(?:\/|$)/.test(value) && !existsSync("~")) {
      throw new VistaError("USAGE", `${word}: the shell has left the ~ as it is`, {
        hint: 'It stands for the home folder only at the start of a word without quotes: write "$HOME" here.',
      });
    }
  }
}

/** Refuses `help` of a command that there is not, for which commander would print all the help and not say what is wrong. */
function checkHelp(program: Command, [first, ...more]: readonly string[]): void {
  // The words of a command without others below it are its arguments: a file may have the name `help`.
  if (program.commands.length === 0) return;
  const named = (word: string | undefined) => program.commands.find((each) => each.name() === word);
  const below = named(first);
  if (below !== undefined) checkHelp(below, more);
  const [second] = more;
  if (first === "help" && second !== undefined && !second.startsWith("-") && named(second) === undefined)
    program.error(`unknown command '${second}'`);
}

function ignore(): void {}

let onStdoutError: ((error: NodeJS.ErrnoException) => void) | undefined;

/**
 * Handles an error of stdout. `vista-ckpt inspect x | head` closes stdout early, which is no error, and no verdict either: the
 * run goes on without its reader, and its exit code still says what it found.
 */
function stdoutFailed(name: string, error: NodeJS.ErrnoException, errorCode: number): void {
  if (error.code === "EPIPE") return;
  removePartialFiles();
  // This is, for example, a full disk behind `> file`.
  const { message } = fromSystem(error, "stdout", "write to it") as Error;
  process.stderr.write(`${name}: ${oneLine(message)}\n`);
  process.exit(errorCode);
}

/**
 * The codes of errors by which the machine says that it ran out of something or refuses a disk. They are no bugs of ours, even
 * where nobody named the file on the way.
 */
const OF_THE_MACHINE = new Set(["EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "EIO", "EROFS", "ENOMEM"]);

function reportError(
  name: string,
  cause: unknown,
  argv: readonly string[],
  interruptedBy: string | undefined,
): number {
  const debug = argv.includes("--debug");
  const { code, path } = cause as NodeJS.ErrnoException;
  let error = cause;
  if (code !== undefined && OF_THE_MACHINE.has(code))
    error = fromSystem(cause, path ?? "the system", "go on");
  else if (code === "MODULE_NOT_FOUND")
    error = new VistaError(
      "IO",
      `a part of the program could not be loaded: ${(cause as Error).message.split("\n")[0]}`,
      {
        hint: "Raise the limit of open files with `ulimit -n`, or install the package again.",
        cause,
      },
    );
  const known = isVistaError(error) ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  // With --json, stdout has the one object that was asked for; the line about it for people stays on stderr.
  if (argv.includes("--json")) printJson(errorJson(known ?? { code: "INTERNAL", message }));
  const isAborted = known?.code === "ABORTED";
  let text = `internal error: ${oneLine(message)}${debug ? "" : ". Run again with --debug and report it."}`;
  if (known !== undefined) {
    const what = isAborted && interruptedBy !== undefined ? "interrupted; nothing was written" : message;
    text = withHint(what, known.hint);
  }
  const stack = debug && error instanceof Error ? withoutSecrets(`${stackWithCauses(error)}\n`) : "";
  process.stderr.write(`${name}: ${text}\n${stack}`);
  if (isAborted) return exitCodeOfStop(interruptedBy);
  return known?.code === "USAGE" ? EXIT.usage : EXIT.failed;
}

function stackWithCauses(error: Error): string {
  const own = error.stack ?? error.message;
  return error.cause instanceof Error ? `${own}\ncaused by: ${stackWithCauses(error.cause)}` : own;
}
