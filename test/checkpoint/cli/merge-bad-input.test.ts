/** Each case is named by what the error must say; every one exits 1, says so in one line and leaves no output behind. */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import {
  Call,
  type Fake,
  type FakeCheckpoint,
  FakeTensor,
  Instance,
  legacyTorch,
  Tuple,
  torchEntries,
  torchZip,
  writeFakeCheckpoint,
  zip,
} from "../../helpers/torch-file.js";

const SHARD = (rank: number) => `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`;
const MODEL = "mp_rank_00_model_states.pt";

const GOOD: FakeCheckpoint = {
  stage: 2,
  partitions: [[new FakeTensor([1, 2, 3, 4])], [new FakeTensor([5, 6])]],
  paramShapes: [{ "layer.weight": [2, 2], "layer.bias": [2] }],
  module: new Map<Fake, Fake>([["scale", new FakeTensor([7, 8])]]),
  buffers: ["scale"],
};

interface Place {
  /** The checkpoint folder. */
  folder: string;
  /** The tag folder. */
  tag: string;
}

const shardOf = (groups: Fake, extra: Record<string, Fake> = {}) =>
  new Map<Fake, Fake>([
    [
      "optimizer_state_dict",
      new Map<Fake, Fake>(
        Object.entries({
          zero_stage: 2,
          partition_count: [2],
          single_partition_of_fp32_groups: groups,
          ...extra,
        }),
      ),
    ],
    ["ds_version", "0.16.0"],
  ]);

const CASES: [
  message: RegExp,
  /** Returns the arguments, where they are not just the folder. */ change: (place: Place) => unknown,
][] = [
  [
    /2 ranks saved this checkpoint, 1 optimizer shards are here; missing: rank 1\. With node-local disks/,
    ({ tag }) => rmSync(join(tag, SHARD(1))),
  ],
  [
    /2 ranks saved this checkpoint, 3 optimizer shards are here; surplus: rank 2\./,
    ({ tag }) => writeFileSync(join(tag, SHARD(2)), readFileSync(join(tag, SHARD(1)))),
  ],
  [
    /the files differ in the number of ranks that saved: 2 in \S+rank_0\S+ and 1 more, 4 in \S+rank_2/,
    ({ tag }) =>
      writeFileSync(join(tag, SHARD(2)), torchZip(shardOf([new FakeTensor([1])], { partition_count: [4] }))),
  ],
  [
    /param group 0: 2 parameters need 6 elements, the ranks hold 12/,
    ({ tag }) => {
      writeFileSync(join(tag, SHARD(0)), torchZip(shardOf([new FakeTensor(new Array(6).fill(1))])));
      writeFileSync(join(tag, SHARD(1)), torchZip(shardOf([new FakeTensor(new Array(6).fill(1))])));
    },
  ],
  [
    /param group 0: 2 parameters need 6 elements, the ranks hold 5/,
    ({ tag }) => writeFileSync(join(tag, SHARD(1)), torchZip(shardOf([new FakeTensor([1])]))),
  ],
  [
    /in param group 0, rank 1 holds 8 elements and rank 0 4;/,
    ({ tag }) =>
      writeFileSync(join(tag, SHARD(1)), torchZip(shardOf([new FakeTensor(new Array(8).fill(1))]))),
  ],
  [
    /the files differ in the DeepSpeed version: 0\.16\.0 in .*, 0\.10\.1 in/,
    ({ tag }) => {
      const shard = shardOf([new FakeTensor([5, 6])]);
      shard.set("ds_version", "0.10.1");
      writeFileSync(join(tag, SHARD(1)), torchZip(shard));
    },
  ],
  [
    /the files differ in the number of param groups: 1 in .*, 2 in/,
    ({ tag }) =>
      writeFileSync(join(tag, SHARD(1)), torchZip(shardOf([new FakeTensor([5, 6]), new FakeTensor([])]))),
  ],
  [
    /the files differ in the optimizer's step: 4 in .*, 9 in/,
    ({ tag }) => {
      const at = (rank: number, step: number, values: number[]) => {
        const state = new Map<Fake, Fake>([
          ["state", new Map<Fake, Fake>([[0, new Map<Fake, Fake>([["step", new FakeTensor([step], [])]])]])],
        ]);
        writeFileSync(
          join(tag, SHARD(rank)),
          torchZip(shardOf([new FakeTensor(values)], { base_optimizer_state: state })),
        );
      };
      at(0, 4, [1, 2, 3, 4]);
      at(1, 9, [5, 6]);
    },
  ],
  [
    // Neither SGD nor ZeRO counts steps; the loss scaler of fp16 does.
    /the files differ in the steps that the loss scaler counts: 7 in .*, 5 in/,
    ({ folder }) => {
      const scaler = (steps: number) =>
        new Instance("deepspeed.runtime.fp16.loss_scaler", "DynamicLossScaler", {
          cur_scale: 65536,
          cur_iter: steps,
        });
      const partitions = [[new FakeTensor([1, 2, 3])], [new FakeTensor([4, 5, 6])]];
      const shard = (rank: number) => ({ loss_scaler: scaler(rank === 0 ? 7 : 5) });
      writeFakeCheckpoint(folder, { ...GOOD, stage: 3, partitions, shard });
      rmSync(join(folder, "global_step1", "mp_rank_00_model_states.pt"));
    },
  ],
  [
    /mp_rank_00_model_states\.pt was saved by 8 ranks, the optimizer shards by 2/,
    ({ folder }) => void writeFakeCheckpoint(folder, { ...GOOD, model: { dp_world_size: 8 } }),
  ],
  [
    /rank_1_mp_rank_00_optim_states\.pt: the file is empty \(0 bytes\)/,
    ({ tag }) => truncateSync(join(tag, SHARD(1)), 0),
  ],
  [
    /rank_1_mp_rank_00_optim_states\.pt: the zip directory cannot be read: .*The file has 300 bytes; it is incomplete or damaged/,
    ({ tag }) => truncateSync(join(tag, SHARD(1)), 300),
  ],
  [
    /not a checkpoint that is known here: 12 bytes that begin with "hello, world"/,
    ({ tag }) => writeFileSync(join(tag, SHARD(1)), "hello, world"),
  ],
  [
    /Git LFS pointer/,
    ({ tag }) =>
      writeFileSync(join(tag, MODEL), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
  ],
  [
    /rank_1_mp_rank_00_optim_states\.pt: is a folder where a file is needed|cannot open the file: is a folder/,
    ({ tag }) => {
      rmSync(join(tag, SHARD(1)));
      mkdirSync(join(tag, SHARD(1)));
    },
  ],
  [
    /rank_0_mp_rank_00_optim_states\.pt: archive\/data\/0: at byte \d+: the 16 bytes have CRC-32 0x[0-9a-f]{8}, the file says 0x[0-9a-f]{8}: they are damaged\. Copy the file again/,
    ({ tag }) => {
      const file = join(tag, SHARD(0));
      const bytes = readFileSync(file);
      const at = bytes.indexOf(Buffer.from(new Float32Array([1, 2, 3, 4]).buffer));
      bytes[at + 5] = bytes[at + 5]! ^ 0x10;
      writeFileSync(file, bytes);
    },
  ],
  [
    /rank_0_mp_rank_00_optim_states\.pt: archive\/data\.pkl: .*they are damaged/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      entries[0]!.crc = 1;
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /archive\/data\/0: at byte \d+: the record is compressed \(method 8\)/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      entries.find(({ name }) => name === "archive/data/0")!.method = 8;
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /archive\/version: at byte 2: the record starts at 2, inside archive\/data\.pkl/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      entries.at(-1)!.headerOffset = 2;
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /archive\/data\/0: .*the record ends at \d+, the file has \d+ bytes/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      entries.find(({ name }) => name === "archive/data/0")!.size = 1_000_000;
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /archive\/data\/0: the storage has 8 bytes, the pickle says 16/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      const storage = entries.find(({ name }) => name === "archive/data/0")!;
      storage.data = storage.data.subarray(0, 8);
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /a tensor of shape \[4\], strides \[1\] and offset 2 needs 24 bytes, its storage has 16/,
    ({ tag }) =>
      writeFileSync(
        join(tag, SHARD(0)),
        torchZip(shardOf([new FakeTensor([1, 2, 3, 4], [4], { offset: 2 })])),
      ),
  ],
  [
    /archive\/byteorder: the tensors are stored in byte order "big"/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      entries[1]!.data = Buffer.from("big");
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /this is a zip archive \(with a\/b\.txt\)/,
    ({ tag }) => writeFileSync(join(tag, SHARD(0)), zip([{ name: "a/b.txt", data: Buffer.from("x") }])),
  ],
  [
    /not a pickle that can be read: unknown operation 0xff/,
    ({ tag }) => {
      const entries = torchEntries(shardOf([new FakeTensor([1, 2, 3, 4])]));
      entries[0]!.data = Buffer.from([0x80, 2, 0xff]);
      writeFileSync(join(tag, SHARD(0)), zip(entries));
    },
  ],
  [
    /not an optimizer shard: there is no optimizer_state_dict/,
    ({ tag }) => writeFileSync(join(tag, SHARD(0)), torchZip(new Call("os", "system", "touch /tmp/owned"))),
  ],
  [
    /not an optimizer shard: there is no optimizer_state_dict in it/,
    ({ tag }) => writeFileSync(join(tag, SHARD(0)), torchZip(new Map<Fake, Fake>([["a", 1]]))),
  ],
  [
    /single_partition_of_fp32_groups is missing or is not a list of tensors/,
    ({ tag }) => writeFileSync(join(tag, SHARD(0)), torchZip(shardOf("x"))),
  ],
  [
    /partition_count is missing or no number/,
    ({ tag }) =>
      writeFileSync(
        join(tag, SHARD(0)),
        torchZip(shardOf([new FakeTensor([1, 2, 3, 4])], { partition_count: "two" })),
      ),
  ],
  [
    /param groups over different numbers of ranks \(2, 1\), as mixture of experts has/,
    ({ tag }) =>
      writeFileSync(
        join(tag, SHARD(0)),
        torchZip(shardOf([new FakeTensor([1]), new FakeTensor([1])], { partition_count: [2, 1] })),
      ),
  ],
  [
    /written by DeepSpeed's BF16_Optimizer, which does not say its zero_stage\. `vista-ckpt to-universal` writes its fp32 weights/,
    ({ tag }) =>
      writeFileSync(
        join(tag, SHARD(0)),
        torchZip(shardOf([new FakeTensor([1, 2, 3, 4])], { zero_stage: null })),
      ),
  ],
  [
    /not model states: there is no `module` in it/,
    ({ tag }) => writeFileSync(join(tag, MODEL), torchZip(new Map<Fake, Fake>([["a", 1]]))),
  ],
  [/2 \*_optim_states\.pt but no \*_model_states\.pt/, ({ tag }) => rmSync(join(tag, MODEL))],
  [
    /no \*_optim_states\.pt here, but these model states belong to ZeRO stage 1 to 3, saved by 2 ranks/,
    ({ tag }) => {
      rmSync(join(tag, SHARD(0)));
      rmSync(join(tag, SHARD(1)));
    },
  ],
  [
    /neither the model states nor the shards have param_shapes/,
    ({ folder }) => void writeFakeCheckpoint(folder, { ...GOOD, model: { param_shapes: null } }),
  ],
  [
    /the frozen parameter a has a shape but no fragment/,
    ({ folder }) =>
      void writeFakeCheckpoint(folder, {
        ...GOOD,
        model: {
          frozen_param_shapes: new Map<Fake, Fake>([["a", new Tuple(2)]]),
          frozen_param_fragments: new Map(),
        },
      }),
  ],
  [
    /the frozen parameter a of shape \[2\] has a fragment of shape \[3\] and dtype F32 on rank 0, not 2 elements of F32/,
    ({ folder }) =>
      void writeFakeCheckpoint(folder, {
        ...GOOD,
        model: {
          frozen_param_shapes: new Map<Fake, Fake>([["a", new Tuple(2)]]),
          frozen_param_fragments: new Map<Fake, Fake>([["a", new FakeTensor([1, 2, 3])]]),
        },
      }),
  ],
  [
    /buffer_names: is no list of names/,
    ({ folder }) => void writeFakeCheckpoint(folder, { ...GOOD, model: { buffer_names: "b" } }),
  ],
  [
    /buffer_names: is no list of names/,
    ({ folder }) => void writeFakeCheckpoint(folder, { ...GOOD, model: { buffer_names: ["b", 7] } }),
  ],
  [
    /shared_params: is neither a dict nor a list of names/,
    ({ folder }) => void writeFakeCheckpoint(folder, { ...GOOD, model: { shared_params: "b" } }),
  ],
  [
    /frozen_param_fragments: is no dict of tensors/,
    ({ folder }) => void writeFakeCheckpoint(folder, { ...GOOD, model: { frozen_param_fragments: ["b"] } }),
  ],
  [
    /module\.sparse: a tensor that only torch can rebuild \(a sparse tensor/,
    ({ folder }) =>
      void writeFakeCheckpoint(folder, {
        ...GOOD,
        module: new Map<Fake, Fake>([["sparse", new Call("torch._utils", "_rebuild_sparse_tensor", 1)]]),
      }),
  ],
  [
    /a mixture-of-experts checkpoint/,
    ({ tag }) => writeFileSync(join(tag, "layer_0_expert_3_mp_rank_00_model_states.pt"), ""),
  ],
  [
    /a mixture-of-experts checkpoint/,
    ({ tag }) => writeFileSync(join(tag, "expp_rank_0_mp_rank_00_optim_states.pt"), ""),
  ],
  [
    /a pipeline-parallel checkpoint/,
    ({ tag }) => writeFileSync(join(tag, "layer_03-model_00-model_states.pt"), ""),
  ],
  [
    /a tensor-parallel checkpoint: model-parallel rank 1 is here/,
    ({ tag }) => writeFileSync(join(tag, "mp_rank_01_model_states.pt"), ""),
  ],
  [
    /latest_universal names the tag "global_step1", which is no folder here/,
    ({ folder, tag }) => {
      rmSync(tag, { recursive: true });
      renameSync(join(folder, "latest"), join(folder, "latest_universal"));
    },
  ],
  [
    /both mp_rank_00_model_states\.pt \(stage 0 to 2\) and zero_pp_rank_0_mp_rank_00_model_states\.pt \(stage 3\)/,
    ({ tag }) => writeFileSync(join(tag, "zero_pp_rank_0_mp_rank_00_model_states.pt"), ""),
  ],
  [
    /rank 0 is here twice: bf16_zero_pp_rank_0\S+ and zero_pp_rank_0/,
    ({ tag }) => writeFileSync(join(tag, `bf16_${SHARD(0)}`), ""),
  ],
  [
    /no ZeRO checkpoint here or below/,
    ({ folder, tag }) => {
      rmSync(tag, { recursive: true });
      rmSync(join(folder, "latest"));
    },
  ],
  [
    /latest names the tag "global_step7", which is no folder here; there is: global_step1\. Name one with --tag/,
    ({ folder }) => writeFileSync(join(folder, "latest"), "global_step7\n"),
  ],
  [
    /the tag "\.\.\/elsewhere" is not a folder inside the checkpoint/,
    ({ folder }) => writeFileSync(join(folder, "latest"), "../elsewhere"),
  ],
  [
    /the tag "\/etc" is not a folder inside the checkpoint/,
    ({ folder }) => writeFileSync(join(folder, "latest"), "/etc"),
  ],
  [/latest: the file is empty/, ({ folder }) => writeFileSync(join(folder, "latest"), "")],
  [/no such file or folder/, ({ folder }) => [join(folder, "nowhere")]],
  [/latest: is a file; a ZeRO checkpoint is a folder/, ({ folder }) => [join(folder, "latest")]],
  [
    /2 checkpoints below: a\.ckpt, b\.ckpt\. Give one of them/,
    ({ folder }) => {
      for (const name of ["a.ckpt", "b.ckpt"]) writeFakeCheckpoint(join(folder, "run", name), GOOD);
      return [join(folder, "run")];
    },
  ],
];

describe.concurrent.each(CASES)("%s", (message, change) => {
  it("is said in one line, exits 1, and nothing is written", async ({ expect }) => {
    const folder = temporaryFolder();
    const tag = writeFakeCheckpoint(folder, GOOD);
    const changed = change({ folder, tag });
    const args = Array.isArray(changed) ? (changed as string[]) : [folder];
    const outputs = temporaryFolder();
    const output = join(outputs, "out.bin");
    const result = await runCli("vista-ckpt", ["merge", ...args, "-o", output, "--json"]);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    const { error } = JSON.parse(result.stdout);
    // Of what is not there, or is a folder, the system's few words say all that there is to say.
    if (!/: (no such file or folder|is a folder where a file is needed)$/.test(error.message)) {
      expect(error.hint ?? "", `${error.message}: what to do is not said`).toMatch(/\w/);
      expect(result.stderr).toContain(error.hint);
    }
    expect(result.code).toBe(1);
    expect(readdirSync(outputs)).toEqual([]);
    expect(existsSync("/tmp/owned")).toBe(false);
  });
});

describe("stage 3", () => {
  const STAGE3: FakeCheckpoint = {
    stage: 3,
    partitions: [[new FakeTensor([1, 2])], [new FakeTensor([3, 4])]],
    paramShapes: [{ w: [4] }],
    module: new Map<Fake, Fake>([
      ["w", new FakeTensor([])],
      ["adapter.base", new FakeTensor([])],
    ]),
  };

  it("orphans that are placeholders are an error with their names; --no-recover merges the rest", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, STAGE3);
    const failed = await runCli("vista-ckpt", ["merge", folder]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /1 tensors are in no shard.*placeholders for them: adapter\.base\. .*--no-recover/,
    );
    const rest = await runCli("vista-ckpt", ["merge", folder, "--no-recover"]);
    expect(rest.code).toBe(0);
    expect(rest.stdout).toMatch(/left out \(--no-recover\): 1 orphan: adapter\.base/);
  });

  it("placeholders of one element, as older versions have them, are not taken for weights", async () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, {
      ...STAGE3,
      module: new Map<Fake, Fake>([
        ["w", new FakeTensor([1])],
        ["adapter.base", new FakeTensor([1])],
        ["kept.whole", new FakeTensor([5, 6])],
      ]),
    });
    const failed = await runCli("vista-ckpt", ["merge", folder]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/1 tensors are in no shard.*: adapter\.base\./);
  });

  it.each<[string, FakeCheckpoint, RegExp]>([
    [
      "a rank with another length",
      { ...STAGE3, partitions: [[new FakeTensor([1, 2])], [new FakeTensor([3])]] },
      /rank 1 holds 1 elements, rank 0 holds 2/,
    ],
    [
      "parameters that do not fit",
      { ...STAGE3, paramShapes: [{ w: [9] }] },
      /the parameters: 1 parameters need 10 elements, the ranks hold 4/,
    ],
  ])("%s", async (_, checkpoint, message) => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, checkpoint);
    const result = await runCli("vista-ckpt", ["merge", folder]);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(1);
  });
});

it("partitions that only together have as many elements as the parameters are not joined", async () => {
  const folder = temporaryFolder();
  const partitions = [4, 1, 1].map((held) => [new FakeTensor(new Array(held).fill(1))]);
  writeFakeCheckpoint(folder, { stage: 2, partitions, paramShapes: [{ a: [2], b: [4] }] });
  const result = await runCli("vista-ckpt", ["merge", folder]);
  expect(result.stderr).toMatch(
    /rank_1_\S+: in param group 0, rank 1 holds 1 elements and rank 0 4; partitions are/,
  );
  expect(result.code).toBe(1);
});

describe("outputs", () => {
  const make = () => {
    const folder = temporaryFolder();
    writeFakeCheckpoint(folder, GOOD);
    return folder;
  };

  it("an existing output stays as it was without --force, and is replaced with it", async () => {
    const folder = make();
    const output = join(folder, "pytorch_model.bin");
    writeFileSync(output, "old");
    const refused = await runCli("vista-ckpt", ["merge", folder]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/pytorch_model\.bin: the output already exists\. Use --force/);
    expect(readFileSync(output, "utf8")).toBe("old");
    const replaced = await runCli("vista-ckpt", ["merge", folder, "--force"]);
    expect(replaced.code).toBe(0);
    expect(readFileSync(output).readUInt32LE(0)).toBe(0x04034b50);
  });

  it("with --force, a damaged input leaves the old output as it was", async () => {
    const folder = make();
    const output = join(folder, "pytorch_model.bin");
    writeFileSync(output, "old");
    const shard = join(folder, "global_step1", SHARD(0));
    const bytes = readFileSync(shard);
    const at = bytes.indexOf(Buffer.from(new Float32Array([1, 2, 3, 4]).buffer));
    bytes[at] = 0x55;
    writeFileSync(shard, bytes);
    expect((await runCli("vista-ckpt", ["merge", folder, "--force"])).code).toBe(1);
    expect(readFileSync(output, "utf8")).toBe("old");
    expect(readdirSync(folder).sort()).toEqual(["global_step1", "latest", "pytorch_model.bin"]);
    expect((await runCli("vista-ckpt", ["merge", folder, "--force", "--no-verify"])).code).toBe(0);
  });

  it.each<[string, (folder: string) => string, RegExp]>([
    [
      "a folder that does not exist",
      (folder) => join(folder, "no", "x.bin"),
      /the folder of the output does not exist/,
    ],
    ["a folder as output", (folder) => folder, /the output is an existing folder/],
    ["a device", () => "/dev/null", /not a regular file/],
    [
      "a link to nowhere",
      (folder) => {
        symlinkSync(join(folder, "gone"), join(folder, "link.bin"));
        return join(folder, "link.bin");
      },
      /symbolic link to nowhere/,
    ],
    ["a part of the path that is a file", (folder) => join(folder, "latest", "x.bin"), /not a folder/],
  ])("%s is refused", async (_, output, message) => {
    const folder = make();
    const result = await runCli("vista-ckpt", ["merge", folder, "-o", output(folder), "--force"]);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(1);
  });

  it("a link to a file stays a link, its target is written", async () => {
    const folder = make();
    const target = join(temporaryFolder(), "real.bin");
    writeFileSync(target, "old");
    symlinkSync(target, join(folder, "link.bin"));
    expect((await runCli("vista-ckpt", ["merge", folder, "link.bin", "--force"], { cwd: folder })).code).toBe(
      0,
    );
    expect(readFileSync(target).readUInt32LE(0)).toBe(0x04034b50);
  });

  it("the mode follows the umask", async () => {
    const folder = make();
    const mode = execFileSync("sh", [
      "-c",
      `umask 027 && node "${join(process.cwd(), "bin/vista-ckpt.js")}" merge "${folder}" -q && stat -c %a "${folder}/pytorch_model.bin"`,
    ]);
    expect(mode.toString().trim()).toBe("640");
  });
});

describe("legacy shards (checkpoint_serialization: false)", () => {
  it("are read like any other", async () => {
    const folder = temporaryFolder();
    const tag = writeFakeCheckpoint(folder, GOOD);
    writeFileSync(join(tag, SHARD(0)), legacyTorch(shardOf([new FakeTensor([1, 2, 3, 4])])));
    const result = await runCli("vista-ckpt", ["merge", folder, "--json"]);
    expect(result.stderr).toBe("");
    expect(JSON.parse(result.stdout)).toMatchObject({ tensors: 3, parameters: 8 });
  });
});

describe("usage", () => {
  it.each<[string, string[], RegExp]>([
    ["an unknown option", ["merge", "--frce"], /unknown option '--frce'[\s\S]*Did you mean --force/],
    ["an unknown command", ["mrege"], /unknown command 'mrege'[\s\S]*Did you mean merge/],
    ["too many arguments", ["merge", "a", "b", "c"], /too many arguments/],
    ["two outputs", ["merge", ".", "a.bin", "-o", "b.bin"], /two outputs: a\.bin and b\.bin/],
    ["nothing at all", [], /Usage: vista-ckpt/],
  ])("%s exits 2", async (_, args, message) => {
    const result = await runCli("vista-ckpt", args);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(2);
  });

  it("--help has examples and exits 0", async () => {
    const result = await runCli("vista-ckpt", ["merge", "--help"]);
    expect(result.code).toBe(0);
    expect(result.stdout).toMatch(/Examples:\n {2}\$ vista-ckpt merge \./);
  });

  it("--version is the package's", async () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
    expect((await runCli("vista-ckpt", ["--version"])).stdout).toBe(`${version}\n`);
  });
});
