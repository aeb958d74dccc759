/** Every fixture, saved by real DeepSpeed, merged and compared with what the real zero_to_fp32 made of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openTorchFile } from "../../src/torch/open.js";
import { writeTorchFile } from "../../src/torch/write.js";
import { openZeroCheckpoint } from "../../src/zero/open.js";
import { type Digest, digestsOf, temporaryFolder } from "../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../fixtures", import.meta.url));

interface ExpectedTensor extends Digest {
  sha256_as_f32?: string;
}

/** fixtures/expected/NAME.json; fixtures/README.md says what the keys mean. */
interface Expected {
  made_by: { deepspeed: string };
  stage: number;
  ranks: number;
  reference: { error?: string; tensors?: ExpectedTensor[]; shared?: string[][] };
  /** Names that the reference loses. */
  missing: string[];
  truth: ExpectedTensor[];
}

/** zero_to_fp32 makes every buffer float32 up to 0.19.7; the digests are those of 0.19.8, which keeps integers. */
function asWriterWould(tensor: ExpectedTensor, deepspeed: string): Digest {
  const { sha256_as_f32: asFloat, ...digest } = tensor;
  return asFloat !== undefined && deepspeed !== "0.19.8"
    ? { ...digest, dtype: "F32", sha256: asFloat }
    : digest;
}

const names = readdirSync(join(FIXTURES, "zero")).sort();

it("there are fixtures", () => {
  expect(names.length).toBeGreaterThan(5);
});

describe.each(names)("%s", (name) => {
  const expected = JSON.parse(readFileSync(join(FIXTURES, "expected", `${name}.json`), "utf8")) as Expected;

  it("merges to what the reference gives, and then to what it loses", async () => {
    const { state, info } = await openZeroCheckpoint(join(FIXTURES, "zero", name));
    const output = join(temporaryFolder(), "pytorch_model.bin");
    await writeTorchFile(state, output);
    await state.close();
    expect({ stage: info.stage, ranks: info.ranks }).toEqual({
      stage: expected.stage,
      ranks: expected.ranks,
    });

    const written = await openTorchFile(output);
    const found = await digestsOf(written);
    const reference = (expected.reference.tensors ?? expected.truth).map((one) =>
      asWriterWould(one, expected.made_by.deepspeed),
    );
    expect(found.slice(0, reference.length)).toEqual(reference);

    const recovered = found.slice(reference.length);
    const truth = new Map(expected.truth.map((one) => [one.name, one]));
    expect(recovered.map((one) => one.name)).toEqual(expected.missing);
    for (const one of recovered) expect(one).toEqual(truth.get(one.name));

    for (const [first, ...aliases] of expected.reference.shared ?? []) {
      for (const alias of aliases) expect(written.tensors.get(alias)).toBe(written.tensors.get(first!));
    }
    await written.close();
  });
});
