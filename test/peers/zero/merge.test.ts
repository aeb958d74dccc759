/**
 * Fresh random checkpoints saved by real DeepSpeed, merged by the command, loaded by real torch and compared with the
 * real zero_to_fp32; and the merges of all fixtures loaded by the newest torch and by the oldest with weights_only.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { runPython } from "../python.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const FIXTURES = join(ROOT, "fixtures", "zero");
const SEED = Number(process.env.VISTA_CKPT_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Checkpoints for each number of ranks. */
const COUNT = 6;

interface Result {
  tensors: number;
  recovered: number;
  problems: string[];
  reference_error?: string;
}

type Described = [dtype: string, shape: number[], sha256: string];

const script = (name: string) => join(ROOT, "test", "peers", "zero", name);

async function merge(checkpoint: string, output: string): Promise<void> {
  const { code, stderr } = await runCli("vista-ckpt", ["merge", checkpoint, output, "--quiet"]);
  expect([checkpoint, code, stderr]).toEqual([checkpoint, 0, ""]);
}

async function compare(pairs: readonly { checkpoint: string; output: string }[]): Promise<Result[]> {
  return JSON.parse(await runPython("zero", [script("compare.py")], pairs));
}

const work = mkdtempSync(join(tmpdir(), "vista-zero-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

describe(`random checkpoints of real DeepSpeed, VISTA_CKPT_SEED=${SEED}`, () => {
  const checkpoints = join(work, "random");
  const results = new Map<string, Result>();

  beforeAll(async () => {
    await runPython("zero", [script("random_checkpoints.py"), checkpoints, String(SEED), String(COUNT)]);
    const pairs = readdirSync(checkpoints).map((name) => ({
      checkpoint: join(checkpoints, name),
      output: join(work, `${name}.bin`),
    }));
    for (const { checkpoint, output } of pairs) await merge(checkpoint, output);
    const compared = await compare(pairs);
    for (const [i, { checkpoint }] of pairs.entries()) results.set(checkpoint, compared[i]!);
  });

  it.each([2, 3])("from %i ranks are merged as the reference does", (ranks) => {
    const ours = [...results].filter(([checkpoint]) => checkpoint.includes(`${ranks}ranks-`));
    expect(ours).toHaveLength(COUNT);
    for (const [checkpoint, result] of ours) {
      const stage = JSON.parse(readFileSync(join(checkpoint, "case.json"), "utf8")).stage;
      const told = readFileSync(join(checkpoint, "case.json"), "utf8");
      expect(result.problems, told).toEqual([]);
      expect(result.tensors, told).toBeGreaterThan(0);
      // The reference cannot read stage 0, and everything else that DeepSpeed saved here it can.
      expect(result.reference_error !== undefined, `${result.reference_error} ${told}`).toBe(stage === 0);
    }
  });
});

describe("the fixtures", () => {
  /** Refused, each for a reason of its own: test/zero/golden.test.ts. */
  const REFUSED = ["stage1-bf16-optimizer-3ranks", "stage3-fp32-2ranks-orphans"];
  const names = readdirSync(FIXTURES).filter((name) => !REFUSED.includes(name));
  const outputs = names.map((name) => join(work, "fixtures", `${name}.bin`));

  beforeAll(async () => {
    mkdirSync(join(work, "fixtures"));
    for (const [i, name] of names.entries()) await merge(join(FIXTURES, name), outputs[i]!);
  });

  it("are merged as the newest zero_to_fp32 does, and load with weights_only and mmap", async () => {
    // Older versions made fp32 of integer buffers: those are compared in test/zero/golden.test.ts.
    const newest = names.flatMap((name, i) =>
      /^(deepspeed-|vista-)/.test(name) ? [] : [{ checkpoint: join(FIXTURES, name), output: outputs[i]! }],
    );
    const results = await compare(newest);
    expect(results.length).toBeGreaterThan(30);
    for (const [i, result] of results.entries()) expect(result.problems, newest[i]!.checkpoint).toEqual([]);
    expect(results.filter((result) => result.reference_error === undefined).length).toBeGreaterThan(30);
  });

  interface Loaded {
    torch: string;
    files: Record<string, Record<string, Described>>;
  }
  const load = async (environment: string, options: readonly string[]): Promise<Loaded> =>
    JSON.parse(await runPython(environment, [script("load_old.py"), ...options], outputs));

  it.each([
    ["weights_only", "oldtorch", /^1\.13\.1/, []],
    ["weights_only and mmap", "mmaptorch", /^2\.1\.0/, ["mmap"]],
  ])("load with %s in the oldest torch that has it, with the same bytes as in the newest", async (...row) => {
    const [, environment, version, options] = row;
    const old = await load(environment, options);
    const recent = await load("zero", options);
    expect(old.torch).toMatch(version);
    expect(recent.torch).toMatch(/^2\.13\.0/);
    expect(Object.keys(old.files)).toHaveLength(outputs.length);
    expect(Object.values(old.files)[0]).not.toEqual({});
    expect(old.files).toEqual(recent.files);
  });
});
