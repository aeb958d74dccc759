import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { inspectCheckpoint } from "../../src/checkpoint/inspect.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { openOptimizerState } from "../../src/checkpoint/optimizer-state.js";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../src/checkpoint/tensor/typed-array.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { digestsOf, floatsOf, temporaryFolder } from "../helpers/state.js";
import { type Fake, FakeTensor, legacyTorch, torchZip } from "../helpers/torch-file.js";

const FIXTURES = fileURLToPath(new URL("../../fixtures/", import.meta.url));
const weights = () =>
  new Map<Fake, Fake>([
    ["a", new FakeTensor([1, 2])],
    ["b", new FakeTensor([3])],
  ]);

async function namesOf(path: string): Promise<string[]> {
  const { state } = await openCheckpoint(path);
  await state.close();
  return [...state.tensors.keys()];
}

describe("torch files", () => {
  it.each([
    ["a state dict", weights(), undefined],
    [
      "Lightning",
      new Map<Fake, Fake>([
        ["epoch", 3],
        ["state_dict", weights()],
      ]),
      "state_dict",
    ],
    ["DeepSpeed's model states", new Map<Fake, Fake>([["module", weights()]]), "module"],
    [
      "a training loop's own",
      new Map<Fake, Fake>([
        ["model", weights()],
        ["step", 1],
      ]),
      "model",
    ],
  ])("%s, zip and legacy, whatever the name", async (_, value, key) => {
    const folder = temporaryFolder();
    for (const [i, bytes] of [torchZip(value), legacyTorch(value)].entries()) {
      const path = join(folder, `${i}.whatever`);
      writeFileSync(path, bytes);
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint).toMatchObject({ kind: "torch", key });
      expect(await floatsOf(checkpoint.state.tensors.get("a")!)).toEqual([1, 2]);
      expect(await floatsOf(checkpoint.state.tensors.get("b")!)).toEqual([3]);
      await checkpoint.state.close();
    }
  });

  it("entries that are no tensors are named", async () => {
    const path = join(temporaryFolder(), "x.bin");
    writeFileSync(path, torchZip(new Map<Fake, Fake>([...weights(), ["_extra_state", null]])));
    const { state, leftOut } = await openCheckpoint(path);
    await state.close();
    expect(leftOut).toEqual(["_extra_state"]);
  });

  it("an optimizer shard is refused with the way out", async () => {
    const tag = join(FIXTURES, "zero/stage2-fp32-2ranks/global_step2");
    await expect(
      openCheckpoint(join(tag, "zero_pp_rank_0_mp_rank_00_optim_states.pt")),
    ).rejects.toMatchObject({
      code: "WRONG_KIND",
      hint: expect.stringContaining("folder"),
    });
  });

  it("model states of stage 3, all placeholders, are refused; those of stage 2 get a warning", async () => {
    const name = "zero_pp_rank_0_mp_rank_00_model_states.pt";
    await expect(
      openCheckpoint(join(FIXTURES, "zero/stage3-fp32-2ranks/global_step2", name)),
    ).rejects.toMatchObject({
      code: "WRONG_KIND",
      message: expect.stringContaining("placeholders"),
    });
    const { state, warnings } = await openCheckpoint(
      join(FIXTURES, "zero/stage2-fp32-2ranks/global_step2/mp_rank_00_model_states.pt"),
    );
    await state.close();
    expect(warnings).toEqual([expect.stringContaining("16-bit")]);
  });
});

describe("a ZeRO checkpoint saved in the legacy form", () => {
  it("gives the weights of the live model, where the reference stops with an error", async () => {
    const name = "stage2-fp32-2ranks-legacy-serialization";
    const expected = JSON.parse(readFileSync(join(FIXTURES, "expected", `${name}.json`), "utf8"));
    const { state, kind, torchFiles } = await openCheckpoint(join(FIXTURES, "zero", name));
    expect(kind).toBe("zero");
    expect(torchFiles.map(({ format }) => format)).toContain("legacy");
    const digests = new Map((await digestsOf(state)).map((digest) => [digest.name, digest]));
    await state.close();
    expect(expected.truth.length).toBeGreaterThan(0);
    for (const { name: tensor, sha256 } of expected.truth) {
      expect(digests.get(tensor)?.sha256).toBe(sha256);
    }
  });
});

describe("shards with an index", () => {
  async function sharded(extension: "bin" | "safetensors"): Promise<string> {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "in.pt"), torchZip(weights()));
    const { state } = await openCheckpoint(join(folder, "in.pt"));
    mkdirSync(join(folder, "out"));
    await saveCheckpoint(state, join(folder, "out", `model.${extension}`), { maxShardSize: 8, fsync: false });
    await state.close();
    return join(folder, "out");
  }

  it.each(["bin", "safetensors"] as const)(
    "of %s files, by the index or by its folder",
    async (extension) => {
      const folder = await sharded(extension);
      expect(await namesOf(join(folder, `model.${extension}.index.json`))).toEqual(["a", "b"]);
      const { kind, state } = await openCheckpoint(folder);
      expect(kind).toBe(extension === "bin" ? "torch-sharded" : "safetensors-sharded");
      expect(await floatsOf(state.tensors.get("b")!)).toEqual([3]);
      await state.close();
    },
  );

  const index = (weightMap: unknown) => JSON.stringify({ metadata: {}, weight_map: weightMap });

  it.each([
    "../secret.bin",
    "/etc/passwd",
    "sub/../../secret.bin",
    "..\\secret.bin",
    "C:\\secret.bin",
    "",
    "a\0b",
  ])("that names %j, outside its folder, is refused", async (name) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "model"));
    writeFileSync(join(folder, "secret.bin"), torchZip(weights()));
    const path = join(folder, "model", "x.index.json");
    writeFileSync(path, index({ a: name }));
    await expect(openCheckpoint(path)).rejects.toMatchObject({
      code: "FORMAT",
      message: expect.stringContaining("outside its folder"),
    });
  });

  it("may be symbolic links, as in Hugging Face's cache", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "snapshot"));
    writeFileSync(join(folder, "blob"), torchZip(weights()));
    symlinkSync("../blob", join(folder, "snapshot", "x.bin"));
    writeFileSync(join(folder, "snapshot", "x.bin.index.json"), index({ a: "x.bin", b: "x.bin" }));
    expect(await namesOf(join(folder, "snapshot"))).toEqual(["a", "b"]);
  });

  it("a missing shard is named, with how many tensors it holds", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "x.index.json"), index({ a: "gone.bin", b: "gone.bin" }));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringMatching(/gone\.bin.*2 tensors/),
    });
  });

  it("a tensor that is not in its shard is named", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "x.bin"), torchZip(weights()));
    writeFileSync(join(folder, "x.index.json"), index({ a: "x.bin", nowhere: "x.bin" }));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: "INCONSISTENT",
      message: expect.stringContaining("nowhere"),
    });
  });

  it("a tensor that the index does not name is left out, and said", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "x.bin"), torchZip(weights()));
    writeFileSync(join(folder, "x.index.json"), index({ a: "x.bin" }));
    const { state, warnings } = await openCheckpoint(folder);
    await state.close();
    expect([...state.tensors.keys()]).toEqual(["a"]);
    expect(warnings).toEqual([expect.stringMatching(/left out 1 .*: b/)]);
  });

  it.each([
    ["no JSON", "{"],
    ["no weight_map", "{}"],
    ["a weight_map that is a list", index(["a"])],
    ["an empty weight_map", index({})],
    ["a number for a file", index({ a: 1 })],
  ])("an index with %s is refused", async (_, text) => {
    const path = join(temporaryFolder(), "x.index.json");
    writeFileSync(path, text);
    await expect(openCheckpoint(path)).rejects.toMatchObject({ code: "FORMAT", where: { path } });
  });

  it("a total_size that is not that of the tensors is said", async () => {
    const folder = temporaryFolder();
    const state = new StateDict([["a", tensorFrom(new Float32Array(2), [2])]]);
    await saveCheckpoint(state, join(folder, "s.safetensors"), { fsync: false });
    const warningsFor = async (total: number) => {
      const index = { metadata: { total_size: total }, weight_map: { a: "s.safetensors" } };
      writeFileSync(join(folder, "s.safetensors.index.json"), JSON.stringify(index));
      return (await verifyCheckpoint(folder)).warnings;
    };
    expect(await warningsFor(8)).toEqual([]);
    expect(await warningsFor(9)).toEqual(["the index says a total_size of 9 bytes, its tensors have 8"]);
  });

  it("two indexes in a folder are ambiguous", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "x.index.json"), index({ a: "x" }));
    writeFileSync(join(folder, "y.index.json"), index({ a: "x" }));
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "AMBIGUOUS" });
  });
});

describe("a folder of diffusers or transformers", () => {
  const withFiles = (...names: string[]) => {
    const folder = temporaryFolder();
    const index = { weight_map: { a: "s.bin", b: "s.bin" } };
    for (const name of names)
      writeFileSync(join(folder, name), name.endsWith(".json") ? JSON.stringify(index) : torchZip(weights()));
    return folder;
  };

  it("with a variant alone, of the weights or of their index, is read", async () => {
    expect(await namesOf(withFiles("diffusion_pytorch_model.fp16.bin", "x.json"))).toEqual(["a", "b"]);
    expect(await namesOf(withFiles("s.bin", "model.safetensors.index.fp16.json"))).toEqual(["a", "b"]);
  });

  it("with a variant beside the weights gives the weights, with two variants nothing", async () => {
    const { state, path } = await openCheckpoint(withFiles("pytorch_model.bin", "pytorch_model.fp16.bin"));
    await state.close();
    expect(path).toMatch(/pytorch_model\.bin$/);
    await expect(namesOf(withFiles("model.fp16.bin", "model.bf16.bin"))).rejects.toMatchObject({
      code: "AMBIGUOUS",
    });
  });

  it("with other files of weights alone names them", async () => {
    const folder = withFiles("model-00001-of-00002.bin", "model-00002-of-00002.bin");
    await expect(namesOf(folder)).rejects.toMatchObject({
      code: "NOT_FOUND",
      what: expect.stringContaining(
        "of weights there are model-00001-of-00002.bin, model-00002-of-00002.bin",
      ),
      hint: expect.stringContaining("one of those files, or the index of shards"),
    });
  });
});

it("a signal that is aborted before opens nothing", async () => {
  const path = join(temporaryFolder(), "x.bin");
  writeFileSync(path, torchZip(weights()));
  await expect(openCheckpoint(path, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "ABORTED",
  });
});

it.each([
  ["a ZeRO checkpoint", openCheckpoint, "zero/stage2-fp32-2ranks"],
  ["a universal checkpoint", openCheckpoint, "universal/stage1-fp32-3ranks-seven-elements"],
  ["a distributed checkpoint", openCheckpoint, "dcp/2d-2x2ranks"],
  ["the optimizer", openOptimizerState, "zero/stage2-fp32-2ranks"],
  ["a checkpoint that is inspected", inspectCheckpoint, "zero/stage2-fp32-2ranks"],
  ["a checkpoint that is verified", verifyCheckpoint, "zero/stage2-fp32-2ranks"],
])(
  "%s: what the caller's onProgress throws comes back as it is, and no file is called damaged",
  async (_, look, place) => {
    const mine = new Error("enough");
    let calls = 0;
    const onProgress = () => {
      if (calls++ === 0) throw mine;
    };
    await expect(look(join(FIXTURES, place), { onProgress })).rejects.toBe(mine);
  },
);

it("an index of shards: what the caller's onProgress throws comes back as it is", async () => {
  const state = new StateDict(["a", "b"].map((name) => [name, tensorFrom(new Float32Array(2), [2])]));
  const { index } = await saveCheckpoint(state, join(temporaryFolder(), "m.bin"), { maxShardSize: 8 });
  const mine = new Error("enough");
  const onProgress = () => {
    throw mine;
  };
  await expect(openCheckpoint(index!, { onProgress })).rejects.toBe(mine);
});
