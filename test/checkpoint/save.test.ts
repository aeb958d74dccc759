import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { castState } from "../../src/checkpoint/cast.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { planCheckpoint, saveCheckpoint } from "../../src/checkpoint/save.js";
import { makeTensor, StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { digestsOf, temporaryFolder } from "../helpers/state.js";

const tensor = (values: readonly number[]) =>
  makeTensor("F32", [values.length], {
    kind: "computed",
    inputs: [],
    compute: (_, result) => result.set(new Uint8Array(Float32Array.from(values).buffer)),
  });
const three = () =>
  new StateDict(
    new Map([
      ["a", tensor([1])],
      ["b", tensor([2, 3])],
      ["c", tensor([4])],
    ]),
  );
const fail = makeTensor("F32", [1], {
  kind: "computed",
  inputs: [],
  compute: () => {
    throw new Error("cannot be computed");
  },
});

describe.each(["bin", "safetensors"])("%s shards", (extension) => {
  it("have the names and the index of Hugging Face, and read back the same", async () => {
    const folder = temporaryFolder();
    const path = join(folder, `model.${extension}`);
    const saved = await saveCheckpoint(three(), path, { maxShardSize: 8 });
    expect(readdirSync(folder).sort()).toEqual([
      `model-00001-of-00003.${extension}`,
      `model-00002-of-00003.${extension}`,
      `model-00003-of-00003.${extension}`,
      `model.${extension}.index.json`,
    ]);
    expect(JSON.parse(readFileSync(`${path}.index.json`, "utf8"))).toEqual({
      metadata: { total_size: 16 },
      weight_map: {
        a: `model-00001-of-00003.${extension}`,
        b: `model-00002-of-00003.${extension}`,
        c: `model-00003-of-00003.${extension}`,
      },
    });
    expect(saved).toEqual(planCheckpoint(three(), path, { maxShardSize: 8 }));
    const { state } = await openCheckpoint(folder);
    expect(await digestsOf(state)).toEqual(await digestsOf(three()));
    await state.close();
  });

  it("are one file without index where everything fits", async () => {
    const folder = temporaryFolder();
    await saveCheckpoint(three(), join(folder, `m.${extension}`), { maxShardSize: 16 });
    expect(readdirSync(folder)).toEqual([`m.${extension}`]);
  });

  it("leave nothing behind when one of them fails", async () => {
    const folder = temporaryFolder();
    const state = new StateDict(new Map([...three().tensors, ["d", fail]]));
    await expect(
      saveCheckpoint(state, join(folder, `m.${extension}`), { maxShardSize: 8 }),
    ).rejects.toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });

  it("do not replace older ones without force; with it what is stale goes", async () => {
    const folder = temporaryFolder();
    const path = join(folder, `m.${extension}`);
    for (const name of [`m-00003-of-00004.${extension}`, `m.${extension}`, `m-other.${extension}`]) {
      writeFileSync(join(folder, name), "old");
    }
    await expect(saveCheckpoint(three(), path, { maxShardSize: 8 })).rejects.toMatchObject({
      code: "EXISTS",
    });
    expect(readdirSync(folder).length).toBe(3);
    await saveCheckpoint(three(), path, { maxShardSize: 8, force: true });
    expect(readdirSync(folder).sort()).toEqual([
      `m-00001-of-00003.${extension}`,
      `m-00002-of-00003.${extension}`,
      `m-00003-of-00003.${extension}`,
      `m-other.${extension}`,
      `m.${extension}.index.json`,
    ]);
    await saveCheckpoint(three(), path, { maxShardSize: 1000, force: true });
    expect(readdirSync(folder).sort()).toEqual([`m-other.${extension}`, `m.${extension}`]);
  });
});

it("a failed replacement leaves the old file", async () => {
  const path = join(temporaryFolder(), "m.safetensors");
  writeFileSync(path, "old");
  const state = new StateDict(new Map([["d", fail]]));
  await expect(saveCheckpoint(state, path, { force: true })).rejects.toThrow();
  expect(readFileSync(path, "utf8")).toBe("old");
});

it("an aborted signal leaves nothing", async () => {
  const path = join(temporaryFolder(), "m.safetensors");
  const signal = AbortSignal.abort();
  await expect(saveCheckpoint(three(), path, { signal })).rejects.toMatchObject({ code: "ABORTED" });
  expect(existsSync(path)).toBe(false);
});

it("castState converts floats only and keeps sharing", () => {
  const shared = tensor([1]);
  const integers = makeTensor("I64", [1], { kind: "pieces", pieces: [] });
  const state = castState(
    new StateDict(
      new Map([
        ["a", shared],
        ["b", shared],
        ["i", integers],
      ]),
    ),
    "BF16",
  );
  expect([...state.tensors.values()].map(({ dtype }) => dtype)).toEqual(["BF16", "BF16", "I64"]);
  expect(state.tensors.get("a")).toBe(state.tensors.get("b"));
});
