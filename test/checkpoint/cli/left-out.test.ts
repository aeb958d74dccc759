/** What a command does not look at, leaves out or changes is named, and `equal` is said only of what was compared. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { diffStates } from "../../../src/checkpoint/diff.js";
import { StateDict } from "../../../src/checkpoint/tensor/tensor.js";
import { runCli } from "../../helpers/cli.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";
import {
  type Fake,
  type FakeCheckpoint,
  FakeTensor,
  Instance,
  Tuple,
  torchZip,
  writeFakeCheckpoint,
} from "../../helpers/torch-file.js";

const t = (...values: number[]) => new FakeTensor(values);
const dict = (of: Record<string, Fake>) => new Map<Fake, Fake>(Object.entries(of));

function save(value: Fake): string {
  const path = join(temporaryFolder(), "x.pt");
  writeFileSync(path, torchZip(value));
  return path;
}

/** One rank, one trained parameter of two elements, and what is given. */
function zero(of: Partial<FakeCheckpoint> & { module?: Map<Fake, Fake> } = {}): string {
  const folder = temporaryFolder();
  writeFakeCheckpoint(folder, {
    stage: 2,
    partitions: [[t(1, 2)]],
    paramShapes: [{ w: [2] }],
    ...of,
    module: new Map<Fake, Fake>([["w", t(1, 2)], ...(of.module ?? [])]),
  });
  return folder;
}

const json = async (...args: string[]) =>
  JSON.parse((await runCli("vista-ckpt", [...args, "--json"])).stdout);

/** Merges into safetensors: the dtypes by name, what the values of `name` are, and what was said on stderr. */
async function merged(folder: string) {
  const output = join(temporaryFolder(), "m.safetensors");
  const { code, stderr } = await runCli("vista-ckpt", ["merge", folder, "-o", output]);
  expect(code, stderr).toBe(0);
  const { tensors } = await json("inspect", output);
  const dtypes = Object.fromEntries(
    tensors.map(({ name, dtype }: { name: string; dtype: string }) => [name, dtype]),
  );
  return { dtypes, stderr, bytes: readFileSync(output) };
}

const wide = (value: bigint) =>
  new FakeTensor(new Uint8Array(BigInt64Array.of(value).buffer), [1], { storageClass: "LongStorage" });
const double = (value: number) =>
  new FakeTensor(new Uint8Array(Float64Array.of(value).buffer), [1], { storageClass: "DoubleStorage" });
const flag = new FakeTensor(Uint8Array.of(1), [1], { storageClass: "BoolStorage" });
const complex = new FakeTensor(new Uint8Array(Float32Array.of(1, 2).buffer), [1], {
  storageClass: "ComplexFloatStorage",
});

describe("the dtype of buffers goes by the version of DeepSpeed", () => {
  const buffers = { i: wide(2n ** 24n + 1n), b: flag, c: complex };
  const module = dict(buffers);
  const names = Object.keys(buffers);

  it("that only the shards say", async () => {
    const folder = zero({ module, buffers: names, version: "0.19.8", model: { ds_version: null } });
    const { dtypes, stderr } = await merged(folder);
    expect(dtypes).toEqual({ i: "I64", b: "BOOL", c: "C64", w: "F32" });
    expect(stderr).toBe("");
    const older = zero({ module, buffers: names, version: "0.10.1", model: { ds_version: null } });
    expect((await merged(older)).dtypes).toEqual({ i: "F32", b: "F32", c: "F32", w: "F32" });
  });

  it.each([null, "unknown"])("%s in all files: nothing is changed, and that is said", async (version) => {
    const folder = zero({
      module,
      buffers: names,
      model: { ds_version: version },
      shard: () => ({ ds_version: version }),
      version,
    });
    const { dtypes, stderr, bytes } = await merged(folder);
    expect(dtypes).toEqual({ i: "I64", b: "BOOL", c: "C64", w: "F32" });
    expect(stderr).toMatch(
      /no file says the version of DeepSpeed: 3 buffers of integers and the like kept.*: i, b, c/,
    );
    expect(bytes.includes(Buffer.from(BigInt64Array.of(2n ** 24n + 1n).buffer))).toBe(true);
  });

  it("before 0.19.8, float32 as the reference makes it: values that change are named, others are not", async () => {
    const module = dict({ ...buffers, small: wide(7n), d: double(0.1), e: double(0.5) });
    const folder = zero({ module, buffers: [...module.keys()] as string[], version: "0.16.0" });
    const { dtypes, stderr } = await merged(folder);
    expect(new Set(Object.values(dtypes))).toEqual(new Set(["F32"]));
    expect(stderr).toMatch(
      /3 buffers with values that float32 cannot hold.*DeepSpeed 0\.16\.0 does: i, c, d$/m,
    );
  });
});

describe("what is left out is named", () => {
  it("buffers that are listed and not in module", async () => {
    const module = dict({ "a._orig_mod.mean": t(1) });
    const folder = zero({ module, buffers: ["a.mean", "gone", "gone.too"] });
    const { stderr, dtypes } = await merged(folder);
    expect(stderr).toMatch(/2 buffers listed in buffer_names and not in `module`.*: gone, gone\.too$/m);
    expect(Object.keys(dtypes)).toEqual(["a._orig_mod.mean", "w"]);
  });

  it("not an empty buffer of a wrapped module in stage 3, which is no placeholder", async () => {
    const folder = zero({
      stage: 3,
      module: dict({ w: new FakeTensor([], [0]), "a.empty": new FakeTensor([], [0, 2]) }),
      buffers: ["a._checkpoint_wrapped_module.empty"],
    });
    const { dtypes, stderr } = await merged(folder);
    expect(dtypes).toEqual({ w: "F32", "a.empty": "F32" });
    expect(stderr).toBe("");
    const lost = zero({
      stage: 3,
      module: dict({ w: new FakeTensor([], [0]), "a.lost": new FakeTensor([], [0]) }),
    });
    const { code, stderr: said } = await runCli("vista-ckpt", ["merge", lost, "-o", join(lost, "m.bin")]);
    expect(code).toBe(1);
    expect(said).toMatch(/only placeholders for them: a\.lost/);
  });

  it("tensors of the model states beside module, by merge, to-st, inspect and diff", async () => {
    const folder = zero({
      model: { ema: dict({ w: t(5, 6) }), shadow: [t(1), t(2)], callbacks: dict({ x: t(1) }) },
    });
    const said = /left out tensors that are not in the state dict: 1 under ema, 2 under shadow/;
    expect((await merged(folder)).stderr).toMatch(said);
    const output = join(temporaryFolder(), "o.safetensors");
    const converted = await runCli("vista-ckpt", ["to-st", folder, "--raw", "-o", output]);
    expect(converted).toMatchObject({ code: 0, stderr: expect.stringMatching(said) });
    const inspected = await runCli("vista-ckpt", ["inspect", folder]);
    expect(inspected.stderr).toMatch(said);
    expect(inspected.stdout).toMatch(
      /tensors outside of the state dict: 3: ema \(1\), shadow \(2\), callbacks \(1\)/,
    );
    const diff = await runCli("vista-ckpt", ["diff", folder, folder]);
    expect(diff.code).toBe(1);
    expect(diff.stdout).toMatch(/not compared:.*1 tensor under ema/s);
    expect(diff.stdout).toMatch(/^no difference in what was compared: 1 tensor the same/m);
  });

  it("of a real checkpoint nothing but what is no model's", async () => {
    const { warnings } = await json("merge", join(FIXTURES, "zero/vista-phase2"), "--dry-run");
    expect(warnings).toEqual([]);
  });

  it.each<[string, Fake]>([
    [
      "a module that was pickled whole",
      new Instance("n", "Net", { _parameters: dict({ w: t(9) }), _modules: dict({}) }),
    ],
    ["a list of tensors", [t(9)]],
    ["a tuple within a dict", dict({ averages: new Tuple(t(9)) })],
    ["a smaller dict", dict({ w: t(9) })],
  ])("beside the state dict of a file: %s", async (_, module) => {
    const path = save(dict({ state_dict: dict({ w: t(1), v: t(2) }), module }));
    const output = join(temporaryFolder(), "o.safetensors");
    const { code, stderr } = await runCli("vista-ckpt", ["to-st", path, "--raw", "-o", output]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/left out tensors that are not in the state dict: 1 under module/);
    const diff = await runCli("vista-ckpt", ["diff", path, path]);
    expect(diff).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/not compared: 2\n.*1 tensor under module/),
    });
    expect((await runCli("vista-ckpt", ["inspect", path])).stderr).toMatch(/1 under module/);
  });

  it("tensors under keys that are no names, by verify", async () => {
    const weights = new Map<Fake, Fake>([
      ["w", t(1)],
      [new Tuple("a", 1), t(2)],
      [0.5, t(3)],
    ]);
    for (const [value, place] of [
      [weights, ""],
      [dict({ state_dict: weights }), "state_dict: "],
    ] as const) {
      const { code, stdout } = await runCli("vista-ckpt", ["verify", save(value)]);
      expect(code).toBe(0);
      expect(stdout).toContain(
        `2 tensors under keys that are no names, which no command can read: ${place}(a, 1) is no text, ${place}0.5 is no text`,
      );
    }
    const optimizer = dict({ state: new Map<Fake, Fake>([[0, dict({ exp_avg: t(1) })]]) });
    expect(
      (await runCli("vista-ckpt", ["verify", save(dict({ state_dict: dict({ w: t(1) }), optimizer }))]))
        .stdout,
    ).not.toMatch(/no names/);
  });
});

describe("diff says equal only of what was compared", () => {
  it("of two empty state dicts: nothing was compared", async () => {
    const empty = save(dict({}));
    expect(await runCli("vista-ckpt", ["diff", empty, empty])).toMatchObject({
      code: 1,
      stdout: "nothing was compared: 0 tensors the same\n",
    });
    expect((await json("diff", empty, empty)).equal).toBe(false);
    expect((await diffStates(new StateDict([]), new StateDict([]))).equal).toBe(false);
  });

  it("the optimizers of two ZeRO checkpoints are not, and that is said before the verdict", async () => {
    const one = join(FIXTURES, "zero/stage2-fp32-2ranks");
    const { code, stdout } = await runCli("vista-ckpt", ["diff", one, one]);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^not compared: 2\n {2}\S+: the optimizer, which --optimizer compares\n.*\nstate dicts equal: /ms,
    );
    expect((await json("diff", one, one)).notCompared[0]).toEqual({
      path: one,
      key: "optimizer_state_dict",
      model: false,
    });
  });

  it("tensors of a shard that the index does not place there are not", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "s.bin"), torchZip(dict({ w: t(1), extra: t(2) })));
    const index = { metadata: { total_size: 4 }, weight_map: { w: "s.bin" } };
    writeFileSync(join(folder, "s.bin.index.json"), JSON.stringify(index));
    const { code, stdout } = await runCli("vista-ckpt", ["diff", folder, folder]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/not compared: 2\n.*1 tensor under s\.bin/);
  });
});
