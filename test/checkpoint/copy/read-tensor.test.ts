import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ComputedCache } from "../../../src/checkpoint/copy/computed.js";
import { readTensor } from "../../../src/checkpoint/copy/read-tensor.js";
import { castTensor, makeTensor, viewTensor } from "../../../src/checkpoint/tensor/tensor.js";
import { openForTest, temporaryFolder } from "../../helpers/state.js";

const numbers = Float32Array.from({ length: 24 }, (_, i) => i);

/** Whole numbers below 2,048 as halves. */
const halves = (bytes: Uint8Array) =>
  [...new Uint16Array(bytes.buffer)].map((bits) =>
    bits === 0 ? 0 : (1 + (bits & 0x3ff) / 1024) * 2 ** ((bits >> 10) - 15),
  );

async function region() {
  const path = join(temporaryFolder(), "input");
  writeFileSync(path, new Uint8Array(numbers.buffer));
  return { file: await openForTest(path), name: "record", offset: 0, length: 96, crc32: undefined };
}

it("elements of a plain, a strided, a converted and a computed tensor, from any to any", async () => {
  const storage = await region();
  let computations = 0;
  const plain = viewTensor(storage, "F32", 0, [4, 6], [6, 1]);
  const computed = makeTensor("F32", [4, 6], {
    kind: "computed",
    inputs: [plain],
    compute: ([bytes], result) => {
      computations++;
      result.set(bytes!);
    },
  });
  const flat = [...numbers];
  const transposed = flat.map((_, i) => (i % 4) * 6 + Math.floor(i / 4));
  const cases: [typeof plain, number[]][] = [
    [plain, flat],
    [viewTensor(storage, "F32", 0, [6, 4], [1, 6]), transposed],
    [castTensor(plain, "F16"), flat],
    [computed, flat],
  ];
  for (const [tensor, expected] of cases) {
    const cache = new ComputedCache();
    for (const [from, to] of [
      [0, 24],
      [5, 5],
      [7, 18],
    ]) {
      const bytes = await readTensor(tensor, { from: from!, to: to!, computed: cache });
      const values = tensor.dtype === "F16" ? halves(bytes) : new Float32Array(bytes.buffer);
      expect([...values]).toEqual(expected.slice(from, to));
    }
  }
  expect(computations).toBe(2);
});

it("elements that the tensor does not have, and half bytes, are refused", async () => {
  const tensor = viewTensor(await region(), "F32", 0, [24], [1]);
  for (const range of [{ from: -1 }, { to: 25 }, { from: 3, to: 2 }, { from: 0.5 }, { from: Number.NaN }])
    await expect(readTensor(tensor, range)).rejects.toMatchObject({ code: "USAGE" });
  await expect(readTensor(tensor, { target: new Uint8Array(95) })).rejects.toMatchObject({ code: "USAGE" });
  await expect(readTensor(tensor, { signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: "ABORTED",
  });
});

it("pieces all over a large file, and some behind one another, in whatever order", async () => {
  const path = join(temporaryFolder(), "input");
  const numbers = Float32Array.from({ length: 3_000_000 }, (_, i) => i);
  writeFileSync(path, numbers);
  const whole = { file: await openForTest(path), name: "record", offset: 0, length: 12e6, crc32: undefined };
  // Neighbours are read as one with what lies between them: 12 MB, which are not in memory at once.
  const spread = Array.from({ length: 2000 }, (_, i) => ((i * 7) % 2000) * 1500);
  const far = [0, 1_000_000, 2_000_000, 2_999_997];
  const places = [...spread, ...far];
  const pieces = places.map((at) => ({ region: whole, start: at * 4, length: 12 }));
  const tensor = makeTensor("F32", [places.length, 3], { kind: "pieces", pieces });
  const read = new Float32Array((await readTensor(tensor)).buffer);
  expect([...read]).toEqual(places.flatMap((at) => [at, at + 1, at + 2]));
});
