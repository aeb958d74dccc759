/**
 * Stage 3 on as many ranks as a power of two: every parameter is in as many byte ranges as there are ranks, and a window of output takes
 * 2,048. Files were written without what lies behind the tensor that filled one.
 */
import { join } from "node:path";
import { expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

it.each([
  [8, 300],
  [64, 40],
  [128, 17],
])("%i ranks, %i parameters: .bin and .safetensors have them all", async (ranks, count) => {
  const folder = temporaryFolder();
  const names = Array.from({ length: count }, (_, p) => `layer.${p}.bias`);
  // Element i of parameter p is p * 1000 + i, and every rank holds two elements of each.
  const numel = 2 * ranks;
  writeFakeCheckpoint(folder, {
    stage: 3,
    paramShapes: [Object.fromEntries(names.map((name) => [name, [numel]]))],
    partitions: Array.from({ length: ranks }, (_, rank) => [
      new FakeTensor(names.flatMap((_, p) => [p * 1000 + 2 * rank, p * 1000 + 2 * rank + 1])),
    ]),
  });
  await using ckpt = await openCheckpoint(folder);
  for (const name of ["out.bin", "out.safetensors"]) {
    const output = join(temporaryFolder(), name);
    await saveCheckpoint(ckpt.state, output, { fsync: false });
    await using written = await openCheckpoint(output);
    expect([...written.tensors.keys()].sort()).toEqual(names.toSorted());
    for (const [p, tensor] of names.entries())
      expect(await written.read(tensor)).toEqual(
        Float32Array.from({ length: numel }, (_, i) => p * 1000 + i),
      );
  }
});
