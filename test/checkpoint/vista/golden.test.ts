import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { openSafetensors } from "../../../src/checkpoint/safetensors/read.js";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import type { StateDict } from "../../../src/checkpoint/tensor/tensor.js";
import { applyVista, type VistaOptions } from "../../../src/checkpoint/vista/steps.js";
import { bytesOf, digestsOf, floatsOf, temporaryFolder } from "../../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/", import.meta.url));

/** Files that several tests begin with, by what they were made of. */
const made = new Map<string, Promise<string>>();
function once(key: string, make: (folder: string) => Promise<string>): Promise<string> {
  const file = made.get(key) ?? make(temporaryFolder());
  made.set(key, file);
  return file;
}

async function save(input: string, output: string, change: (state: StateDict) => StateDict): Promise<string> {
  const { state } = await openCheckpoint(input);
  await saveCheckpoint(change(state), output, { fsync: false });
  await state.close();
  return output;
}

/** Shards (or the .bin merged from them) → vista.safetensors. */
async function convert(name: string, through: "shards" | "bin", options: VistaOptions): Promise<string> {
  const shards = join(FIXTURES, "zero", name);
  const bin = (folder: string) => save(shards, join(folder, "pytorch_model.bin"), (state) => state);
  const input = through === "shards" ? shards : await once(name, bin);
  return once(JSON.stringify([name, through, options]), (folder) =>
    save(input, join(folder, "vista.safetensors"), (state) => applyVista(state, options).state),
  );
}

const CASES = [
  ["vista-phase1", "vista", {}],
  ["vista-phase1", "vista-no-ema", { ema: false }],
  ["vista-phase2", "vista", {}],
  ["vista-phase2", "vista-no-ema", { ema: false }],
] as const;

describe.each(["shards", "bin"] as const)("as Vista's own bin_to_st.py, from %s", (through) => {
  it.each(CASES)("%s, %s", async (name, variant, options) => {
    const path = await convert(name, through, options);
    const expected = JSON.parse(readFileSync(join(FIXTURES, "expected", `${name}.${variant}.json`), "utf8"));
    const written = await readFile(path);
    expect(written.length).toBe(expected.bytes);
    if (expected.lora.length === 0) {
      expect(createHash("sha256").update(written).digest("hex")).toBe(expected.sha256);
      return;
    }
    const { state } = await openSafetensors(path);
    const merged = new Set<string>(expected.lora);
    const rest = (entries: { name: string }[]) => entries.filter((entry) => !merged.has(entry.name));
    const digests = await digestsOf(state);
    expect(digests.map((digest) => digest.name)).toEqual(
      expected.tensors.map((entry: { name: string }) => entry.name),
    );
    expect(rest(digests)).toEqual(rest(expected.tensors));

    // The products against float64: one rounding to float32, so within half a unit in the last place.
    const { state: truth } = await openSafetensors(
      join(FIXTURES, "expected", `${name}.${variant}-lora-f64.safetensors`),
    );
    expect([...truth.tensors.keys()].sort()).toEqual([...merged].sort());
    for (const [tensor, exact] of truth.tensors) {
      const bytes = await bytesOf(exact);
      const wanted = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
      const got = await floatsOf(state.tensors.get(tensor)!);
      expect(got.length).toBe(wanted.length);
      // Not one assertion for each: they take longer than the product.
      const wrong = got.filter(
        (value, i) => !(Math.abs(value - wanted[i]!) <= Math.abs(wanted[i]!) * 2 ** -24 + 1e-15),
      );
      expect(wrong, tensor).toEqual([]);
    }
    await truth.close();
    await state.close();
  });
});

it("phase 2 from shards has every tensor of the network that phase 1 has", async () => {
  const one = await openSafetensors(await convert("vista-phase1", "shards", {}));
  const two = await openSafetensors(await convert("vista-phase2", "shards", {}));
  expect([...one.state.tensors.keys()].filter((name) => !two.state.tensors.has(name))).toEqual([]);
  await one.state.close();
  await two.state.close();
});
