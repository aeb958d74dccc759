import { createHash } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { readTensor } from "../../src/checkpoint/copy/read-tensor.js";
import { openCheckpoint } from "../../src/checkpoint/open.js";
import type { StateDict, Tensor } from "../../src/checkpoint/tensor/tensor.js";
import { openSource } from "../../src/core/io/open-source.js";
import type { SourceFile } from "../../src/core/io/source.js";

/** The folder of the fixtures. */
export const FIXTURES = fileURLToPath(new URL("../../fixtures", import.meta.url));

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "vista-ckpt-test-"));
}

/** Opens a file that is closed when the test ends. */
export async function openForTest(path: string): Promise<SourceFile> {
  const file = await openSource(path);
  onTestFinished(() => file.close());
  return file;
}

/** Opens a torch file as a state dict; close it when done. */
export async function openTorchFile(path: string): Promise<StateDict> {
  return (await openCheckpoint(path)).state;
}

export function bytesOf(tensor: Tensor): Promise<Uint8Array> {
  return readTensor(tensor);
}

export async function floatsOf(tensor: Tensor): Promise<number[]> {
  const bytes = await bytesOf(tensor);
  return [...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
}

export interface Digest {
  name: string;
  dtype: string;
  shape: readonly number[];
  sha256: string;
}

/** In the form of fixtures/expected. */
export async function digestsOf(state: StateDict): Promise<Digest[]> {
  const digests: Digest[] = [];
  for (const [name, tensor] of state.tensors) {
    const sha256 = createHash("sha256")
      .update(await bytesOf(tensor))
      .digest("hex");
    digests.push({ name, dtype: tensor.dtype, shape: tensor.shape, sha256 });
  }
  return digests;
}
