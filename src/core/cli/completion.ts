/** The command `completion bash|zsh|fish`: it prints a script for the shell, made from the program's commands and options. */
import { Argument, type Command } from "commander";

/** A place on a command line: what can be typed there depends on the commands before it. */
interface Place {
  /** The commands before it, such as `/annos/nuscenes`; empty for the program itself. */
  readonly path: string;
  readonly command: Command;
  readonly commands: readonly Command[];
}

/** The words, by command, that stand for the command where they come first, as the names of recipes do for `run`. */
type Aliases = Readonly<Record<string, readonly string[]>>;

const SCRIPTS = { bash, zsh, fish };

const HELP = `
Examples:
  $ eval "$(PROGRAM completion bash)"        in ~/.bashrc
  $ eval "$(PROGRAM completion zsh)"         in ~/.zshrc, after compinit
  $ PROGRAM completion fish | source         in ~/.config/fish/config.fish`;

/** Adds the command to a program that already has all its others. */
export function addCompletion(program: Command, aliases: Aliases = {}): void {
  program
    .command("completion")
    .summary("print a script that completes commands and options in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(Object.keys(SCRIPTS)))
    .addHelpText("after", HELP.replaceAll("PROGRAM", program.name()))
    .action((shell: keyof typeof SCRIPTS) => {
      process.stdout.write(SCRIPTS[shell](program.name(), placesOf(program, ""), aliases));
    });
}

function placesOf(command: Command, path: string): Place[] {
  const { commands } = command;
  const below = commands.flatMap((each) => placesOf(each, `${path}/${each.name()}`));
  return [{ path, command, commands }, ...below];
}

function optionsOf({
  command,
}: Place): readonly { flags: string[]; choices: readonly string[]; takesValue: boolean; text: string }[] {
  const own = command.options.map(({ short, long, argChoices, required, optional, description }) => ({
    flags: [long, short].flatMap((flag) => flag ?? []),
    choices: argChoices ?? [],
    takesValue: required || optional,
    text: description,
  }));
  const help = { flags: ["--help", "-h"], choices: [], takesValue: false, text: "display help" };
  const version = { flags: ["--version", "-V"], choices: [], takesValue: false, text: "print the version" };
  return [...own, help, ...(command.parent === null ? [version] : [])];
}

function wordsOf({ path, commands }: Place, aliases: Aliases): string[] {
  return [...commands.map((each) => each.name()), ...(path === "" ? Object.values(aliases).flat() : [])];
}

/** Returns the values of a command's argument where that is one of several words, as it is for `completion` itself. */
function argumentChoices({ command }: Place): readonly string[] {
  return command.registeredArguments[0]?.argChoices ?? [];
}

/** Returns the lines of a `case` of bash and zsh that walk from one place to the next. */
function steps(places: readonly Place[], aliases: Aliases): string[] {
  const paths = places.slice(1).map(({ path }) => path);
  const lines = [`      ${paths.join("|")}) at="$at/$word" ;;`];
  for (const [command, words] of Object.entries(aliases))
    lines.push(`      ${words.map((word) => `/${word}`).join("|")}) at=/${command} ;;`);
  return lines;
}

/**
 * Returns the lines that bash and zsh share: they find the place and set `found` to the words that fit there. Where there are
 * none, the shell offers files.
 */
function body(places: readonly Place[], aliases: Aliases): string[] {
  const values = places.flatMap((place) =>
    optionsOf(place).flatMap(({ flags, choices }) =>
      choices.length === 0
        ? []
        : [`    ${flags.map((flag) => `${place.path}:${flag}`).join("|")}) found="${choices.join(" ")}" ;;`],
    ),
  );
  return [
    '    case "$at/$word" in',
    ...steps(places, aliases),
    "    esac",
    "  done",
    '  case "$at:$prev" in',
    ...values,
    "    *)",
    '      case "$cur" in',
    '        -*) case "$at" in',
    ...places.map(
      (place) =>
        `          "${place.path}") found="${optionsOf(place)
          .flatMap(({ flags }) => flags)
          .join(" ")}" ;;`,
    ),
    "        esac ;;",
    '        *) case "$at" in',
    ...places.flatMap((place) => {
      const words = [...wordsOf(place, aliases), ...argumentChoices(place)];
      return words.length === 0 ? [] : [`          "${place.path}") found="${words.join(" ")}" ;;`];
    }),
    "        esac ;;",
    "      esac ;;",
    "  esac",
  ];
}

function functionName(program: string): string {
  return `_${program.replaceAll("-", "_")}`;
}

function bash(program: string, places: readonly Place[], aliases: Aliases): string {
  const name = functionName(program);
  return `${[
    `${name}() {`,
    `  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" at="" found="" word`,
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    ...body(places, aliases),
    '  COMPREPLY=($(compgen -W "$found" -- "$cur"))',
    "}",
    `complete -o default -F ${name} ${program}`,
  ].join("\n")}\n`;
}

function zsh(program: string, places: readonly Place[], aliases: Aliases): string {
  const name = functionName(program);
  return `${[
    `#compdef ${program}`,
    `${name}() {`,
    `  local cur="\${words[CURRENT]}" prev="\${words[CURRENT-1]}" at="" found="" word`,
    `  for word in "\${(@)words[2,CURRENT-1]}"; do`,
    ...body(places, aliases),
    `  if [[ -n "$found" ]]; then compadd -- \${=found}; else _files; fi`,
    "}",
    `if [[ "\${funcstack[1]}" == "${name}" ]]; then ${name} "$@"; else compdef ${name} ${program}; fi`,
  ].join("\n")}\n`;
}

function fish(program: string, places: readonly Place[], aliases: Aliases): string {
  const name = `_${functionName(program)}_at`;
  const quote = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = [
    `function ${name}`,
    "  set -l at ''",
    "  set -l typed (commandline -opc)",
    "  set -e typed[1]",
    "  for word in $typed",
    '    switch "$at/$word"',
    `      case ${places
      .slice(1)
      .map(({ path }) => quote(path))
      .join(" ")}`,
    '        set at "$at/$word"',
    ...Object.entries(aliases).flatMap(([command, words]) => [
      `      case ${words.map((word) => quote(`/${word}`)).join(" ")}`,
      `        set at /${command}`,
    ]),
    "    end",
    "  end",
    '  test "$at" = "$argv[1]"',
    "end",
  ];
  for (const place of places) {
    const start = `complete -c ${program} -n ${quote(`${name} '${place.path}'`)}`;
    for (const each of place.commands)
      lines.push(`${start} -f -a ${quote(each.name())} -d ${quote(each.summary() || each.description())}`);
    const others = [...wordsOf(place, aliases).slice(place.commands.length), ...argumentChoices(place)];
    if (others.length > 0) lines.push(`${start} -f -a ${quote(others.join(" "))}`);
    for (const { flags, choices, takesValue, text } of optionsOf(place)) {
      const names = flags
        .map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
        .join(" ");
      const value = choices.length > 0 ? ` -x -a ${quote(choices.join(" "))}` : takesValue ? " -r" : "";
      lines.push(`${start} ${names}${value} -d ${quote(text)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
