/** An input that is written to while it is read: of formats without checksums nothing else would tell. */
import { readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { diffStates } from "../../src/checkpoint/diff.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import { saveCheckpoint } from "../../src/checkpoint/save.js";
import { StateDict } from "../../src/checkpoint/tensor/tensor.js";
import { verifyCheckpoint } from "../../src/checkpoint/verify.js";
import { FIXTURES, temporaryFolder } from "../helpers/state.js";

const BEFORE = readFileSync(join(FIXTURES, "safetensors/plain.safetensors"));

function input() {
  const path = join(temporaryFolder(), "in.safetensors");
  writeFileSync(path, BEFORE);
  utimesSync(path, 1000, 1000);
  /** Writes other values of the same size into the file, as a program does that saves to the same path again. */
  const writeAgain = () => {
    const bytes = Buffer.from(BEFORE);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
  };
  return { path, writeAgain };
}

const CHANGED = {
  code: "INCONSISTENT",
  message: expect.stringContaining("was written to while it was being read"),
};

describe("a safetensors file that is saved again while it is read", () => {
  it("becomes no output", async () => {
    const { path, writeAgain } = input();
    const folder = temporaryFolder();
    const { state } = await openCheckpoint(path);
    writeAgain();
    await expect(saveCheckpoint(state, join(folder, "out.safetensors"))).rejects.toMatchObject(CHANGED);
    expect(readdirSync(folder)).toEqual([]);
    await state.close();
  });

  it("is not called equal or different", async () => {
    const [a, b] = [input(), input()];
    const [first, second] = [await openCheckpoint(a.path), await openCheckpoint(b.path)];
    expect(await diffStates(first.state, second.state)).toMatchObject({ equal: true });
    b.writeAgain();
    await expect(diffStates(first.state, second.state)).rejects.toMatchObject(CHANGED);
    await first.close();
    await second.close();
  });

  it("neither where a program made a state dict of its tensors", async () => {
    const { path, writeAgain } = input();
    const folder = temporaryFolder();
    const checkpoint = await openCheckpoint(path);
    const state = new StateDict(checkpoint.tensors);
    expect(await diffStates(state, state)).toMatchObject({ equal: true });
    writeAgain();
    await expect(saveCheckpoint(state, join(folder, "out.safetensors"))).rejects.toMatchObject(CHANGED);
    expect(readdirSync(folder)).toEqual([]);
    await expect(diffStates(state, state)).rejects.toMatchObject(CHANGED);
    await checkpoint.close();
  });

  it("is not called sound", async () => {
    const { path, writeAgain } = input();
    let first = true;
    const onProgress = () => {
      if (first) writeAgain();
      first = false;
    };
    const { problems } = await verifyCheckpoint(path, { onProgress });
    expect(problems).toMatchObject([CHANGED]);
  });
});
