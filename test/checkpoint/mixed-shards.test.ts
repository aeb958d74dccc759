/** Shards of two runs under one index, of the same names, shapes and sizes: nothing is made of them. */
import { copyFileSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { diffStates } from "../../src/checkpoint/diff.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../src/checkpoint/tensor/typed-array.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { temporaryFolder } from "../helpers/state.js";

const state = (value: number) =>
  new StateDict(
    ["a", "b", "none", "c"].map((name, i) => {
      const values = new Float32Array(name === "none" ? 0 : 300).fill(value + i);
      return [name, tensorFrom(values, [values.length])];
    }),
  );

/** Two sets, and one that has a shard of the second. */
async function sets(name: string): Promise<{ whole: string; mixed: string }> {
  const folder = temporaryFolder();
  const at = (set: string) => join(folder, set);
  for (const [set, value] of [
    ["first", 1],
    ["second", 2],
    ["mixed", 1],
  ] as const) {
    mkdirSync(at(set));
    await saveCheckpoint(state(value), join(at(set), name), { maxShardSize: 2500, fsync: false });
  }
  const shard = readdirSync(at("second"))
    .filter((file) => file.includes("-of-"))
    .sort()
    .at(-1)!;
  copyFileSync(join(at("second"), shard), join(at("mixed"), shard));
  return { whole: at("first"), mixed: at("mixed") };
}

describe.each(["model.safetensors", "pytorch_model.bin"])("a set of %s", (name) => {
  it("that is whole is read, from shards to one file and to shards", async () => {
    const { whole } = await sets(name);
    const checkpoint = await openCheckpoint(whole);
    for (const [i, maxShardSize] of [undefined, 2000].entries()) {
      const folder = join(temporaryFolder(), String(i));
      mkdirSync(folder);
      await saveCheckpoint(checkpoint.state, join(folder, name), {
        ...(maxShardSize && { maxShardSize }),
        fsync: false,
      });
      const back = await openCheckpoint(maxShardSize === undefined ? join(folder, name) : folder);
      expect(await diffStates(back.state, state(1))).toMatchObject({ equal: true, same: 4 });
      await back.close();
    }
    await checkpoint.close();
  });

  it("with a shard of another run is no input, and no output is left of it", async () => {
    const { mixed } = await sets(name);
    const output = join(temporaryFolder(), "out.safetensors");
    const saved = (async () => {
      await using checkpoint = await openCheckpoint(mixed);
      await saveCheckpoint(checkpoint.state, output, { fsync: false });
    })();
    await expect(saved).rejects.toMatchObject({
      code: "INCONSISTENT",
      message: expect.stringMatching(
        /-00002-of-00002\.\w+: the shard has CRC-32 0x\w+, its index says 0x\w+/,
      ),
    });
    expect(existsSync(output)).toBe(false);
    expect((await verifyCheckpoint(mixed)).problems).toHaveLength(1);
  });

  it("with a shard of another run is not compared; without verification it is", async () => {
    const { mixed } = await sets(name);
    const compared = async (verify: boolean) => {
      await using checkpoint = await openCheckpoint(mixed, { verify });
      return await diffStates(checkpoint.state, state(1), { verify });
    };
    await expect(compared(true)).rejects.toMatchObject({ code: "INCONSISTENT" });
    expect(await compared(false)).toMatchObject({ equal: false });
  });
});
