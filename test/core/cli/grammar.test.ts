import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, test } from "vitest";
import { wantsColours } from "../../../src/core/cli/colours.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, torchZip } from "../../helpers/torch-file.js";

const PROGRAMS = ["vista-ckpt", "vista-data", "vista-train"] as const;
/** A command of each that takes a path and `--json`. */
const FIRST = { "vista-ckpt": ["verify"], "vista-data": ["check"], "vista-train": ["status"] } as const;
const PACKAGE = fileURLToPath(new URL("../../../package.json", import.meta.url));

function model(folder = temporaryFolder()): string {
  const path = join(folder, "x.bin");
  writeFileSync(path, torchZip(new Map([["w", new FakeTensor([1, 2])]])));
  return path;
}

/** The words of a program's commands, with those of the commands below them, as its help lists them. */
async function commandsOf(program: string, words: readonly string[] = []): Promise<string[][]> {
  const { stdout } = await runCli(program, [...words, "--help"]);
  const list = stdout.split("Commands:\n")[1] ?? "";
  const names = [...list.matchAll(/^ {2}([a-z][\w-]*)/gm)]
    .map((match) => match[1]!)
    .filter((name) => name !== "help");
  const found: string[][] = [];
  for (const name of names) {
    const path = [...words, name];
    found.push(path, ...(await commandsOf(program, path)));
  }
  return found;
}

describe.each(PROGRAMS)("%s", (program) => {
  it("-V and --version print the version, and --help names them", async () => {
    const { version } = JSON.parse(readFileSync(PACKAGE, "utf8"));
    for (const flag of ["-V", "--version"])
      expect(await runCli(program, [flag])).toMatchObject({ code: 0, stdout: `${version}\n` });
    expect((await runCli(program, ["--help"])).stdout).toMatch(/-V, --version +print the version/);
  });

  it("the help of every command says what it does and what its arguments are, with an example", async () => {
    const commands = await commandsOf(program);
    expect(commands.length).toBeGreaterThan(6);
    for (const words of [[], ...commands]) {
      const { stdout } = await runCli(program, [...words, "--help"]);
      expect([words, stdout.includes(`Examples:\n  $ ${program}`) || words[0] === "completion"]).toEqual([
        words,
        true,
      ]);
      if (words.length === 0) continue;
      // Below the usage of a command stands what it does ("Merge …", "Check …"), and each of its arguments has a line.
      expect([words, stdout.split("\n\n")[1]]).toEqual([words, expect.stringMatching(/^[A-Z][a-z]+(?<!s) /)]);
      const named = [...stdout.split("\n")[0]!.matchAll(/ [<[]([a-z]+)[.\]>]/g)].map((match) => match[1]!);
      for (const name of named.filter((name) => name !== "options" && name !== "command"))
        expect([words, stdout]).toEqual([words, expect.stringMatching(RegExp(`^  ${name} {2,}\\S`, "m"))]);
    }
  });

  it.each(["-V", "--version"])("%s behind a command is told where it stands", async (flag) => {
    const { code, stdout, stderr } = await runCli(program, [
      program === "vista-train" ? "status" : "completion",
      flag,
    ]);
    expect([code, stdout]).toEqual([2, ""]);
    const hint = "The version is printed by the program alone, without a command.";
    expect(stderr).toBe(`${program}: unknown option '${flag}'. ${hint}\n`);
  });

  it("help of a command that there is not names it, as the command itself would", async () => {
    const { code, stdout, stderr } = await runCli(program, ["help", "nosuch", "--json"]);
    const message = "unknown command 'nosuch'";
    expect([code, stderr]).toEqual([2, `${program}: ${message}. Add --help for what there is.\n`]);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: "USAGE",
      message: expect.stringContaining(message),
    });
    const file = await runCli("vista-ckpt", ["diff", "help", "x"]);
    expect(file.stderr).toBe("vista-ckpt: help: cannot open the checkpoint: no such file or folder\n");
    for (const words of [["help"], ["help", "completion"], ["help", "completion", "--debug"]])
      expect(await runCli(program, words)).toMatchObject({
        code: 0,
        stdout: expect.stringMatching(/^Usage: /),
      });
  });

  it.each([
    ["of the input", [...FIRST[program], "/no/such"], "NOT_FOUND", 1],
    ["of the usage", [...FIRST[program], ".", "--no-such-option"], "USAGE", 2],
  ] as const)(
    "an error %s under --json is the one object on stdout, and a line on stderr",
    async (_, args, code, exit) => {
      const result = await runCli(program, [...args, "--json"]);
      expect(result.code).toBe(exit);
      expect(JSON.parse(result.stdout)).toMatchObject({
        error: { code, message: expect.stringMatching(/\w/) },
      });
      expect(result.stderr).toMatch(new RegExp(`^${program}: `));
    },
  );

  it("bash completes commands, options and values from what `completion bash` prints", async () => {
    const { stdout: script, code } = await runCli(program, ["completion", "bash"]);
    expect(code).toBe(0);
    const complete = (...words: string[]) => {
      const name = `_${program.replaceAll("-", "_")}`;
      const typed = [program, ...words].map((word) => `'${word}'`).join(" ");
      const lines = `${script}\nCOMP_WORDS=(${typed}); COMP_CWORD=${words.length}; ${name}; echo "\${COMPREPLY[*]}"`;
      return execFileSync("bash", ["--norc", "-c", lines], { encoding: "utf8" }).trim();
    };
    expect(complete("completion", "")).toBe("bash zsh fish");
    expect(complete("comp")).toBe("completion");
    expect(complete("--ver")).toBe("--version");
    if (program === "vista-ckpt") {
      expect(complete("merge", "folder", "--dt")).toBe("--dtype");
      expect(complete("merge", "--dtype", "")).toBe("keep fp32 fp16 bf16");
      expect(complete("merge", "")).toBe("");
    }
    if (program === "vista-data") {
      expect(complete("annos", "nus")).toBe("nuscenes nuscenes-12hz");
      // The older name of an option still holds and is not offered.
      expect(complete("annos", "nuscenes-12hz", "--ou")).toBe("--output");
    }
    if (program === "vista-train") {
      expect(complete("phase1", "--resh")).toBe("--reshard");
      expect(complete("check", "phase2-stage1", "--resh")).toBe("--reshard");
      for (const command of ["run", "check"])
        expect(complete(command, "ph")).toBe("phase1 phase2-stage1 phase2-stage2");
    }
  });

  it.each(["zsh", "fish"])("completion %s names every command and option", async (shell) => {
    const { stdout, code } = await runCli(program, ["completion", shell]);
    expect(code).toBe(0);
    for (const words of await commandsOf(program)) expect(stdout).toContain(words.at(-1)!);
    expect(stdout).toContain("json");
    expect((await runCli(program, ["completion", "csh"])).code).toBe(2);
  });
});

test.each([
  ["vista-data", "check", "images", "headers"],
  ["vista-train", "run", "rendezvous-timeout", "900"],
  ["vista-train", "next", "max-requeues", "10"],
  ["vista-train", "check", "gpus", "the recipe's"],
])("the help of %s %s says the default of --%s", async (program, command, option, value) => {
  const { stdout } = await runCli(program, [command, "--help"]);
  const text = stdout.split(`  --${option} `)[1]!.split("\n  -")[0]!.replace(/\s+/g, " ");
  expect(text).toContain(`(default: ${value})`);
});

test("empty words, a ~ that the shell left and a = behind a short option are wrong usage, named with their option", async () => {
  for (const [args, message] of [
    [["verify", ""], "an argument is empty"],
    [["merge", ".", "--output="], "--output is empty"],
    [["merge", ".", "--tag", ""], "what follows --tag is empty"],
    [["merge", ".", "--output=~/m.bin"], "--output=~/m.bin: the shell has left the ~ as it is"],
    [["verify", "~"], "~: the shell has left the ~ as it is"],
    [["merge", ".", "-o=x.bin"], "-o=x.bin: the = would become a part of the value. Write -o x.bin."],
  ] as const) {
    const { code, stdout, stderr } = await runCli("vista-ckpt", args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(message);
  }
  // A name that begins with ~ is a name, and so is ~ where it is there.
  const folder = temporaryFolder();
  renameSync(model(folder), join(folder, "~x.bin"));
  mkdirSync(join(folder, "~"));
  copyFileSync(join(folder, "~x.bin"), join(folder, "~/x.bin"));
  for (const name of ["~x.bin", "~/x.bin"])
    expect(await runCli("vista-ckpt", ["verify", name], { cwd: folder })).toMatchObject({ code: 0 });
});

test.each([
  ["vista-ckpt", ["inspect", "gs://bucket/x.ckpt"]],
  ["vista-ckpt", ["verify", "file:///no/such.bin"]],
  ["vista-data", ["check", "s3://bucket/vista"]],
  ["vista-train", ["status", "https://host/run"]],
])("%s says which URLs are read: %j", async (program, args) => {
  const { code, stderr } = await runCli(program, args);
  const hint = "Of URLs, vista-ckpt alone reads those with https://, http://, hf:// and s3://.";
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(`^${program}: ${args[1]}: cannot .*: no such file or folder. ${hint}\n$`),
  ]);
});

test("an output that is a URL is told that outputs are local", async () => {
  const zero = fileURLToPath(new URL("../../../fixtures/zero/stage2-fp32-2ranks", import.meta.url));
  const { code, stderr } = await runCli("vista-ckpt", ["merge", zero, "-o", "s3://bucket/x.bin"]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/does not exist\. Outputs are local files\.\n$/)]);
});

test("a closed stderr changes no exit code", () => {
  const bin = fileURLToPath(new URL("../../../bin/vista-ckpt.js", import.meta.url));
  const line = `"${process.execPath}" "${bin}" verify --no-such-option 2>&1 >/dev/null | true; echo "\${PIPESTATUS[0]}"`;
  for (let i = 0; i < 3; i++) expect(execFileSync("bash", ["-c", line], { encoding: "utf8" })).toBe("2\n");
});

test("sizes need a unit", async () => {
  const args = ["to-st", model(), "--raw", "-o", join(temporaryFolder(), "y.safetensors"), "--dry-run"];
  const without = await runCli("vista-ckpt", [...args, "--max-shard-size", "5"]);
  expect(without.code).toBe(2);
  expect(without.stderr).toContain("for example 5GB");
  expect((await runCli("vista-ckpt", [...args, "--max-shard-size", "5GB"])).code).toBe(0);
  expect((await runCli("vista-ckpt", [...args, "--max-shard-size", "500B"])).code).toBe(0);
});

test.each(["out.safetensor", "out", "out.tar", "out.bin"])(
  "to-st refuses the output %s, whose name says no safetensors",
  async (name) => {
    const output = join(temporaryFolder(), name);
    const result = await runCli("vista-ckpt", ["to-st", model(), "--raw", "-o", output]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("Name an output that ends in .safetensors.");
  },
);

test.each(["merged", "merged.zip"])(
  "merge refuses the output %s, whose name says no format",
  async (name) => {
    const zero = fileURLToPath(new URL("../../../fixtures/zero/stage2-fp32-2ranks", import.meta.url));
    const result = await runCli("vista-ckpt", ["merge", zero, "-o", join(temporaryFolder(), name)]);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("Name an output that ends in .bin or .pt");
  },
);

test("scan names the SARIF file that it wrote, and refuses another ending", async () => {
  const sarif = join(temporaryFolder(), "scan.sarif");
  const result = await runCli("vista-ckpt", ["scan", model(), "--sarif", sarif]);
  expect(result).toMatchObject({ code: 0, stderr: `vista-ckpt: wrote ${sarif}\n` });
  const other = await runCli("vista-ckpt", ["scan", model(), "--sarif", `${sarif}.html`]);
  expect(other.code).toBe(2);
  expect(other.stderr).toContain("Name an output that ends in .sarif or .json.");
});

test("colours: NO_COLOR, then FORCE_COLOR, then TERM=dumb, then the terminal", () => {
  expect(wantsColours({}, true)).toBe(true);
  expect(wantsColours({}, false)).toBe(false);
  expect(wantsColours({ TERM: "dumb" }, true)).toBe(false);
  expect(wantsColours({ NO_COLOR: "1", FORCE_COLOR: "1" }, true)).toBe(false);
  expect(wantsColours({ NO_COLOR: "" }, true)).toBe(true);
  expect(wantsColours({ FORCE_COLOR: "1", TERM: "dumb" }, false)).toBe(true);
  expect(wantsColours({ FORCE_COLOR: "0" }, true)).toBe(false);
  expect(wantsColours({ CI: "true" }, false)).toBe(false);
});
