/**
 * What the programs do before and after their work. Deno is not supported: its threads do not share descriptors, so that sound files
 * were called damaged.
 */
import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { temporaryFolder } from "../helpers/state.js";

const AS_DENO =
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,deno:"2.9.6"}})';

it.each(["vista-ckpt", "vista-data", "vista-train"])(
  "%s says in one line that Deno is not supported",
  (program) => {
    const file = fileURLToPath(new URL(`../../bin/${program}.js`, import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", AS_DENO, file, "--help"], {
      encoding: "utf8",
    });
    expect(stdout).toBe("");
    expect(stderr).toBe(`${program}: Deno is not supported. Run the program with Node 20.15 or later.\n`);
    expect(status).toBe(1);
  },
);

it("a program that waits for what never comes ends as an error, not as if all were done", () => {
  const program = join(temporaryFolder(), "never.cjs");
  writeFileSync(program, "exports.main = () => new Promise(() => {});");
  const load = fileURLToPath(new URL("../../bin/load.js", import.meta.url));
  const script = `require(${JSON.stringify(load)})("vista-ckpt", ${JSON.stringify(program)})`;
  const { status, stderr } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  expect(stderr).toBe(
    "vista-ckpt: internal error: the program ended before its work did. Please report it.\n",
  );
  expect(status).toBe(1);
});

it("a part of the program that is missing is one line with what to do", () => {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const copy = temporaryFolder();
  const parts = join("dist", "checkpoint", "cli");
  for (const folder of ["bin", parts]) cpSync(join(root, folder), join(copy, folder), { recursive: true });
  for (const name of readdirSync(join(copy, parts)))
    if (name.startsWith("run-")) rmSync(join(copy, parts, name));
  const run = () =>
    spawnSync(process.execPath, [join(copy, "bin", "vista-ckpt.js"), "inspect", "."], { encoding: "utf8" });
  const said =
    /^vista-ckpt: a part of the program could not be loaded: Cannot find module '[^'\n]+'\. Raise [^\n]+\n$/;
  expect(run()).toMatchObject({ status: 1, stdout: "", stderr: expect.stringMatching(said) });
  rmSync(join(copy, parts, "vista-ckpt.js"));
  expect(run()).toMatchObject({ status: 1, stdout: "", stderr: expect.stringMatching(said) });
});
