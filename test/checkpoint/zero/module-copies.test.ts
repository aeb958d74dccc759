/**
 * Files of two moments in one folder, where no step tells them apart: the optimizer has none (SGD), or its shards are all of one
 * moment and the model states of another. In stage 1 and 2 the copies of the weights in `module` do.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { reshardCheckpoint } from "../../../src/checkpoint/reshard.js";
import { writeUniversal } from "../../../src/checkpoint/to-universal.js";
import { verifyCheckpoint } from "../../../src/checkpoint/verify.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const ZERO = fileURLToPath(new URL("../../../fixtures/zero", import.meta.url));
const RANKS = 3;
const EACH = 400;
const WEIGHTS = Array.from({ length: RANKS * EACH }, (_, i) => i / 8);

/** Writes a checkpoint of two parameters of 600 elements, by default with an optimizer that counts no step. */
function write(
  module: Map<Fake, Fake>,
  stage: 2 | 3 = 2,
  { model, step }: { model?: Record<string, Fake>; step?: number } = {},
): string {
  const folder = temporaryFolder();
  const sgd = {
    state: new Map<Fake, Fake>(step === undefined ? [] : [[0, new Map<Fake, Fake>([["step", step]])]]),
    param_groups: [new Map<Fake, Fake>(Object.entries({ lr: 0.1, params: [0] }))],
  };
  const partitions = Array.from({ length: RANKS }, (_, rank) => [
    new FakeTensor(WEIGHTS.slice(rank * EACH, (rank + 1) * EACH)),
  ]);
  writeFakeCheckpoint(folder, {
    stage,
    partitions,
    paramShapes: [{ a: [600], b: [600] }],
    module,
    model,
    shard: () => ({ base_optimizer_state: new Map<Fake, Fake>(Object.entries(sgd)) }),
  });
  return folder;
}

/** Returns what is said of such a checkpoint where it is opened. */
async function warnings(module: Map<Fake, Fake>, stage: 2 | 3 = 2) {
  await using ckpt = await openCheckpoint(write(module, stage));
  return ckpt.warnings;
}

const moduleOf = (weights: readonly number[]) =>
  new Map<Fake, Fake>([
    ["a", new FakeTensor(weights.slice(0, 600))],
    ["b", new FakeTensor(weights.slice(600))],
  ]);

it("copies that are the optimizer's weights, in 32 bits or rounded to 16, and placeholders of stage 3: nothing is said", async () => {
  expect(await warnings(moduleOf(WEIGHTS))).toEqual([]);
  const bf16 = (weights: readonly number[]) => {
    // Numbers of this size and step have at most 8 bits up to 32; the others are rounded, ties to even, as torch does.
    const bits = new Uint32Array(Float32Array.from(weights).buffer);
    const halves = Uint16Array.from(bits, (bit) => (bit + 0x7fff + ((bit >>> 16) & 1)) >>> 16);
    return new FakeTensor(new Uint8Array(halves.buffer), [weights.length], {
      storageClass: "BFloat16Storage",
    });
  };
  const halved = new Map<Fake, Fake>([
    ["a", bf16(WEIGHTS.slice(0, 600))],
    ["b", bf16(WEIGHTS.slice(600))],
  ]);
  expect(await warnings(halved)).toEqual([]);
  const placeholders = new Map<Fake, Fake>([
    ["a", new FakeTensor([])],
    ["b", new FakeTensor([])],
  ]);
  expect(await warnings(placeholders, 3)).toEqual([]);
});

it.each([
  [0, "a"],
  [1, "a, b"],
  [2, "b"],
])(
  "the shard of rank %i is of another moment than the model states: its parameters are named",
  async (rank, names) => {
    const other = WEIGHTS.map((weight, i) => (Math.floor(i / EACH) === rank ? weight + 1 : weight));
    expect(await warnings(moduleOf(other))).toEqual([
      expect.stringMatching(
        new RegExp(
          `^\\d trained parameters?, of a few .* with other weights in .module.* two moments.*: ${names}$`,
        ),
      ),
    ]);
  },
);

it("before the first step the optimizer's weights may be others by weight decay, as DeepSpeed 0.10.1 leaves them; later they may not", async () => {
  const report = await verifyCheckpoint(join(ZERO, "deepspeed-0.10.1-stage2-fp32-2ranks-no-step"));
  expect(report.problems).toEqual([]);

  const said = async (model: Record<string, Fake>, step?: number) => {
    const decayed = moduleOf(WEIGHTS.map((weight) => weight + 1));
    await using ckpt = await openCheckpoint(write(decayed, 2, { model, step }));
    return ckpt.zero!.doubts.length;
  };
  expect(await said({ global_steps: 0 })).toBe(0);
  expect(await said({ global_steps: 0 }, 1)).toBe(0);
  expect(await said({ global_steps: 3, skipped_steps: 3 }, 1)).toBe(0);
  expect(await said({ global_steps: 0 }, 2)).toBe(1);
  expect(await said({ global_steps: 1 }, 1)).toBe(1);
  expect(await said({ global_steps: 4, skipped_steps: 3 })).toBe(1);
  expect(await said({ skipped_steps: 3 })).toBe(1);
});

it("reshard and to-universal say it too", async () => {
  const jobs = (folder: string) => [
    reshardCheckpoint(folder, undefined, { ranks: 2, dryRun: true }),
    writeUniversal(folder, undefined, { dryRun: true }),
  ];
  for (const job of jobs(write(moduleOf(WEIGHTS)))) expect((await job).warnings).toEqual([]);
  const other = WEIGHTS.map((weight, i) => (i < EACH ? weight + 1 : weight));
  for (const job of jobs(write(moduleOf(other))))
    expect((await job).warnings).toEqual([
      expect.stringMatching(
        /^1 trained parameter, of a few .* two moments.*; DeepSpeed goes on with the optimizer's: a$/,
      ),
    ]);
});

it("weights that became NaN are copies of one another, whatever bits a GPU or a CPU gives NaN; a number in its place is not", async () => {
  // CUDA rounds every NaN to 0x7fff in bf16 and in fp16, torch on a CPU to 0x7fc0 and 0x7e00.
  const said = async (storageClass: string, bits: number) => {
    const folder = temporaryFolder();
    const partitions = [[new FakeTensor(new Array<number>(300).fill(Number.NaN))]];
    const copy = new Uint8Array(new Uint16Array(300).fill(bits).buffer);
    const module = new Map<Fake, Fake>([["a", new FakeTensor(copy, [300], { storageClass })]]);
    writeFakeCheckpoint(folder, { stage: 2, partitions, paramShapes: [{ a: [300] }], module });
    await using ckpt = await openCheckpoint(folder);
    return ckpt.zero!.doubts.length;
  };
  for (const bits of [0x7fff, 0xffff, 0x7fc0]) expect(await said("BFloat16Storage", bits)).toBe(0);
  for (const bits of [0x7fff, 0xffff, 0x7e00]) expect(await said("HalfStorage", bits)).toBe(0);
  expect(await said("BFloat16Storage", 0x7f80)).toBe(1);
});
