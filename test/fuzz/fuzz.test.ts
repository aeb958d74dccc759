/**
 * A short run of the fuzzer (`npm run fuzz` is the long one): every input ends in a success that is right or in one
 * VistaError. The seeds are fixed, so it gives the same every time.
 */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { temporaryFolder } from "../helpers/state.js";
import { Random } from "./random.js";
import { runOne, type Target, Wrong } from "./target.js";
import { allTargets } from "./targets.js";

/** `npm run fuzz -- --seconds 60`, which CI runs, begins with the same seeds and has many more. */
const INPUTS = 20;
/** An input of these is a folder of some thirty files, which is opened many times. */
const FEWER: Readonly<Record<string, number>> = { universal: 10 };
const targets = allTargets(fileURLToPath(new URL("../../fixtures", import.meta.url)));

it.each(targets.map((target) => [target.name, target] as const))("%s", async (_, target) => {
  const scratch = temporaryFolder();
  const faults: string[] = [];
  const ends = new Set<string>();
  for (let seed = 0; seed < (FEWER[target.name] ?? INPUTS); seed++) {
    const { end, fault } = await runOne(target, seed, scratch);
    ends.add(end);
    if (fault !== undefined) faults.push(`seed ${seed}: ${fault}`);
  }
  expect(faults).toEqual([]);
  // Inputs that all ended in the same way would have tested one line.
  expect(ends.size).toBeGreaterThan(1);
});

const fake = (run: Target["run"]): Target => ({ name: "fake", make: () => new Map(), run });

it("what is no VistaError, a success that is wrong and a raw escape code are faults", async () => {
  const scratch = temporaryFolder();
  const ends = [
    await runOne(
      fake(async () => undefined),
      1,
      scratch,
    ),
    await runOne(
      fake(() => Promise.reject(new RangeError("stack"))),
      1,
      scratch,
    ),
    await runOne(
      fake(() => Promise.reject(new Wrong("differs"))),
      1,
      scratch,
    ),
    await runOne(
      fake(() =>
        Promise.reject(Object.assign(new Error("a\u001b[31m"), { name: "VistaError", code: "FORMAT" })),
      ),
      1,
      scratch,
    ),
  ];
  expect(ends.map(({ fault }) => fault !== undefined)).toEqual([false, true, true, true]);
});

it("a seed gives the same input every time, another seed another one", () => {
  const bytes = (target: Target, seed: number) =>
    [...target.make(new Random(seed))].map(([name, file]) => [name, Buffer.from(file).toString("base64")]);
  for (const target of targets) {
    expect(bytes(target, 7)).toEqual(bytes(target, 7));
    expect(bytes(target, 7)).not.toEqual(bytes(target, 8));
  }
});
