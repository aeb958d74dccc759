/** Reading tensors as typed arrays and making tensors of them; the digests are those of real torch. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  openCheckpoint,
  readValues,
  StateDict,
  saveCheckpoint,
  tensorFrom,
  tensorStatistics,
} from "../../src/checkpoint/index.js";
import { type Digest, temporaryFolder } from "../helpers/state.js";

const FILES = ["dtypes.pt", "dtypes-legacy.pt", "views.pt", "shapes.pt", "specials.pt", "specials-legacy.pt"];
const expected: Record<string, { tensors: (Digest & { sha256_as_f32?: string })[] }> = JSON.parse(
  readFileSync("fixtures/torch/expected.json", "utf8"),
).files;

const sha256 = (values: ArrayBufferView) =>
  createHash("sha256")
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest("hex");

it.each(FILES)("%s: every tensor as torch has it, and widened as torch's .float()", async (file) => {
  await using ckpt = await openCheckpoint(join("fixtures/torch", file));
  const digests = expected[file]!.tensors;
  expect(digests.length).toBeGreaterThan(0);
  for (const { name, sha256: wanted, sha256_as_f32 } of digests) {
    expect({ name, sha256: sha256(await ckpt.read(name)) }).toEqual({ name, sha256: wanted });
    if (sha256_as_f32 === undefined) continue;
    const wide = await ckpt.read(name, { dtype: "F32" });
    expect(wide).toBeInstanceOf(Float32Array);
    expect({ name, sha256: sha256(wide) }).toEqual({ name, sha256: sha256_as_f32 });
  }
});

it("each dtype comes as its array: 16-bit floats as their bits, complex numbers as pairs", async () => {
  await using ckpt = await openCheckpoint("fixtures/torch/dtypes.pt");
  const arrays: Record<string, string> = {};
  for (const [name, { dtype }] of ckpt.tensors) arrays[dtype] = (await ckpt.read(name)).constructor.name;
  expect(arrays).toMatchObject({
    F32: "Float32Array",
    F64: "Float64Array",
    F16: "Uint16Array",
    BF16: "Uint16Array",
    I64: "BigInt64Array",
    I32: "Int32Array",
    I16: "Int16Array",
    I8: "Int8Array",
    U8: "Uint8Array",
    BOOL: "Uint8Array",
    C64: "Float32Array",
    C128: "Float64Array",
  });
});

it("own values come back from both formats, whole and in part, tied ones tied", async () => {
  const folder = temporaryFolder();
  const tied = tensorFrom(Float32Array.from([1, 2, 3, 4, 5, 6]), [2, 3]);
  const state = new StateDict([
    ["a", tied],
    ["b", tied],
    ["n", tensorFrom(BigInt64Array.of(-1n, 2n ** 62n), [2])],
    ["half", tensorFrom(Uint16Array.of(0x3f80, 0xc000), [2], "BF16")],
    ["flag", tensorFrom(Uint8Array.of(1, 0), [2], "BOOL")],
    ["one", tensorFrom(Float64Array.of(0.5), [])],
    ["none", tensorFrom(new Float32Array(), [0, 3])],
  ]);
  for (const name of ["own.bin", "own.safetensors"]) {
    const path = join(folder, name);
    await saveCheckpoint(state, path, { fsync: false });
    await using back = await openCheckpoint(path);
    expect(await back.read("a")).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(await back.read("b", { from: 2, to: 4 })).toEqual(Float32Array.of(3, 4));
    expect(await back.read("n")).toEqual(BigInt64Array.of(-1n, 2n ** 62n));
    expect(await back.read("half", { dtype: "F32" })).toEqual(Float32Array.of(1, -2));
    expect(await back.read("flag")).toEqual(Uint8Array.of(1, 0));
    expect(await back.read("one")).toEqual(Float64Array.of(0.5));
    expect((await back.read("none")).length).toBe(0);
    expect(back.tensors.get("a") === back.tensors.get("b")).toBe(name === "own.bin");
  }
  expect(await readValues(tied, { from: 5 })).toEqual(Float32Array.of(6));
});

it("saveCheckpoint with a dtype rounds floats and leaves integers", async () => {
  const path = join(temporaryFolder(), "x.bin");
  const state = new StateDict([
    ["w", tensorFrom(Float32Array.of(1, 1.00390625), [2])],
    ["n", tensorFrom(Int32Array.of(7), [1])],
  ]);
  await saveCheckpoint(state, path, { dtype: "BF16", format: "safetensors", fsync: false });
  await using back = await openCheckpoint(path);
  expect(back.kind).toBe("safetensors");
  // The second lies half way between two numbers of BF16: to the even one.
  expect(await back.read("w")).toEqual(Uint16Array.of(0x3f80, 0x3f80));
  expect(await back.read("n")).toEqual(Int32Array.of(7));
});

it("a damaged record is an error when its tensor is read whole", async () => {
  const path = join(temporaryFolder(), "damaged.bin");
  await saveCheckpoint(new StateDict([["w", tensorFrom(new Float32Array(64).fill(3), [64])]]), path, {
    fsync: false,
  });
  const bytes = readFileSync(path);
  const at = bytes.indexOf(Buffer.from(new Float32Array(64).fill(3).buffer));
  bytes[at + 5]! ^= 1;
  writeFileSync(path, bytes);
  await using ckpt = await openCheckpoint(path);
  await expect(ckpt.read("w")).rejects.toMatchObject({ code: "CHECKSUM" });
});

it("what does not go together is refused with the numbers", async () => {
  const floats = new Float32Array(6);
  expect(() => tensorFrom(floats, [2, 2])).toThrow(/shape \[2, 2\] of F32 has 16 bytes, the array has 24/);
  expect(() => tensorFrom(floats, [6], "F64")).toThrow(/a Float32Array does not hold F64/);
  expect(() => tensorFrom(floats, [-6])).toThrow(/is no shape/);
  expect(() => tensorFrom([1, 2] as never, [2])).toThrow(/made from a typed array/);
  expect(() => tensorFrom(Uint8Array.of(2), [1], "BOOL")).toThrow(/a BOOL is 0 or 1/);
  const tensor = tensorFrom(floats, [6]);
  expect(
    () =>
      new StateDict([
        ["a", tensor],
        ["a", tensor],
      ]),
  ).toThrow(/a: the name comes twice/);
  expect(() => new StateDict([["a", { dtype: "F32", shape: [1] } as never]])).toThrow(
    /no tensor of this package/,
  );
  await expect(readValues(tensor, { from: 4, to: 7 })).rejects.toMatchObject({ code: "USAGE" });
  await expect(readValues(tensor, { dtype: "bf16" as never })).rejects.toMatchObject({
    code: "UNSUPPORTED",
    hint: "Give F32, F16 or BF16, or no dtype.",
  });
});

it("read names what is not there, takes names without Lightning's prefix, and ends with close", async () => {
  const ckpt = await openCheckpoint("fixtures/zero/vista-phase2");
  await expect(ckpt.read("out.2.weight")).rejects.toMatchObject({
    code: "NOT_FOUND",
    hint: expect.stringMatching(/Did you mean _forward_module\..*out\.2\.weight\?/),
  });
  for (const misspelt of [
    "model.diffusion_model.out.2.weigth",
    "_forward_module.model.diffusion_model.ot.2.weight",
  ])
    await expect(ckpt.read(misspelt)).rejects.toMatchObject({
      hint: expect.stringMatching(
        /^Did you mean (_forward_module\.)?model\.diffusion_model\.out\.2\.weight\?$/,
      ),
    });
  await expect(ckpt.read(3 as never)).rejects.toMatchObject({ code: "NOT_FOUND", where: { record: "3" } });
  const full = await ckpt.read("_forward_module.model.diffusion_model.out.2.weight");
  expect(await ckpt.read("model.diffusion_model.out.2.weight")).toEqual(full);
  await ckpt.close();
  await expect(ckpt.read("model.diffusion_model.out.2.weight")).rejects.toMatchObject({ code: "USAGE" });
});

it("what a Map gives for a name that is not in it is refused, and so are elements beyond the last, however many", async () => {
  const noTensor = { code: "USAGE", message: "what is given is no tensor of this package" };
  for (const wrong of [undefined, "a", new Map()])
    for (const look of [readValues, tensorStatistics])
      await expect(look(wrong as never)).rejects.toMatchObject(noTensor);
  const tensor = tensorFrom(new Float32Array(3), [3]);
  await expect(readValues(tensor, { to: Number.POSITIVE_INFINITY })).rejects.toMatchObject({
    code: "USAGE",
    message: /^elements 0 to Infinity of a tensor that has 3/,
  });
});

it("the real part of complex numbers is what they are converted to, as in torch", async () => {
  const tensor = tensorFrom(Float32Array.of(1.5, 2, -3, 4), [2], "C64");
  expect(await readValues(tensor, { dtype: "F32" })).toEqual(Float32Array.of(1.5, -3));
});

it("an array whose memory went elsewhere is no tensor any more, and no output has rubbish in its place", async () => {
  const values = Float32Array.of(1, 2);
  const tensor = tensorFrom(values, [2]);
  structuredClone(values, { transfer: [values.buffer] });
  const gone = { code: "USAGE", message: /memory of an array .* is gone/ };
  await expect(readValues(tensor)).rejects.toMatchObject(gone);
  const path = join(temporaryFolder(), "a.safetensors");
  await expect(saveCheckpoint(new StateDict([["a", tensor]]), path)).rejects.toMatchObject(gone);
});

it.each([
  ["shape", { shape: [3] }],
  ["dtype", { dtype: "F16" as const }],
  ["number of elements", { numel: 1 }],
])("a tensor whose %s a program changed is neither read nor written", async (_, change) => {
  const tensor = { ...tensorFrom(Float32Array.of(1, 2), [2]), ...change };
  const refused = { code: "USAGE", message: /^a tensor of shape .* cannot have . elements, 8 bytes$/ };
  await expect(readValues(tensor)).rejects.toMatchObject(refused);
  const path = join(temporaryFolder(), "a.safetensors");
  await expect(saveCheckpoint(new StateDict([["a", tensor]]), path)).rejects.toMatchObject(refused);
});
