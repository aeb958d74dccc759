/** The optimizer of real checkpoints as a plan: what it says against what the merge says and against what torch wrote. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readTensor } from "../../../src/checkpoint/copy/read-tensor.js";
import { openZeroCheckpoint } from "../../../src/checkpoint/zero/open.js";
import { openZeroOptimizer } from "../../../src/checkpoint/zero/optimizer.js";

const ZERO = fileURLToPath(new URL("../../../fixtures/zero", import.meta.url));
const sharded = readdirSync(ZERO).filter((name) => !name.startsWith("stage0-"));
/** The merge refuses these two; their optimizers can be read. */
const NOT_MERGED = ["stage1-bf16-optimizer-3ranks", "stage3-fp32-2ranks-orphans"];

describe("openZeroOptimizer", () => {
  it("has the fp32 master of every trained parameter, as the merge has it", async () => {
    let compared = 0;
    // Collected, since thousands of assertions take longer than what they compare.
    const wrong: string[] = [];
    for (const name of sharded.filter((name) => !NOT_MERGED.includes(name))) {
      const optimizer = await openZeroOptimizer(join(ZERO, name));
      const merged = await openZeroCheckpoint(join(ZERO, name));
      try {
        const parameters = optimizer.groups.flatMap((group) => group.parameters);
        expect(parameters.length, name).toBe(merged.info.counts.trained);
        for (const { name: parameter, fp32, shape } of parameters) {
          const expected = merged.state.tensors.get(parameter)!;
          const [bytes, merges] = [await readTensor(fp32), await readTensor(expected)];
          if (String(shape) !== String(expected.shape) || Buffer.compare(bytes, merges) !== 0)
            wrong.push(`${name} ${parameter}`);
          compared++;
        }
      } finally {
        await optimizer.close();
        await merged.state.close();
      }
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(500);
  });

  it("knows the states of AdamW and SGD, and tells flat ones from the step", async () => {
    const states = async (name: string) => {
      const optimizer = await openZeroOptimizer(join(ZERO, name));
      await optimizer.close();
      return optimizer.groups.map((group) => [[...group.stateTypes], [...group.values.keys()]]);
    };
    const adam = [
      [
        ["exp_avg", "F32"],
        ["exp_avg_sq", "F32"],
      ],
      ["step"],
    ];
    expect(await states("stage2-bf16-2ranks-odd")).toEqual([adam, adam, adam]);
    expect(await states("stage1-bf16-optimizer-3ranks")).toEqual([adam, adam, adam]);
    expect(await states("stage3-fp32-3ranks-groups")).toEqual([adam, adam, adam]);
    expect(await states("deepspeed-0.5.3-stage2-fp32-3ranks")).toEqual([[[["momentum_buffer", "F32"]], []]]);
  });

  it("refuses a checkpoint without ZeRO by that name", async () => {
    await expect(openZeroOptimizer(join(ZERO, "stage0-fp32-2ranks"))).rejects.toThrow(
      /a checkpoint without optimizer shards/,
    );
  });
});
