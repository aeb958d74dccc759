/** The command `completion bash|zsh|fish`: it prints a script for the shell, made from the program's commands and options. */
import { Argument, type Command } from "commander";

/** A place on a command line: what can be typed there depends on the commands before it. */
interface Place {
  /** The commands before it, such as `/annos/nuscenes`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly Command[];
  /** The words that can stand there: commands, aliases at the top, and the values of an argument that is one of several. */
  readonly words: readonly string[];
  readonly options: readonly {
    flags: string[];
    choices: readonly string[];
    takesValue: boolean;
    text: string;
  }[];
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
      process.stdout.write(SCRIPTS[shell](program.name(), placesOf(program, "", aliases), aliases));
    });
}

function placesOf(command: Command, path: string, aliases: Aliases): Place[] {
  const { commands } = command;
  const below = commands.flatMap((each) => placesOf(each, `${path}/${each.name()}`, aliases));
  const atTop = path === "" ? Object.values(aliases).flat() : [];
  const values = command.registeredArguments[0]?.argChoices ?? [];
  const words = [...commands.map((each) => each.name()), ...atTop, ...values];
  return [{ path, commands, words, options: optionsOf(command) }, ...below];
}

function optionsOf(command: Command): Place["options"] {
  const shown = command.options.filter(({ hidden }) => !hidden);
  const own = shown.map(({ short, long, argChoices, required, optional, description }) => ({
    flags: [long, short].flatMap((flag) => flag ?? []),
    choices: argChoices ?? [],
    takesValue: required || optional,
    text: description,
  }));
  const help = { flags: ["--help", "-h"], choices: [], takesValue: false, text: "display help" };
  const version = { flags: ["--version", "-V"], choices: [], takesValue: false, text: "print the version" };
  return [...own, help, ...(command.parent === null ? [version] : [])];
}

/**
 * Returns the lines that bash and zsh share: they walk from one place to the next and set `found` to the words that fit there.
 * Where there are none, the shell offers files.
 */
function body(places: readonly Place[], aliases: Aliases): string[] {
  const lines = ['    case "$at/$word" in'];
  lines.push(`      ${pathsOf(places).join("|")}) at="$at/$word" ;;`);
  for (const [command, words] of Object.entries(aliases))
    lines.push(`      ${words.map((word) => `/${word}`).join("|")}) at=/${command} ;;`);
  lines.push("    esac", "  done", '  case "$at:$prev" in');
  for (const { path, options } of places)
    for (const { flags, choices } of options)
      if (choices.length > 0)
        lines.push(
          `    ${flags.map((flag) => `${path}:${flag}`).join("|")}) found="${choices.join(" ")}" ;;`,
        );
  lines.push("    *)", '      case "$cur" in', '        -*) case "$at" in');
  for (const { path, options } of places)
    lines.push(`          "${path}") found="${options.flatMap(({ flags }) => flags).join(" ")}" ;;`);
  lines.push("        esac ;;", '        *) case "$at" in');
  for (const { path, words } of places)
    if (words.length > 0) lines.push(`          "${path}") found="${words.join(" ")}" ;;`);
  return [...lines, "        esac ;;", "      esac ;;", "  esac"];
}

function pathsOf(places: readonly Place[]): string[] {
  return places.slice(1).map(({ path }) => path);
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
    `      case ${pathsOf(places).map(quote).join(" ")}`,
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
    const others = place.words.slice(place.commands.length);
    if (others.length > 0) lines.push(`${start} -f -a ${quote(others.join(" "))}`);
    for (const { flags, choices, takesValue, text } of place.options) {
      const names = flags
        .map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
        .join(" ");
      const value = choices.length > 0 ? ` -x -a ${quote(choices.join(" "))}` : takesValue ? " -r" : "";
      lines.push(`${start} ${names}${value} -d ${quote(text)}`);
    }
  }
  return `${lines.join("\n")}\n`;
}
