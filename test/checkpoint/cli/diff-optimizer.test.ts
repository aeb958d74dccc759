/** `vista-ckpt diff --optimizer`: real checkpoints of one step on several numbers of ranks are equal, and what was changed is found. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { reshardCheckpoint } from "../../../src/checkpoint/reshard.js";
import type { Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import { writeUniversal } from "../../../src/checkpoint/to-universal.js";
import type { TorchTensor } from "../../../src/checkpoint/torch/values.js";
import { openZeroOptimizer, type ZeroOptimizer } from "../../../src/checkpoint/zero/optimizer.js";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, Instance, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures", import.meta.url));
const saved = (name: string, ranks: number) => join(FIXTURES, "reshard", `0.19.8-${name}`, `${ranks}ranks`);

async function diff(...args: string[]) {
  const { code, stdout, stderr } = await runCli("vista-ckpt", ["diff", "--optimizer", ...args, "--json"]);
  return { code, stderr, report: JSON.parse(stdout) };
}

/** A copy of a checkpoint in which the four bytes at the beginning of a tensor are others; its checksums are not made anew. */
async function changed(
  folder: string,
  which: (optimizer: ZeroOptimizer) => Promise<Tensor>,
): Promise<string> {
  const copy = copyFolder(folder, join(temporaryFolder(), "changed"));
  const optimizer = await openZeroOptimizer(copy);
  const { source } = await which(optimizer);
  await optimizer.close();
  if (source.kind !== "pieces") throw new Error("not in one place");
  const [piece] = source.pieces;
  const { region, start } = piece!;
  const bytes = readFileSync(region.file.path);
  bytes.writeFloatLE(bytes.readFloatLE(region.offset + start) + 1, region.offset + start);
  writeFileSync(region.file.path, bytes);
  return copy;
}

describe("the same step on other numbers of ranks", () => {
  it.each([
    ["stage1", 1, 2],
    ["stage2-round-robin", 2, 1],
    ["stage3", 4, 1],
    ["stage3", 2, 4],
  ])("%s, %i and %i as DeepSpeed saved it: equal", async (name, a, b) => {
    const { code, report } = await diff(saved(name, a), saved(name, b));
    // Three weights and two biases, each with its two moments.
    expect(report).toMatchObject({ equal: true, same: 15, close: 0, values: [], skippedValues: [] });
    expect(report.comparedValues).toEqual(expect.arrayContaining(["step", "lr", "betas", "weight_decay"]));
    expect(code).toBe(0);
  });

  it.each(["stage2-round-robin", "stage3"])("%s resharded, and as a universal one: equal", async (name) => {
    const folder = temporaryFolder();
    const [three, universal] = [join(folder, "three"), join(folder, "universal")];
    await reshardCheckpoint(saved(name, 1), three, { ranks: 3, fsync: false });
    await writeUniversal(saved(name, 2), universal, { fsync: false });
    for (const made of [three, universal]) {
      const { report } = await diff(saved(name, 1), made);
      expect(report).toMatchObject({ equal: true, same: 15, values: [] });
      expect(report.comparedValues).toEqual(expect.arrayContaining(["step", "lr"]));
    }
  });
});

describe("a change", () => {
  it("of one element of a moment is found by its name; with its checksum it is damage, not a difference", async () => {
    const other = await changed(
      saved("stage1", 2),
      async ({ groups }) => groups[1]!.parameters[0]!.states.get("exp_avg_sq")!,
    );
    const { code, report } = await diff(saved("stage1", 1), other, "--no-verify");
    expect(code).toBe(1);
    expect(report).toMatchObject({ equal: false, same: 14, values: [] });
    expect(report.different).toEqual([
      expect.objectContaining({ name: "0.bias/exp_avg_sq", differing: 1, maxAbsolute: expect.closeTo(1, 5) }),
    ]);
    // As near as that it is no difference.
    expect((await diff(saved("stage1", 1), other, "--no-verify", "--atol", "1.01")).code).toBe(0);
    const checked = await runCli("vista-ckpt", ["diff", "--optimizer", saved("stage1", 1), other]);
    expect([checked.code, checked.stderr]).toEqual([2, expect.stringContaining("damaged")]);
  });

  it.each(["stage1", "stage3"])(
    "of the step is found, with the parameters of its group: %s",
    async (name) => {
      const other = await changed(saved(name, 1), ({ groups, shards }) =>
        shards[0]!.torchFile.tensor(groups[1]!.values.get("step") as TorchTensor),
      );
      const { code, report } = await diff(saved(name, 2), other, "--no-verify");
      expect(code).toBe(1);
      expect(report).toMatchObject({ equal: false, same: 15, different: [] });
      expect(report.values).toEqual([{ key: "step", a: 3, b: 4, parameters: ["0.bias", "2.weight"] }]);
    },
  );

  it("of a learning rate is found, and printed in a line", async () => {
    const other = copyFolder(saved("stage3", 1), join(temporaryFolder(), "other"));
    const shard = join(other, "global_step3", "zero_pp_rank_0_mp_rank_00_optim_states.pt");
    const bytes = readFileSync(shard);
    const float = (value: number) => {
      const pickled = Buffer.from("G--------"); // BINFLOAT
      pickled.writeDoubleBE(value, 1);
      return pickled;
    };
    const at = bytes.indexOf(float(0.02));
    expect(at).toBeGreaterThan(0);
    float(0.5).copy(bytes, at);
    writeFileSync(shard, bytes);
    const args = ["diff", "--optimizer", "--no-verify", saved("stage3", 4), other];
    const { code, stdout } = await runCli("vista-ckpt", args);
    expect(code).toBe(1);
    expect(stdout).toContain("different values: 1\n  lr  0.02 ≠ 0.5, of 2 parameters: 0.bias, 2.weight\n");
    expect(stdout).toContain("different: 15 tensors the same\n");
    expect(stdout).toContain("nothing else of the checkpoints");
    expect((await runCli("vista-ckpt", [...args, "--atol", "0.48"])).code).toBe(0);
  });

  it("what only one side has is named: a step, and parameters with their states", async () => {
    const universal = join(temporaryFolder(), "universal");
    await writeUniversal(saved("stage1", 2), universal, { fsync: false });
    const zero = join(universal, "global_step3_universal", "zero");
    const parameters = readdirSync(zero).filter((name) => name.endsWith("weight") || name.endsWith("bias"));
    // One that lacks what the others of its group have: a copy that is not whole.
    rmSync(join(zero, "2.weight", "step.pt"));
    const args = ["diff", "--optimizer", universal, saved("stage1", 1)];
    expect(await runCli("vista-ckpt", args)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/the parameter 2\.weight has no step\.pt, \S+ of its group has one/),
    });
    for (const name of parameters) rmSync(join(zero, name, "step.pt"), { force: true });
    const { code, report } = await diff(universal, saved("stage1", 1));
    expect(code).toBe(1);
    expect(report).toMatchObject({ equal: false, same: 15, different: [] });
    expect(report.values).toEqual([{ key: "step", b: 3, parameters: expect.arrayContaining(parameters) }]);
    const phases = await diff(join(FIXTURES, "zero", "vista-phase1"), join(FIXTURES, "zero", "vista-phase2"));
    expect(phases.report).toMatchObject({ equal: false, same: 0 });
    expect(phases.report.onlyB).toContainEqual(expect.stringMatching(/q_adapter_down\.weight\/exp_avg$/));
  });
});

/** A checkpoint of stage 3 on one rank, whose optimizer has these values beside its flat states, and these settings. */
function stage3(values: Record<string, Fake>, settings: Record<string, Fake> = {}): string {
  const folder = join(temporaryFolder(), "run");
  const dict = (of: Record<string, Fake>) => new Map<Fake, Fake>(Object.entries(of));
  const state = dict({ step: new FakeTensor([3], []), ...values, exp_avg: new FakeTensor([1, 2, 3, 4]) });
  writeFakeCheckpoint(folder, {
    stage: 3,
    partitions: [[new FakeTensor([5, 6, 7, 8])]],
    paramShapes: [{ weight: [4] }],
    module: dict({ weight: new FakeTensor([], [0]) }),
    shard: () => ({
      optimizer_state_dict: dict({
        state: new Map<Fake, Fake>([[0, state]]),
        param_groups: [dict({ lr: 0.5, ...settings, params: [0] })],
      }),
    }),
  });
  return folder;
}

async function universalOf(folder: string): Promise<string> {
  const universal = join(temporaryFolder(), "universal");
  await writeUniversal(folder, universal, { fsync: false });
  return universal;
}

describe("what an optimizer keeps beside its flat states and its step", () => {
  it("is compared in universal checkpoints of stage 3 too", async () => {
    const values = (product: number) => stage3({ mu_product: new FakeTensor([product], []), eta: 0.25 });
    const [a, b] = [values(0.5), values(0.75)];
    const [universalA, universalB] = [await universalOf(a), await universalOf(b)];
    for (const [x, y] of [
      [a, b],
      [universalA, universalB],
      [a, universalB],
    ] as const) {
      const { code, report } = await diff(x, y);
      expect(code).toBe(1);
      expect(report).toMatchObject({ equal: false, same: 2 });
      expect(report.values).toEqual([{ key: "mu_product", a: 0.5, b: 0.75, parameters: ["weight"] }]);
    }
    const { code, report } = await diff(a, universalA);
    expect(code).toBe(0);
    expect(report.comparedValues).toEqual(expect.arrayContaining(["step", "mu_product", "eta"]));
  });
});

describe("hyperparameters", () => {
  it.each<[string, (value: number) => Fake]>([
    ["a list of forty items", (value) => Array.from({ length: 40 }, (_, i) => (i === 30 ? value : i))],
    ["a list within a list", (value) => [[0.9, value]]],
    ["a dict", (value) => new Map([["warmup", value]])],
    ["an object", (value) => new Instance("my", "Schedule", { warmup: value })],
    ["a tensor of two numbers", (value) => new FakeTensor([0.5, value])],
  ])("%s: compared", async (_, setting) => {
    const [a, b, c] = [0.25, 0.25, 0.125].map((value) => stage3({}, { mine: setting(value) }));
    expect(await diff(a!, b!)).toMatchObject({ code: 0, report: { equal: true, skippedValues: [] } });
    expect(await diff(a!, c!)).toMatchObject({
      code: 1,
      report: { equal: false, values: [{ key: "mine" }] },
    });
    const { stdout } = await runCli("vista-ckpt", ["diff", "--optimizer", a!, c!]);
    expect(stdout).toMatch(/mine {2}.*0\.25.* ≠ .*0\.125|mine {2}F32 \[2\] \(\w+\) ≠ F32/);
  });

  it("that cannot be compared are named, and nothing is called equal", async () => {
    let deep: Fake = [];
    for (let i = 0; i < 60; i++) deep = [deep];
    // Of several ranks it would be refused, since theirs must be the same.
    const { code, report } = await diff(stage3({}, { mine: deep }), stage3({}, { mine: deep }));
    expect([code, report.equal, report.skippedValues]).toEqual([1, false, ["mine"]]);
  });
});

it.each([
  [["--key", "model", saved("stage1", 1), saved("stage1", 2)], /--key names a state dict/],
  [[join(FIXTURES, "zero", "stage0-fp32-2ranks"), saved("stage1", 2)], /without optimizer shards/],
  [
    [join(FIXTURES, "safetensors", "dtypes.safetensors"), saved("stage1", 2)],
    /a ZeRO checkpoint is a folder/,
  ],
])("trouble is one line and exit code 2", async (args, message) => {
  const { code, stdout, stderr } = await runCli("vista-ckpt", ["diff", "--optimizer", ...args]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(message);
  expect(stderr.trimEnd().split("\n")).toHaveLength(1);
});
