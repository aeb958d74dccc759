/** What `inspect` says of the optimizer of checkpoints that real DeepSpeed saved; fixtures/make/worker.py trains with these numbers. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { inspectCheckpoint } from "../../../src/checkpoint/inspect.js";
import { FIXTURES } from "../../helpers/state.js";

async function optimizerOf(name: string) {
  return (await inspectCheckpoint(join(FIXTURES, "zero", name))).zero?.optimizer;
}

it("states, steps, learning rates and weight decay of each param group, stage 2", async () => {
  const optimizer = await optimizerOf("stage2-fp32-3ranks-groups");
  expect(optimizer?.states).toEqual({ exp_avg: "F32", exp_avg_sq: "F32" });
  expect(optimizer?.groups.map(({ step, weightDecay }) => [step, weightDecay])).toEqual([
    [2, 0.01],
    [2, 0.01],
    [2, 0.01],
  ]);
  const rates = optimizer?.groups.map(({ learningRate }) => Number(learningRate?.toFixed(6)));
  expect(rates).toEqual([0.01, 0.02, 0.03]);
});

it("learning rates that a scheduler left as numpy's numbers, as torch reads them", async () => {
  const optimizer = await optimizerOf("vista-phase1");
  expect(optimizer?.groups.map(({ learningRate, step }) => [learningRate, step])).toEqual([
    [2.0009980000000002e-8, 3],
    [2.0009980000000002e-9, 3],
  ]);
  expect(optimizer?.lossScale).toEqual({ value: 1, dynamic: false });
});

// `cur_scale` as torch.load shows it in the shards.
it.each(["stage2-fp16-2ranks", "stage3-fp16-2ranks"])("the loss scale of %s", async (name) => {
  const optimizer = await optimizerOf(name);
  expect(optimizer?.lossScale).toEqual({ value: 16, dynamic: true });
  expect(optimizer?.groups.map(({ step }) => step)).toEqual([2, 2, 2]);
});

it("old versions, aligned and mixed groups, five ranks: shown, without a warning", async () => {
  const names = readdirSync(join(FIXTURES, "zero")).filter((name) =>
    /0\.5\.|0\.9\.|vista|3-fp32-5|1-fp32-4|group-dtypes/.test(name),
  );
  for (const name of names) {
    const inspection = await inspectCheckpoint(join(FIXTURES, "zero", name));
    expect(
      inspection.warnings.filter((warning) => /optimizer is not shown/.test(warning)),
      name,
    ).toEqual([]);
    expect(inspection.zero?.optimizer, name).toBeDefined();
  }
  expect(names.length).toBeGreaterThan(8);
});

it("none without ZeRO and none of a universal checkpoint", async () => {
  expect(await optimizerOf("stage0-fp32-2ranks")).toBeUndefined();
  const universal = await inspectCheckpoint(join(FIXTURES, "universal/stage3-fp32-3ranks-frozen"));
  expect(universal.zero?.optimizer).toBeUndefined();
});
