/** The preflight of a run that is gone on with: what train.py would take is looked at, whatever stands there. */
import { rmSync } from "node:fs";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, test } from "vitest";
import { copyFolder } from "../helpers/copy.js";
import { makeCheckout, temporaryFolder } from "./checkout.js";
import { preflightOf } from "./found.js";

const ZERO = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
const folder = await temporaryFolder();
const run = join(folder, "run");
const last = join(run, "checkpoints/last.ckpt");
const vista = await makeCheckout(folder);

beforeEach(async () => {
  rmSync(run, { recursive: true, force: true });
  copyFolder(ZERO, last);
  await mkdir(join(run, "configs"));
  const config = await readFile(join(vista, "configs/example/nusc_train.yaml"));
  await writeFile(join(run, "configs/2025-project.yaml"), config);
});

/** The fixture is of two ranks. */
const found = (more: { resume?: string; name?: string; reshard?: boolean; gpus?: number } = {}) =>
  preflightOf(folder, "example", { nodes: 1, gpus: 2, resume: run, ...more });

test("a run in which nothing is wrong", async () => {
  expect((await found()).codes).toEqual([]);
  expect((await found({ resume: last, name: "new" })).codes).toEqual([]);
});

test.each<[string, () => Promise<unknown>, string]>([
  ["is an empty file", () => writeFile(last, ""), "last.ckpt: the file is empty"],
  ["is a link to nothing", () => symlink("nowhere.ckpt", last), "last.ckpt: a link that leads nowhere"],
  ["is a link in a circle", () => symlink(last, last), "last.ckpt: a link that leads nowhere"],
  ["is an empty folder", () => mkdir(last), "no ZeRO checkpoint here or below"],
])("the last checkpoint %s", async (_, make, text) => {
  await rm(last, { recursive: true });
  await make();
  const result = await found();
  expect(result.codes).toEqual(["error resume"]);
  expect(result.text).toContain(text);
});

test("a checkpoint without `latest` is resharded, not resumed", async () => {
  await rm(join(last, "latest"));
  for (const resume of [run, last]) {
    const result = await found({ resume });
    expect(result.codes).toEqual(["error resume"]);
    expect(result.text).toContain("no file `latest` in it, without which DeepSpeed loads nothing");
  }
  expect((await found({ gpus: 1, reshard: true })).codes).toEqual([]);
});

test.each(["checkpoints", "configs"])("%s of the run that cannot be listed", async (name) => {
  await rm(join(run, name), { recursive: true });
  await symlink(join(run, name), join(run, name));
  const result = await found();
  expect(new Set(result.codes)).toEqual(
    new Set(["error resume", ...(name === "configs" ? ["error config-missing"] : [])]),
  );
  expect(result.text).toMatch(/cannot list the (checkpoints|folder): too many symbolic links/);
});

test("a run that cannot be looked at is not called absent", async () => {
  const loop = join(folder, "loop");
  await symlink(loop, loop);
  expect((await found({ resume: loop })).text).toContain("too many symbolic links");
  expect((await found({ resume: `${loop}.ckpt` })).text).toContain(`there is no ${loop}.ckpt`);
});

test("a file is called no run folder", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  expect((await found({ resume: file })).text).toContain(`${file} is not a run folder`);
});

test("one checkpoint does not go on in a folder that has a run", async () => {
  await mkdir(join(vista, "logs/taken/checkpoints"), { recursive: true });
  expect((await found({ resume: last, name: "taken" })).codes).toEqual(["error run-exists"]);
  expect((await found({ resume: last, name: "taken", reshard: true })).codes).toEqual([]);
});
