/** What `to-universal` writes is, key by key and tensor by tensor, what the real ds_to_universal.py writes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeUniversal } from "../../../src/checkpoint/to-universal.js";
import { PythonPeer } from "../python.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "vista-universal-"));
let peer: PythonPeer;
beforeAll(() => {
  peer = new PythonPeer("zero", join(ROOT, "test", "peers", "zero", "same_universal.py"));
});
afterAll(() => {
  peer?.end();
  rmSync(work, { recursive: true, force: true });
});

it.each([
  ["stage2-fp16-2ranks", 46],
  ["stage1-fp32-3ranks-groups", 46],
  ["stage1-bf16-3ranks", 46],
  // Its rank 0 holds padding, which `optimizer_state.pt` is not to say any more.
  ["stage2-fp32-4ranks-one-element", 7],
  ["stage2-bf16-2ranks-aligned", 46],
  ["stage3-bf16-2ranks-frozen", 25],
  ["stage3-fp32-3ranks-groups", 35],
])("%s", async (name, files) => {
  const zero = join(ROOT, "fixtures", "zero", name);
  const ours = join(work, `${name}-ours`);
  await writeUniversal(zero, ours, { fsync: false });
  expect(await peer.ask(zero, ours, join(work, `${name}-theirs`))).toBe(files);
});
