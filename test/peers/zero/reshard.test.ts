/**
 * Resharding with real DeepSpeed as the judge: trained and saved on four ranks, resharded to 1, 2, 3, 5 and 7, loaded there. Every
 * parameter's weights and states are those of before, to the bit, and training goes on as the run that was never interrupted.
 *
 * VISTA_CKPT_DEEPSPEED names another Python with another DeepSpeed (0.10.1, which Vista pins: fixtures/README.md says how to make it).
 */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeParts } from "../../../src/checkpoint/copy/sink.js";
import { reshardCheckpoint } from "../../../src/checkpoint/reshard.js";
import { readTorchFile } from "../../../src/checkpoint/torch/read.js";
import { planRewrittenFile } from "../../../src/checkpoint/torch/rewrite-file.js";
import { writeAtomically } from "../../../src/core/io/output.js";
import { python } from "../python.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const interpreter = process.env.VISTA_CKPT_DEEPSPEED ?? python("zero");
const run = promisify(execFile);
const script = (name: string) => join(ROOT, "test", "peers", "zero", name);
const work = mkdtempSync(join(tmpdir(), "vista-reshard-"));

const SHARED_MEMORY = "/dev/shm";
const shared = () =>
  existsSync(SHARED_MEMORY) ? readdirSync(SHARED_MEMORY).filter((name) => name.startsWith("deepspeed_")) : [];
const before = new Set(shared());
afterAll(() => {
  rmSync(work, { recursive: true, force: true });
  for (const name of shared()) if (!before.has(name)) rmSync(join(SHARED_MEMORY, name), { force: true });
});

interface Result {
  problems: string[];
  loss_difference: number;
  parameters: number;
}

describe("a checkpoint that four ranks saved", () => {
  let cases: string[] = [];
  beforeAll(async () => {
    await run(interpreter, [script("reshard_ranks.py"), "save", work, "4"]);
    cases = readdirSync(work);
  });

  it.each([1, 2, 3, 5, 7])("loads on %i, and training goes on", async (ranks) => {
    for (const name of cases) {
      const output = join(work, name, String(ranks));
      await reshardCheckpoint(join(work, name, "before"), output, { ranks, fsync: false });
    }
    const { stdout } = await run(interpreter, [script("reshard_ranks.py"), "load", work, String(ranks)]);
    const results: Record<string, Result> = JSON.parse(stdout.slice(stdout.lastIndexOf("\n{") + 1));
    expect(Object.keys(results).sort()).toEqual(cases.filter((name) => !name.endsWith(".json")).sort());
    expect(cases.length).toBeGreaterThanOrEqual(6);
    for (const [name, { problems, parameters }] of Object.entries(results)) {
      expect(problems, name).toEqual([]);
      expect(parameters, name).toBe(10);
    }
  });
});

describe("pickles that are written again", () => {
  it("load in torch to objects equal to the original's, with what was shared shared", async () => {
    const fixtures = [
      ...readdirSync(join(ROOT, "fixtures", "zero")).flatMap((name) => {
        const folder = join(ROOT, "fixtures", "zero", name);
        const [tag] = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
        return readdirSync(join(folder, tag!.name)).map((file) => join(folder, tag!.name, file));
      }),
      ...readdirSync(join(ROOT, "fixtures", "torch")).map((name) => join(ROOT, "fixtures", "torch", name)),
    ].filter((path) => /\.(pt|ckpt)$/.test(path));
    mkdirSync(join(work, "rewritten"));
    const pairs: [string, string][] = [];
    const refused: string[] = [];
    for (const [i, path] of fixtures.entries()) {
      const output = join(work, "rewritten", `${i}-${basename(path)}`);
      try {
        await rewrite(path, output);
        pairs.push([path, output]);
      } catch (error) {
        refused.push(`${basename(path)}: ${(error as Error).message}`);
      }
    }
    // What reading refuses is not written either: compressed records, tensors that only torch can rebuild, pickled source code.
    for (const line of refused) expect(line).toMatch(/^(unusual-|module-legacy\.pt|repacked-deflated\.pt)/);
    expect(pairs.length).toBeGreaterThan(150);
    const child = run(interpreter, [script("same_objects.py")], { maxBuffer: 1 << 28 });
    child.child.stdin!.end(JSON.stringify(pairs));
    const { stdout } = await child;
    expect(JSON.parse(stdout.slice(stdout.lastIndexOf("\n[") + 1))).toEqual([]);
  });
});

async function rewrite(path: string, output: string): Promise<void> {
  const file = await readTorchFile(path);
  try {
    const { parts, length } = await planRewrittenFile(file, await file.exact(), output);
    await writeAtomically(output, length, { fsync: false }, (handle) => writeParts(handle, output, parts));
  } finally {
    await file.file.close();
  }
}
