/** What `to-universal` writes, beside what the real ds_to_universal.py of DeepSpeed 0.19.8 wrote of the same checkpoints. */
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { writeUniversal } from "../../../src/checkpoint/to-universal.js";
import type { TorchFile } from "../../../src/checkpoint/torch/file.js";
import { asDict, type PyValue } from "../../../src/checkpoint/torch/objects.js";
import { readTorchFile } from "../../../src/checkpoint/torch/read.js";
import { TorchTensor } from "../../../src/checkpoint/torch/values.js";
import { openZeroOptimizer } from "../../../src/checkpoint/zero/optimizer.js";
import { readModelState } from "../../../src/checkpoint/zero/states.js";
import { newToken, partialPath } from "../../../src/core/io/partial-names.js";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { bytesOf, digestsOf, FIXTURES, temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const TAG = "global_step2_universal";

function zero(name: string): string {
  return join(FIXTURES, "zero", name);
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** Values of a pickle in a form that can be compared, tensors with dtype, shape and bytes. */
async function plain(value: PyValue, file: TorchFile): Promise<unknown> {
  if (value instanceof TorchTensor) {
    const tensor = await file.tensor(value);
    return {
      dtype: tensor.dtype,
      shape: tensor.shape,
      bytes: Buffer.from(await bytesOf(tensor)).toString("hex"),
    };
  }
  const dict = asDict(value);
  if (dict !== undefined) {
    const entries = await Promise.all([...dict].map(async ([key, item]) => [key, await plain(item, file)]));
    return { dict: entries };
  }
  if (Array.isArray(value)) return Promise.all(value.map((item) => plain(item, file)));
  return value;
}

async function contentOf(path: string): Promise<unknown> {
  const file = await readTorchFile(path);
  try {
    return await plain(file.value, file);
  } finally {
    await file.file.close();
  }
}

describe.each(["stage2-fp32-2ranks-tied-frozen", "stage3-fp32-3ranks-frozen"])("%s", (name) => {
  it("has the files of ds_to_universal.py, each with the same keys, tensors and values", async () => {
    const output = join(temporaryFolder(), "out.ckpt");
    await writeUniversal(zero(name), output, { fsync: false });
    const theirs = join(FIXTURES, "universal", name);
    const files = filesIn(theirs);
    expect(files.length).toBeGreaterThan(20);
    expect(filesIn(output)).toEqual(files);
    expect(readFileSync(join(output, "latest_universal"), "utf8")).toBe(TAG);
    for (const file of files.filter((path) => path.endsWith(".pt"))) {
      const own = await contentOf(join(output, file));
      expect(own, file).toEqual(await contentOf(join(theirs, file)));
    }
  });
});

it.each([
  "stage2-fp32-3ranks-round-robin",
  "stage1-bf16-3ranks",
  "deepspeed-0.10.1-stage2-fp32-3ranks-odd",
  "stage3-bf16-2ranks-odd",
])("%s: opened again it has the tensors of the ZeRO checkpoint", async (name) => {
  const output = join(temporaryFolder(), "out.ckpt");
  await writeUniversal(zero(name), output, { fsync: false });
  const [a, b] = [await openCheckpoint(output), await openCheckpoint(zero(name))];
  expect(a.tensors.size).toBeGreaterThan(5);
  expect(await digestsOf(a.state)).toEqual(await digestsOf(b.state));
  await a.close();
  await b.close();
});

it("of a BF16_Optimizer, which is not merged itself, is merged to its fp32 weights", async () => {
  const name = zero("stage1-bf16-optimizer-3ranks");
  await expect(openCheckpoint(name)).rejects.toThrow(/written by DeepSpeed's BF16_Optimizer/);
  const output = join(temporaryFolder(), "out.ckpt");
  await writeUniversal(name, output, { fsync: false });
  const { state } = await openCheckpoint(output);
  const optimizer = await openZeroOptimizer(name);
  const parameters = optimizer.groups.flatMap((group) => group.parameters);
  expect(parameters.length).toBeGreaterThan(5);
  for (const { name, fp32 } of parameters)
    expect(Buffer.compare(await bytesOf(state.tensors.get(name)!), await bytesOf(fp32)), name).toBe(0);
  await optimizer.close();
  await state.close();
});

describe("vista-ckpt to-universal", () => {
  it("says what it wrote, and --dry-run writes nothing and says the same size", async () => {
    const output = join(temporaryFolder(), "out.ckpt");
    const args = ["to-universal", zero("stage2-fp16-2ranks"), "-o", output, "--no-fsync", "--json"];
    const plan = JSON.parse((await runCli("vista-ckpt", [...args, "--dry-run"])).stdout);
    expect(existsSync(output)).toBe(false);
    const { stdout, code } = await runCli("vista-ckpt", args);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ bytes: plan.bytes, files: plan.files, universalTag: TAG });
    const sizes = filesIn(output).map((file) => readFileSync(join(output, file)).byteLength);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(plan.bytes);
    expect(sizes.length).toBe(plan.files);
    const again = await runCli("vista-ckpt", args);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/already exists/);
  });

  it.each<[string, RegExp[]]>([
    ["stage2-fp32-3ranks-groups", []],
    ["stage2-fp32-3ranks-round-robin", [/switch round_robin_gradients off to load it/]],
    ["stage3-fp32-2ranks", []],
    [
      "stage3-fp32-3ranks-groups",
      [/every param group the hyperparameters of the first/, /all sub-groups one step, .* \(here 3\)/],
    ],
    // Its optimizer is SGD.
    ["deepspeed-0.5.3-stage3-fp32-2ranks", [/of stage 3 no optimizer but Adam/]],
  ])("says what DeepSpeed's loader makes of %s without an error", async (name, expected) => {
    const output = join(temporaryFolder(), "out.ckpt");
    const { code, stdout } = await runCli("vista-ckpt", ["to-universal", zero(name), "-o", output]);
    const cautions = stdout.split("\n").filter((line) => line.startsWith("  but "));
    expect([code, cautions]).toEqual([0, expected.map((caution) => expect.stringMatching(caution))]);
  });

  it("names what the optimizer has and the form has no place for", async () => {
    const flat = (value: number) => new FakeTensor([value, value]);
    const checkpoint = temporaryFolder();
    const save = (states: Record<string, Fake>) =>
      writeFakeCheckpoint(checkpoint, {
        stage: 2,
        version: "0.19.8",
        partitions: [[flat(1)]],
        paramShapes: [{ weight: [2] }],
        model: {},
        shard: () => ({
          base_optimizer_state: new Map<Fake, Fake>([
            ["state", new Map<Fake, Fake>([[0, new Map<Fake, Fake>(Object.entries(states))]])],
            ["param_groups", [new Map<Fake, Fake>(Object.entries({ lr: 0.5, params: [0] }))]],
          ]),
        }),
      });
    const output = join(temporaryFolder(), "out.ckpt");
    const run = () => runCli("vista-ckpt", ["to-universal", checkpoint, "-o", output, "--force"]);
    save({ step: 3, exp_avg: flat(2), momentum_buffer: null });
    // None is nothing: plain SGD of older versions of torch keeps it.
    expect((await run()).stdout).not.toContain("left out");
    const same = await runCli("vista-ckpt", ["diff", "--optimizer", checkpoint, output]);
    expect([same.code, same.stdout]).toEqual([0, expect.stringMatching(/^equal: 2 tensors the same/)]);
    save({ step: 3, exp_avg: flat(2), momentum_buffer: null, mu: 0.5 });
    const { code, stdout } = await run();
    expect([code, stdout]).toEqual([0, expect.stringContaining("left out: the optimizer's mu, ")]);
    expect(stdout).not.toContain("step, ");
    expect(existsSync(join(output, "global_step1_universal/zero/weight/step.pt"))).toBe(true);
  });

  it.each([
    ["a checkpoint without ZeRO", "zero/stage0-fp32-2ranks", /without optimizer shards/],
    ["a universal one", "universal/stage3-fp32-3ranks-frozen", /a universal checkpoint, which has no shards/],
  ])("refuses %s in one line, and leaves nothing", async (_, path, message) => {
    const output = join(temporaryFolder(), "out.ckpt");
    const result = await runCli("vista-ckpt", ["to-universal", join(FIXTURES, path), "-o", output]);
    expect(result.code).toBe(1);
    expect(result.stderr).toMatch(message);
    expect(result.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(existsSync(output)).toBe(false);
  });
});

describe("a run that ends early leaves nothing, and what a killed one left is cleared", () => {
  it("stopped while it writes", async () => {
    const folder = temporaryFolder();
    const input = copyFolder(zero("stage2-fp32-3ranks-groups"), join(folder, "in.ckpt"));
    const controller = new AbortController();
    const written = writeUniversal(input, join(folder, "out.ckpt"), {
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === "write") controller.abort();
      },
    });
    await expect(written).rejects.toMatchObject({ code: "ABORTED" });
    expect(readdirSync(folder)).toEqual(["in.ckpt"]);
  });

  it("with a byte of a weight changed", async () => {
    const folder = temporaryFolder();
    const input = copyFolder(zero("stage2-fp32-3ranks-groups"), join(folder, "in.ckpt"));
    const shard = join(input, "global_step2/zero_pp_rank_1_mp_rank_00_optim_states.pt");
    const bytes = readFileSync(shard);
    const file = await readTorchFile(shard);
    // Not the step, which says that the shards are of two moments.
    const [region] = (await file.regions()).sort((a, b) => b.length - a.length);
    await file.file.close();
    bytes[region!.offset] = bytes[region!.offset]! ^ 1;
    writeFileSync(shard, bytes);
    await expect(writeUniversal(input, join(folder, "out.ckpt"))).rejects.toMatchObject({ code: "CHECKSUM" });
    expect(readdirSync(folder)).toEqual(["in.ckpt"]);
  });

  it("with a byte of the model states changed that is copied and nothing else: a trained parameter's copy", async () => {
    const name = "mp_rank_00_model_states.pt";
    const input = copyFolder(zero("stage2-fp32-3ranks-groups"), join(temporaryFolder(), "in.ckpt"));
    const path = join(input, "global_step2", name);
    const bytes = readFileSync(path);
    const file = await readTorchFile(path);
    const { module } = readModelState(file);
    const { key } = module.get("blocks.0.weight")!.storage;
    const { offset } = await file.storage(key);
    await file.file.close();
    bytes[offset] = bytes[offset]! ^ 1;
    writeFileSync(path, bytes);
    const output = join(input, "..", "out.ckpt");
    await expect(writeUniversal(input, output)).rejects.toMatchObject({
      code: "CHECKSUM",
      message: `${path}: the bytes are not those of the checksums of its records: they are damaged`,
    });
    expect(readdirSync(join(input, ".."))).toEqual(["in.ckpt"]);
    await writeUniversal(input, output, { verify: false });
    expect(readFileSync(join(output, "global_step2_universal", name))).toEqual(bytes);
  });

  it("with an input that is cut off while it is read", async () => {
    const folder = temporaryFolder();
    const input = copyFolder(zero("stage2-fp32-3ranks-groups"), join(folder, "in.ckpt"));
    const written = writeUniversal(input, join(folder, "out.ckpt"), {
      onProgress: ({ phase, done, total }) => {
        if (phase !== "write" && done === total)
          truncateSync(join(input, "global_step2/zero_pp_rank_2_mp_rank_00_optim_states.pt"), 4000);
      },
    });
    await expect(written).rejects.toMatchObject({ code: "TRUNCATED" });
    expect(readdirSync(folder)).toEqual(["in.ckpt"]);
  });

  it("what a process that is dead left of the same output", async () => {
    const folder = temporaryFolder();
    const output = join(folder, "out.ckpt");
    const left = partialPath(output, newToken().replace(/^\d+/, "4194304"), "partial");
    mkdirSync(join(left, "zero/w"), { recursive: true });
    writeFileSync(join(left, "zero/w/fp32.pt"), "half");
    await writeUniversal(zero("stage1-bf16-3ranks"), output, { fsync: false });
    expect(readdirSync(folder)).toEqual(["out.ckpt"]);
  });
});
