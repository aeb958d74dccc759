/** The completion scripts in the shells themselves: what each offers where some words are typed. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { runCli } from "../helpers/cli.js";

const folder = mkdtempSync(join(tmpdir(), "vista-shells-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Each asks its shell what may follow; the last word is the one that is being typed. */
const ASK: Record<string, (script: string, program: string, words: readonly string[]) => string[]> = {
  bash: (script, program, words) => [
    "-c",
    `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _${program.replace("-", "_")}; printf '%s\\n' "\${COMPREPLY[@]}"`,
    "bash",
    script,
    program,
    ...words,
  ],
  // The shell's own function for offering words is replaced by one that prints them.
  zsh: (script, program, words) => [
    "-fc",
    `autoload -Uz compinit; compinit -u -d ${folder}/dump; source "$1"; shift; compadd() { shift; print -l -- $@ }; _files() { print files }; words=("$@"); CURRENT=$#; _${program.replace("-", "_")}`,
    "zsh",
    script,
    program,
    ...words,
  ],
  fish: (script, program, words) => [
    "-c",
    `source '${script}'; complete -C '${[program, ...words].join(" ")}'`,
  ],
};

it.each(Object.keys(ASK))("%s", async (shell) => {
  const offered = async (program: string, ...words: string[]) => {
    const script = join(folder, `${program}.${shell}`);
    writeFileSync(script, (await runCli(program, ["completion", shell])).stdout);
    const text = execFileSync(shell, ASK[shell]!(script, program, words), { encoding: "utf8" });
    const last = words.at(-1)!;
    // zsh leaves it to compadd to drop what does not begin as the word does.
    return text
      .split("\n")
      .map((line) => line.split("\t")[0]!)
      .filter((word) => word !== "" && word.startsWith(last));
  };
  expect(await offered("vista-ckpt", "")).toEqual(expect.arrayContaining(["merge", "to-st", "verify"]));
  expect(await offered("vista-ckpt", "verify", "--k")).toEqual(["--key"]);
  expect((await offered("vista-data", "completion", "")).sort()).toEqual(["bash", "fish", "zsh"]);
  expect((await offered("vista-data", "annos", "")).sort()).toEqual(["nuscenes", "nuscenes-12hz", "youtube"]);
  expect((await offered("vista-data", "check", "--images", "")).sort()).toEqual([
    "decode",
    "headers",
    "names",
  ]);
  expect(await offered("vista-train", "phase1", "--sl")).toEqual(["--slurm"]);
  expect(await offered("vista-train", "ph")).toEqual(["phase1", "phase2-stage1", "phase2-stage2"]);
});
