/** What a shard says of how it is laid out: gaps, types of groups, and what is not known. */
import { copyFileSync, cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../../src/checkpoint/inspect.js";
import { openZeroCheckpoint } from "../../../src/checkpoint/zero/open.js";
import { openZeroOptimizer } from "../../../src/checkpoint/zero/optimizer.js";
import { bytesOf, floatsOf, temporaryFolder } from "../../helpers/state.js";
import {
  Call,
  type Fake,
  FakeTensor,
  Instance,
  Tuple,
  writeFakeCheckpoint,
} from "../../helpers/torch-file.js";

const ZERO = fileURLToPath(new URL("../../../fixtures/zero/", import.meta.url));

/** Two parameters of 5 and 8 elements over two ranks, with a gap of 3 that the padding of a group would hide. */
function aligned(paddings: Fake): string {
  const folder = temporaryFolder();
  writeFakeCheckpoint(folder, {
    stage: 2,
    partitions: [
      [new FakeTensor([1, 2, 3, 4, 5, -1, -1, -1])],
      [new FakeTensor([11, 12, 13, 14, 15, 16, 17, 18])],
    ],
    paramShapes: [{ bias: [5], weight: [8] }],
    shard: () => ({ param_alignment_paddings: paddings }),
  });
  return folder;
}

describe("param_alignment_paddings", () => {
  it("gaps between aligned parameters are skipped", async () => {
    const { state } = await openZeroCheckpoint(aligned([[3, 0]]));
    expect(await floatsOf(state.tensors.get("bias")!)).toEqual([1, 2, 3, 4, 5]);
    expect(await floatsOf(state.tensors.get("weight")!)).toEqual([11, 12, 13, 14, 15, 16, 17, 18]);
    await state.close();
  });

  it.each<[string, Fake, RegExp]>([
    ["for another number of parameters", [[3, 0, 0]], /2 parameters, param_alignment_paddings has 3/],
    ["for no group", [], /param_alignment_paddings has none/],
    ["that are no counts", [["3", 0]], /not a list of counts/],
    ["that need more than there is", [[30, 0]], /need 43 elements, the ranks hold 16/],
  ])("paddings %s are refused", async (_, paddings, message) => {
    await expect(openZeroCheckpoint(aligned(paddings))).rejects.toThrow(message);
  });

  it("shards that differ in them are of two runs", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])], [new FakeTensor([3, 4])]],
      paramShapes: [{ a: [4] }],
      shard: (rank) => ({ param_alignment_paddings: [[rank]] }),
    });
    await expect(openZeroCheckpoint(folder)).rejects.toThrow(/differ in param_alignment_paddings/);
  });
});

describe("keys of a shard that are not known", () => {
  const withKey = (key: string, value: Fake, stage: 2 | 3 = 2) => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage,
      partitions: [[new FakeTensor([1, 2, 3, 4])]],
      paramShapes: [{ a: [4] }],
      shard: () => ({ [key]: value }),
    });
    return openZeroCheckpoint(folder);
  };

  it.each<[string, Fake]>([
    ["param_interleaving", [[1, 0]]],
    ["flat_order", new Map<Fake, Fake>([["a", 1]])],
    ["layout_version", 2],
  ])("%s is refused by its name", async (key, value) => {
    for (const stage of [2, 3] as const) {
      await expect(withKey(key, value, stage)).rejects.toMatchObject({
        code: "UNSUPPORTED",
        message: expect.stringContaining(`DeepSpeed 0.16.0 has the key "${key}"`),
      });
    }
  });

  it("one that says nothing is no reason", async () => {
    const { state } = await withKey("something_new", null);
    await state.close();
    expect([...state.tensors.keys()]).toEqual(["a"]);
  });

  it("partition groups of expert parameters (AutoEP) are refused by name", async () => {
    await expect(withKey("ds_zero_partition_groups", [1], 3)).rejects.toThrow(/AutoEP/);
  });
});

it("MiCS is refused by its name, not as two runs", async () => {
  const folder = temporaryFolder();
  const config = new Map<Fake, Fake>([["mics_shard_size", 2]]);
  writeFakeCheckpoint(folder, {
    stage: 3,
    partitions: [[new FakeTensor([1, 2])], [new FakeTensor([3, 4])]],
    paramShapes: [{ a: [4] }],
    model: { dp_world_size: 4, ds_config: new Map<Fake, Fake>([["zero_optimization", config]]) },
  });
  await expect(openZeroCheckpoint(folder)).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringMatching(/a MiCS checkpoint: 4 ranks in groups of 2/),
  });
});

describe("groups of several types", () => {
  const half = (...bits: number[]) =>
    new FakeTensor(new Uint8Array(Uint16Array.from(bits).buffer), [bits.length], {
      storageClass: "HalfStorage",
    });
  const double = (...values: number[]) =>
    new FakeTensor(new Uint8Array(Float64Array.from(values).buffer), [values.length], {
      storageClass: "DoubleStorage",
    });

  it.each([2, 3] as const)("stage %i: each is read in its own", async (stage) => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage,
      partitions: [
        [new FakeTensor([1, 2]), double(0.1, 0.2), half(0x3c00, 0x4000)],
        [new FakeTensor([3, 4]), double(0.3, 0.4), half(0x4200, 0x4400)],
      ],
      paramShapes: [{ a: [4] }, { b: [4] }, { c: [4] }],
    });
    const { state } = await openZeroCheckpoint(folder);
    expect([...state.tensors.values()].map(({ dtype }) => dtype)).toEqual(["F32", "F64", "F16"]);
    expect(await floatsOf(state.tensors.get("a")!)).toEqual([1, 2, 3, 4]);
    expect([...new Float64Array((await bytesOf(state.tensors.get("b")!)).buffer)]).toEqual([
      0.1, 0.2, 0.3, 0.4,
    ]);
    expect([...new Uint16Array((await bytesOf(state.tensors.get("c")!)).buffer)]).toEqual([
      0x3c00, 0x4000, 0x4200, 0x4400,
    ]);
    await state.close();
  });

  it("a rank that holds nothing of a group says nothing of its type", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[double(1, 2)], [new FakeTensor([])]],
      paramShapes: [{ a: [2] }],
    });
    const { state } = await openZeroCheckpoint(folder);
    expect(state.tensors.get("a")!.dtype).toBe("F64");
    expect([...new Float64Array((await bytesOf(state.tensors.get("a")!)).buffer)]).toEqual([1, 2]);
    await state.close();
  });

  it("ranks that differ in them are of two runs", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])], [double(3, 4)]],
      paramShapes: [{ a: [4] }],
    });
    await expect(openZeroCheckpoint(folder)).rejects.toThrow(/differ in the dtype of group 0/);
  });
});

describe("names that a wrapper or a hook changed", () => {
  it.each([
    ["stage2-bf16-2ranks-wrapped", 7],
    ["stage1-bf16-2ranks-renamed", 5],
    ["stage3-bf16-2ranks-wrapped", 7],
  ])("%s: no 16-bit copy where the optimizer has the weights", async (name, renamed) => {
    const { state, info } = await openZeroCheckpoint(join(ZERO, name));
    await state.close();
    expect(info.renamed.length).toBe(renamed);
    for (const [alias, source] of info.renamed) {
      expect(state.tensors.get(alias)).toBe(state.tensors.get(source));
      if (!info.frozen.includes(source)) expect(state.tensors.get(alias)!.dtype).toBe("F32");
      expect(info.recovered).not.toContain(alias);
    }
  });

  it("stage 3 with names of a hook is merged under the optimizer's, and says so", async () => {
    const { state, info } = await openZeroCheckpoint(join(ZERO, "stage3-bf16-2ranks-renamed"));
    await state.close();
    expect(state.tensors.has("blocks.0.weight")).toBe(true);
    expect(state.tensors.has("layers.0.weight")).toBe(false);
    expect(info.warnings).toEqual([
      expect.stringMatching(/^5 names of `module` have only placeholders.*layers\.0\.weight/),
    ]);
  });

  it("of stage 3 are left out with the frozen parameters whose they are", async () => {
    const folder = join(ZERO, "stage3-bf16-2ranks-twice");
    const { state, info } = await openZeroCheckpoint(folder, { excludeFrozen: true });
    await state.close();
    // What zero_to_fp32.py --exclude_frozen_parameters writes, and the second names of what it trains; `again` is `conv`, which is frozen.
    expect([...state.tensors.keys()]).toEqual([
      ...["norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "embed.weight", "norm.weight"],
      ...["norm.bias", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias", "head.weight"],
      ...["blocks.2.weight", "blocks.2.bias"],
    ]);
    expect(info.recovered).toEqual([]);
  });

  it("of stage 2 are left out with the frozen parameters whose they are, not recovered", async () => {
    const folder = temporaryFolder();
    const frozen = new FakeTensor([5, 6]);
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])]],
      paramShapes: [{ w: [2] }],
      module: new Map<Fake, Fake>([
        ["again", frozen],
        ["a", frozen],
        ["w", new FakeTensor([1, 2])],
      ]),
      model: {
        frozen_param_shapes: new Map<Fake, Fake>([["a", new Tuple(2)]]),
        frozen_param_fragments: new Map<Fake, Fake>([["a", frozen]]),
      },
    });
    const { state, info } = await openZeroCheckpoint(folder, { excludeFrozen: true });
    await state.close();
    expect([...state.tensors.keys()]).toEqual(["w"]);
    expect(info.recovered).toEqual([]);
  });

  it("a tensor of the same shape but other values is an orphan of its own, not a parameter's second name", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2, 3, 4])]],
      paramShapes: [{ a: [4] }],
      module: new Map<Fake, Fake>([
        ["b", new FakeTensor([5, 6, 7, 8])],
        ["c", new FakeTensor([1, 2, 3, 4])],
      ]),
    });
    const { state, info } = await openZeroCheckpoint(folder);
    expect(info.recovered).toEqual(["b"]);
    expect(info.renamed).toEqual([["c", "a"]]);
    expect(await floatsOf(state.tensors.get("b")!)).toEqual([5, 6, 7, 8]);
    await state.close();
  });
});

describe("a name listed twice", () => {
  const twice = (stage: 2 | 3, paramShapes: Record<string, number[]>[], model: Record<string, Fake> = {}) => {
    const folder = temporaryFolder();
    const groups = paramShapes.map(() => new FakeTensor([1, 2]));
    writeFakeCheckpoint(folder, { stage, partitions: [groups], paramShapes, model });
    return openZeroCheckpoint(folder);
  };

  it.each([2, 3] as const)(
    "in two param groups of stage %i is refused, since one would be lost",
    async (stage) => {
      await expect(twice(stage, [{ a: [2] }, { a: [2] }])).rejects.toThrow(/a is listed twice/);
    },
  );

  it("as a buffer and as a trained parameter is refused", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])]],
      paramShapes: [{ a: [2] }],
      module: new Map<Fake, Fake>([["a", new FakeTensor([1, 2])]]),
      model: { buffer_names: ["a"] },
    });
    await expect(openZeroCheckpoint(folder)).rejects.toThrow(/a is listed twice, as a buffer and as a par/);
  });

  // DeepSpeed does so with what was frozen when the optimizer had it already (the fixtures `frozen-later`).
  it.each([2, 3] as const)("as frozen and as trained in stage %i is the optimizer's", async (stage) => {
    const frozen = {
      frozen_param_shapes: new Map<Fake, Fake>([
        ["a", new Tuple(2)],
        ["b", new Tuple(2)],
      ]),
      frozen_param_fragments: new Map<Fake, Fake>([
        ["a", new FakeTensor([5, 6])],
        ["b", new FakeTensor([7, 8])],
      ]),
    };
    const { state, info } = await twice(stage, [{ a: [2] }], frozen);
    expect([...state.tensors.keys()]).toEqual(["a", "b"]);
    expect(await floatsOf(state.tensors.get("a")!)).toEqual([1, 2]);
    expect(info.frozen).toEqual(["b"]);
    expect(info.counts).toMatchObject({ frozen: 1, trained: 1 });
    await state.close();
  });
});

describe("what a module has that is not read", () => {
  const sparse = () => new Call("torch._utils", "_rebuild_sparse_tensor", 0, new Tuple());
  const withModule = (module: Record<string, Fake>, model: Record<string, Fake> = {}) => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])], [new FakeTensor([3, 4])]],
      paramShapes: [{ a: [4] }],
      module: new Map<Fake, Fake>(Object.entries(module)),
      model,
    });
    return folder;
  };
  const plain = () => new FakeTensor([9, 9, 9, 9]);

  it("one sparse tensor is listed by inspect, refused by a merge, and left out where nothing is recovered", async () => {
    const folder = withModule({ a: plain(), mask: sparse() });
    const { tensors, unreadable } = await inspectCheckpoint(folder);
    expect(tensors.map(({ name }) => name)).toEqual(["a"]);
    expect(unreadable).toMatchObject([{ name: "mask", what: expect.stringContaining("sparse") }]);
    await expect(openZeroCheckpoint(folder)).rejects.toThrow(
      /module\.mask: a tensor that only torch can rebuild/,
    );
    const { state } = await openZeroCheckpoint(folder, { recover: false });
    expect([...state.tensors.keys()]).toEqual(["a"]);
    await state.close();
  });

  it("a copy that only torch can rebuild is not needed where the optimizer has the weight", async () => {
    const { state } = await openZeroCheckpoint(withModule({ a: sparse() }));
    expect(await floatsOf(state.tensors.get("a")!)).toEqual([1, 2, 3, 4]);
    await state.close();
  });

  it("a buffer that only torch can rebuild is refused, also where nothing is recovered", async () => {
    const folder = withModule({ a: plain(), mask: sparse() }, { buffer_names: ["mask"] });
    await expect(openZeroCheckpoint(folder, { recover: false })).rejects.toThrow(/module\.mask/);
  });

  it("one rank of a tensor-parallel run is refused, where the files of the others are not here", async () => {
    await expect(openZeroCheckpoint(withModule({ a: plain() }, { mp_world_size: 2 }))).rejects.toThrow(
      /tensor-parallel checkpoint: mp_world_size is 2/,
    );
    const { state } = await openZeroCheckpoint(withModule({ a: plain() }, { mp_world_size: 1 }));
    await state.close();
  });
});

describe("param_slice_mappings", () => {
  const NAME = "stage2-fp32-5ranks";
  const [first, second] = readdirSync(join(ZERO, NAME, "global_step2"))
    .filter((name) => name.includes("_optim_"))
    .sort();

  it.each([
    ["rank 0's, copied", first, first, "rank 1"],
    ["the other's, renamed", second, first, "rank 0"],
  ])("tell that a shard is %s", async (_, asFirst, asSecond, rank) => {
    const folder = temporaryFolder();
    cpSync(join(ZERO, NAME), folder, { recursive: true });
    copyFileSync(join(ZERO, NAME, "global_step2", asFirst!), join(folder, "global_step2", first!));
    copyFileSync(join(ZERO, NAME, "global_step2", asSecond!), join(folder, "global_step2", second!));
    const message = new RegExp(`${rank}: the sizes make entry 0 of param_slice_mappings`);
    await expect(openZeroCheckpoint(folder)).rejects.toThrow(message);
  });

  it("agree with aligned parameters whose names in `module` lack a wrapper's part (real sizes of a run in fp16)", async () => {
    const folder = temporaryFolder();
    const wrapped = (name: string) => name.replace(".", "._checkpoint_wrapped_module.");
    const addresses: [string, Record<string, Fake>][] = [
      [wrapped("part0.a"), { numel: 1, start: 0 }],
      [wrapped("part0.b"), { numel: 1, start: 2 }],
      [wrapped("part1.c"), { numel: 2, start: 4 }],
    ];
    const half = (shape: number[], bytes: number[]) =>
      new FakeTensor(new Uint8Array(bytes), shape, { storageClass: "HalfStorage" });
    writeFakeCheckpoint(folder, {
      stage: 2,
      version: "0.19.8",
      partitions: [
        [1, 0, 0, 0, 0, 0],
        [0, 0, 2, 0, 0, 0],
        [0, 0, 0, 0, 0.5, 4],
      ].map((held) => [new FakeTensor(held)]),
      paramShapes: [{ [wrapped("part0.a")]: [1], [wrapped("part0.b")]: [], [wrapped("part1.c")]: [1, 2] }],
      module: new Map<Fake, Fake>([
        ["part0.a", half([1], [0, 0x3c])],
        ["part0.b", half([], [0, 0x40])],
        ["part1.c", half([1, 2], [0, 0x38, 0, 0x44])],
      ]),
      model: {
        ds_config: new Map<Fake, Fake>([
          ["zero_optimization", new Map<Fake, Fake>([["parameter_alignment", true]])],
        ]),
      },
      shard: (rank) => ({
        base_optimizer_state: new Map<Fake, Fake>([
          ["state", new Map<Fake, Fake>()],
          ["param_groups", [new Map<Fake, Fake>([["params", [0]]])]],
        ]),
        group_paddings: [0],
        param_alignment_paddings: [[7, 7, 0]],
        param_slice_mappings: [
          new Map<Fake, Fake>([
            [
              addresses[rank]![0],
              new Instance("deepspeed.utils.tensor_fragment", "fragment_address", addresses[rank]![1]),
            ],
          ]),
        ],
      }),
    });
    const { state } = await openZeroCheckpoint(folder);
    expect(await floatsOf(state.tensors.get(wrapped("part1.c"))!)).toEqual([0.5, 4]);
    await state.close();
    const optimizer = await openZeroOptimizer(folder);
    expect(optimizer.partitions).toMatchObject({
      kind: "flat",
      layouts: [{ options: { alignment: 8 } }],
    });
    await optimizer.close();
  });
});
