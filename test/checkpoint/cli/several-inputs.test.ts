/** `inspect` and `verify` with several inputs: a line for each, patterns in quotes, and no input hides what is wrong with another. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const FIXTURES = join(import.meta.dirname, "../../../fixtures");

function folder(): string {
  const path = temporaryFolder();
  mkdirSync(join(path, "a/b"), { recursive: true });
  copyFileSync(join(FIXTURES, "torch/shapes.pt"), join(path, "a/b/one.pt"));
  copyFileSync(join(FIXTURES, "safetensors/plain.safetensors"), join(path, "a/two.safetensors"));
  writeFileSync(join(path, "a/three.pt"), "no checkpoint");
  return path;
}

it("verify takes patterns in quotes, says a line for each checkpoint and fails where one input is none", async () => {
  const cwd = folder();
  const all = await runCli("vista-ckpt", ["verify", "a/**/*.{pt,safetensors}"], { cwd });
  expect(all.code).toBe(1);
  expect(all.stdout.split("\n").map((line) => line.split(",")[0])).toEqual([
    "a/b/one.pt: sound: 1 file",
    "a/two.safetensors: sound: 1 file",
    "",
  ]);
  expect(all.stderr).toMatch(/a\/three\.pt: not a checkpoint that is known here: 13 bytes/);
  const sound = await runCli("vista-ckpt", ["verify", "a/**/one.pt", "a/two.safetensors"], { cwd });
  expect(sound.code).toBe(0);
  const gone = await runCli("vista-ckpt", ["verify", "a/b/one.pt", "a/gone.pt"], { cwd });
  expect([gone.code, gone.stderr]).toEqual([1, expect.stringMatching(/a\/gone\.pt: .*no such file/)]);
  expect(gone.stdout).toMatch(/^a\/b\/one\.pt: sound/);
});

it("inspect says what each input is, in a line", async () => {
  const cwd = folder();
  const { code, stdout, stderr } = await runCli("vista-ckpt", ["inspect", "a/**/*.{pt,safetensors}"], {
    cwd,
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(/a\/three\.pt: not a checkpoint that is known here/);
  expect(stdout).toMatch(/^a\/b\/one\.pt: torch file, 3\.34 kB, \d+ tensors, \d+ elements, .* of F32/);
  expect(stdout).toMatch(/\na\/two\.safetensors: safetensors file, 248 B, 3 tensors/);
  expect(stdout.trim().split("\n")).toHaveLength(2);
});

it("inspect says of which of a pattern's inputs a warning is", async () => {
  const cwd = temporaryFolder();
  for (const name of ["a.ckpt", "b.ckpt"])
    writeFakeCheckpoint(join(cwd, name), {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])]],
      paramShapes: [{ w: [2] }],
      buffers: ["mean"],
    });
  const { code, stderr } = await runCli("vista-ckpt", ["inspect", "*.ckpt"], { cwd });
  expect(code).toBe(0);
  const absent = (name: string) =>
    stderr.includes(`vista-ckpt: warning: ${name}: 1 buffer listed in buffer_names and not in`);
  expect(["a.ckpt", "b.ckpt"].map(absent)).toEqual([true, true]);
});

it("--json of several inputs is one object with each of them, errors too", async () => {
  const cwd = folder();
  const verified = await runCli("vista-ckpt", ["verify", "--json", "a/b/one.pt", "a/gone.pt"], { cwd });
  expect(JSON.parse(verified.stdout)).toMatchObject({
    command: "verify",
    ok: false,
    inputs: [
      { ok: true, path: "a/b/one.pt" },
      { ok: false, path: "a/gone.pt", error: { code: "NOT_FOUND" } },
    ],
  });
  const inspected = await runCli("vista-ckpt", ["inspect", "--json", "a/b/one.pt", "a/three.pt"], { cwd });
  expect(JSON.parse(inspected.stdout)).toMatchObject({
    command: "inspect",
    inputs: [{ kind: "torch" }, { path: "a/three.pt", error: { code: "WRONG_KIND" } }],
  });
});

it("a pattern that matches nothing is an error; a path with brackets that is there is a path", async () => {
  const cwd = folder();
  const none = await runCli("vista-ckpt", ["verify", "*.nothing"], { cwd });
  expect([none.code, none.stderr]).toEqual([
    1,
    expect.stringMatching(/\*\.nothing: no file or folder matches this pattern/),
  ]);
  copyFileSync(join(cwd, "a/b/one.pt"), join(cwd, "one[1].pt"));
  const there = await runCli("vista-ckpt", ["verify", "one[1].pt"], { cwd });
  expect([there.code, there.stdout]).toEqual([0, expect.stringMatching(/^one\[1\]\.pt: torch zip/)]);
});

it.each([
  [
    "that is too long",
    `{${"a".repeat(12_000)},b}`,
    2,
    /^vista-ckpt: .*this pattern cannot be looked for: .*10000/,
  ],
  [
    "of a million names",
    "a{1..1000000}.pt",
    2,
    /^vista-ckpt: .*this pattern cannot be looked for: .*range limit/,
  ],
  [
    "below a folder that cannot be read",
    `${"a".repeat(300)}/*.pt`,
    1,
    /cannot look for .*: the name is too long/,
  ],
])("a pattern %s is a line that says so", async (_, pattern, expected, message) => {
  const { code, stderr } = await runCli("vista-ckpt", ["verify", pattern], { cwd: folder() });
  expect(code).toBe(expected);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/internal error/);
});
