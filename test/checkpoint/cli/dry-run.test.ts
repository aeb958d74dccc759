/** `--dry-run` refuses what the run itself would refuse, and no output takes the place of a part of its input. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";

/** A folder with a ZeRO checkpoint, a safetensors file, and things that are in the way of outputs. */
function place(): string {
  const folder = temporaryFolder();
  copyFolder(join(FIXTURES, "zero/stage2-fp32-2ranks"), join(folder, "last.ckpt"));
  copyFileSync(join(FIXTURES, "safetensors/plain.safetensors"), join(folder, "in.safetensors"));
  for (const name of ["old.bin", "old.safetensors", "fam-00001-of-00002.safetensors", "file"])
    writeFileSync(join(folder, name), "old");
  mkdirSync(join(folder, "folder.safetensors"));
  symlinkSync("nowhere", join(folder, "link.safetensors"));
  return folder;
}

const run = (folder: string, ...args: string[]) => runCli("vista-ckpt", args, { cwd: folder });

describe("--dry-run says what the run would say of the output", () => {
  it.each<[string[], RegExp]>([
    [["merge", "last.ckpt", "-o", "old.bin"], /old\.bin: the output already exists\. Use --force/],
    [["merge", "last.ckpt", "-o", "no/x.bin"], /no: the folder of the output does not exist/],
    [["merge", "last.ckpt", "-o", "file/x.bin"], /a part of this path is not a folder/],
    [["to-st", "in.safetensors", "--raw", "-o", "old.safetensors"], /the output already exists/],
    [["to-st", "in.safetensors", "--raw", "-o", "folder.safetensors", "--force"], /is an existing folder/],
    [["to-st", "in.safetensors", "--raw", "-o", "link.safetensors"], /a symbolic link to nowhere/],
    [
      ["to-st", "in.safetensors", "--raw", "-o", "fam.safetensors", "--max-shard-size", "1GB"],
      /fam-00001-of-00002\.safetensors: the output already exists/,
    ],
  ])("%s", async (args, message) => {
    const folder = place();
    const before = readdirSync(folder);
    const [dry, real] = [await run(folder, ...args, "--dry-run"), await run(folder, ...args)];
    expect(dry).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(message) });
    expect(real.stderr).toBe(dry.stderr);
    expect(readdirSync(folder)).toEqual(before);
  });

  it("--force is heeded, and nothing is replaced", async () => {
    const folder = place();
    const { code, stdout } = await run(folder, "merge", "last.ckpt", "-o", "old.bin", "--force", "--dry-run");
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("would write old.bin") });
    expect(readFileSync(join(folder, "old.bin"), "utf8")).toBe("old");
  });
});

describe("an output in the place of its input", () => {
  it("that is one of several files is refused, whatever --force says", async () => {
    const folder = place();
    const shard = "last.ckpt/checkpoint/mp_rank_00_model_states.pt";
    const [tag] = readdirSync(join(folder, "last.ckpt")).filter((name) => /step|checkpoint/.test(name));
    const target = shard.replace("checkpoint/", `${tag}/`);
    const before = readFileSync(join(folder, target));
    const { code, stderr } = await run(folder, "merge", "last.ckpt", "-o", target, "--force");
    expect(code).toBe(2);
    expect(stderr).toMatch(/the output would take the place of 1 of the 3 files that are read for it/);
    expect(readFileSync(join(folder, target)).equals(before)).toBe(true);
  });

  it("that is all of it is replaced when the new one is whole", async () => {
    const folder = place();
    const before = readFileSync(join(folder, "in.safetensors"));
    const { code } = await run(folder, "to-st", "in.safetensors", "--raw", "-o", "in.safetensors", "--force");
    expect(code).toBe(0);
    expect(readFileSync(join(folder, "in.safetensors")).length).toBe(before.length);
  });
});

it("a folder with the name of a shard is refused before the work, and nothing is left", async () => {
  const folder = place();
  const before = readdirSync(folder);
  const args = ["to-st", "in.safetensors", "--raw", "-o", "folder.safetensors", "--max-shard-size", "8B"];
  const { code, stderr } = await run(folder, ...args, "--force");
  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/is an existing folder/) });
  expect(readdirSync(folder)).toEqual(before);
});
