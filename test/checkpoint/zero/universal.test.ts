/**
 * Universal checkpoints that the real ds_to_universal.py of DeepSpeed 0.19.8 made of ZeRO fixtures: they hold the same tensors,
 * whose digests are those of the real zero_to_fp32 (see golden.test.ts).
 */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { diffStates } from "../../../src/checkpoint/diff.js";
import { inspectCheckpoint } from "../../../src/checkpoint/inspect.js";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { reshardCheckpoint } from "../../../src/checkpoint/reshard.js";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { StateDict } from "../../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../../src/checkpoint/tensor/typed-array.js";
import { verifyCheckpoint } from "../../../src/checkpoint/verify.js";
import { copyFolder } from "../../helpers/copy.js";
import { digestsOf, FIXTURES, temporaryFolder } from "../../helpers/state.js";

const STAGE2 = "stage2-fp32-2ranks-tied-frozen";
const STAGE3 = "stage3-fp32-3ranks-frozen";
const TAG = "global_step2_universal";

function universal(name: string): string {
  return join(FIXTURES, "universal", name);
}

function copyOf(name: string): string {
  return copyFolder(universal(name), join(temporaryFolder(), "run"));
}

async function digests(path: string) {
  const checkpoint = await openCheckpoint(path);
  try {
    return await digestsOf(checkpoint.state);
  } finally {
    await checkpoint.close();
  }
}

describe.each([
  [STAGE2, 2, 2],
  [STAGE3, 3, 3],
])("%s", (name, stage, ranks) => {
  it("has the tensors of the ZeRO checkpoint, in its order", async () => {
    const own = await digests(universal(name));
    expect(own.length).toBeGreaterThan(8);
    expect(own).toEqual(await digests(join(FIXTURES, "zero", name)));
  });

  it("has the tensors of the real zero_to_fp32, where that has them", async () => {
    const expected = JSON.parse(readFileSync(join(FIXTURES, "expected", `${name}.json`), "utf8"));
    const own = new Map((await digests(universal(name))).map((digest) => [digest.name, digest.sha256]));
    expect(expected.reference.tensors.length).toBeGreaterThan(8);
    for (const tensor of expected.reference.tensors) expect(own.get(tensor.name)).toBe(tensor.sha256);
  });

  it("is found by latest_universal, as a tag folder, and below a run folder", async () => {
    const folder = copyOf(name);
    for (const path of [folder, join(folder, TAG), join(folder, "..")]) {
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint.zero).toMatchObject({ universal: true, stage, ranks, tag: TAG });
      await checkpoint.close();
    }
  });

  it("is sound, and damage in any file is found", async () => {
    const folder = copyOf(name);
    const sound = await verifyCheckpoint(folder);
    expect(sound.problems).toEqual([]);
    expect(sound.files.map(({ path }) => basename(path))).toContain("exp_avg_sq.pt");
    const file = join(folder, TAG, "zero/norm.weight/exp_avg.pt");
    const bytes = readFileSync(file);
    const at = bytes.indexOf(Buffer.from("data/0"));
    // The payload begins at the next multiple of 64 after its local header.
    bytes[Math.ceil((at + 10) / 64) * 64]! ^= 1;
    writeFileSync(file, bytes);
    const damaged = await verifyCheckpoint(folder);
    expect(damaged.problems.map(({ message }) => message).join()).toMatch(/norm\.weight\/exp_avg\.pt/);
  });
});

it("inspect and diff take it", async () => {
  const inspection = await inspectCheckpoint(universal(STAGE2));
  expect(inspection.zero).toMatchObject({ universal: true, stage: 2, ranks: 2 });
  const a = await openCheckpoint(universal(STAGE2));
  const b = await openCheckpoint(join(FIXTURES, "zero", STAGE2));
  expect(await diffStates(a.state, b.state)).toMatchObject({ equal: true, same: a.tensors.size });
  await a.close();
  await b.close();
});

it("beside `latest` the ZeRO checkpoint is taken, and a tag names the universal one", async () => {
  const folder = copyOf(STAGE2);
  copyFolder(join(FIXTURES, "zero", STAGE2), folder);
  for (const [options, expected] of [
    [{}, false],
    [{ tag: TAG }, true],
  ] as const) {
    const checkpoint = await openCheckpoint(folder, options);
    expect(checkpoint.zero?.universal).toBe(expected);
    await checkpoint.close();
  }
});

it("merged weights beside latest_universal do not hide it", async () => {
  const folder = copyOf(STAGE2);
  writeFileSync(join(folder, "pytorch_model.bin"), "");
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint.kind).toBe("zero");
  await checkpoint.close();
});

describe("refuses", () => {
  const REFUSED: [string, string, RegExp, (tag: string) => unknown][] = [
    [
      "a parameter without a file",
      STAGE2,
      /lists? the parameter norm\.weight, it has no fp32\.pt/,
      (tag) => rmSync(join(tag, "zero/norm.weight/fp32.pt")),
    ],
    [
      "model states that are not there",
      STAGE2,
      /no \*_model_states\.pt/,
      (tag) => rmSync(join(tag, "mp_rank_00_model_states.pt")),
    ],
    [
      "a missing rank of stage 3",
      STAGE3,
      /3 ranks saved this checkpoint, 2 model states are here; missing: rank 1/,
      (tag) => rmSync(join(tag, "zero_pp_rank_1_mp_rank_00_model_states.pt")),
    ],
    [
      "files of two parameters exchanged",
      STAGE2,
      /norm\.weight has the shape \[\d+(, \d+)+\], the model states say \[\d+\]/,
      (tag) => cpSync(join(tag, "zero/conv.weight/fp32.pt"), join(tag, "zero/norm.weight/fp32.pt")),
    ],
    [
      "tensor parallelism, by its files",
      STAGE2,
      /tensor-parallel/,
      (tag) => cpSync(join(tag, "mp_rank_00_model_states.pt"), join(tag, "mp_rank_01_model_states.pt")),
    ],
    [
      "a vocabulary that tensor parallelism padded, by its key",
      STAGE2,
      /norm\.weight was saved with tensor or expert parallelism: its file has the key vocab_tensor/,
      async (tag) => {
        const values = tensorFrom(new Float32Array(4), [4]);
        const state = new StateDict([
          ["param", values],
          ["vocab_tensor", values],
        ]);
        await saveCheckpoint(state, join(tag, "zero/norm.weight/fp32.pt"), { force: true, fsync: false });
      },
    ],
  ];

  it.each(REFUSED)("%s", async (_, name, message, spoil) => {
    const folder = copyOf(name);
    await spoil(join(folder, TAG));
    await expect(openCheckpoint(folder)).rejects.toThrow(message);
  });

  it("to reshard it, which DeepSpeed does when it loads", async () => {
    const target = join(temporaryFolder(), "out");
    await expect(reshardCheckpoint(universal(STAGE2), target, { ranks: 4, fsync: false })).rejects.toThrow(
      /a universal checkpoint, which has no shards/,
    );
  });
});

it("a universal checkpoint is known by what is in it, whatever its name", async () => {
  const folder = copyOf(STAGE2);
  rmSync(join(folder, "latest_universal"));
  renameSync(join(folder, TAG), join(folder, "mine"));
  mkdirSync(join(folder, "empty_universal"));
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint.zero).toMatchObject({ universal: true, tag: "mine" });
  await checkpoint.close();
});

describe.each(["stage1-fp32-3ranks-seven-elements", "stage3-fp32-4ranks-one-element"])("%s", (name) => {
  it("has the one tensor of the real zero_to_fp32, and is sound", async () => {
    const expected = JSON.parse(readFileSync(join(FIXTURES, "expected", `${name}.json`), "utf8"));
    const own = await digests(universal(name));
    expect(own.map(({ name, sha256 }) => [name, sha256])).toEqual(
      expected.reference.tensors.map((tensor: { name: string; sha256: string }) => [
        tensor.name,
        tensor.sha256,
      ]),
    );
    expect((await verifyCheckpoint(universal(name))).problems).toEqual([]);
  });
});

describe("verify: an optimizer that training cannot go on with is a problem", () => {
  it.each([
    [
      "exp_avg.pt of one parameter is missing",
      "norm.weight/exp_avg.pt",
      /norm\.weight has no exp_avg\.pt, .* has one/,
    ],
    ["the optimizer's common state is missing", "optimizer_state.pt", /optimizer_state\.pt: .*no such file/],
  ])("%s", async (_, file, message) => {
    const folder = copyOf(STAGE2);
    rmSync(join(folder, TAG, "zero", file));
    const { problems } = await verifyCheckpoint(folder);
    expect(problems.map((problem) => problem.message)).toEqual([expect.stringMatching(message)]);
  });

  it("exp_avg.pt has the shape of another parameter", async () => {
    const folder = copyOf(STAGE2);
    const zero = join(folder, TAG, "zero");
    cpSync(join(zero, "blocks.0.weight/exp_avg.pt"), join(zero, "norm.weight/exp_avg.pt"));
    const { problems } = await verifyCheckpoint(folder);
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/norm\.weight\/exp_avg\.pt: the parameter norm\.weight has the shape \[6, 6\]/),
    ]);
  });
});
