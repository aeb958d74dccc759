/** A torch file without its tree gives the same bytes as with it: those of stage 3 are opened by the thousand. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { readTensor } from "../../../src/checkpoint/copy/read-tensor.js";
import { asDict, type PyValue } from "../../../src/checkpoint/torch/objects.js";
import { readPickle } from "../../../src/checkpoint/torch/pickle.js";
import { readTorchFile } from "../../../src/checkpoint/torch/read.js";
import type { TorchTensor } from "../../../src/checkpoint/torch/values.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, legacyTorch, torchZip } from "../../helpers/torch-file.js";

const dict = new Map<Fake, Fake>([
  ["a", new FakeTensor([1, 2, 3])],
  ["b", new FakeTensor([4])],
]);

it.each([
  ["zip", torchZip(dict)],
  ["legacy", legacyTorch(dict)],
])(
  "%s: tensors, storages, regions and the exact pickle, after its directory was collected too",
  async (_, bytes) => {
    const path = join(temporaryFolder(), "x.pt");
    writeFileSync(path, bytes);
    const whole = await readTorchFile(path);
    const tensors = [...asDict(whole.value)!.values()] as TorchTensor[];
    const all = async (file: typeof whole) => ({
      tensors: await Promise.all(
        tensors.map(async (tensor) => [...(await readTensor(await file.tensor(tensor)))]),
      ),
      storages: await Promise.all(
        tensors.map(async ({ storage }) => (await file.storage(storage.key)).offset),
      ),
      regions: (await file.regions()).map(({ name, offset, length, crc32 }) => [name, offset, length, crc32]),
      exact: keysOf((await file.exact()).value),
      globals: file.globals.map(({ id }) => id),
    });
    const expected = await all(whole);
    expect(expected.tensors.map(({ length }) => length)).toEqual([12, 4]);
    const slim = whole.slim();
    expect(slim.value).toBeNull();
    expect(await all(slim)).toEqual(expected);
    collectGarbage();
    expect(await all(slim)).toEqual(expected);
    expect(await all(slim.slim())).toEqual(expected);
    await whole.file.close();
  },
);

function keysOf(value: PyValue): unknown[] {
  return [...asDict(value)!.keys()];
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  setFlagsFromString("--no-expose-gc");
}

it("the error of a pickle that is refused does not keep what was read of it", async () => {
  let list: WeakRef<object> | undefined;
  let failure: unknown;
  const construct = () => {
    const made: PyValue = [];
    list = new WeakRef(made);
    return made;
  };
  try {
    // torch.Bar(), kept on the stack and in the memo, then an operation that there is none of.
    readPickle(Buffer.from("\x80\x02ctorch\nBar\n)Rq\x00\xff", "latin1"), {
      path: "x",
      record: "y",
      construct,
    });
  } catch (error) {
    failure = error;
  }
  await new Promise((resolve) => setTimeout(resolve));
  collectGarbage();
  expect(list).toBeDefined();
  expect(list!.deref()).toBeUndefined();
  expect(failure).toMatchObject({ code: "PICKLE" });
});
