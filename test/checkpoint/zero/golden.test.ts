/** Every fixture, saved by real DeepSpeed, merged and compared with what the real zero_to_fp32 made of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { openZeroCheckpoint } from "../../../src/checkpoint/zero/open.js";
import { type Digest, digestsOf, openTorchFile, temporaryFolder } from "../../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures", import.meta.url));

interface ExpectedTensor extends Digest {
  sha256_as_f32?: string;
}

/** fixtures/expected/NAME.json; fixtures/README.md says what the keys mean. */
interface Expected {
  made_by: { deepspeed: string };
  stage: number;
  ranks: number;
  reference: { error?: string; tensors?: ExpectedTensor[]; shared?: string[][] };
  /** Of the version that saved it, where the newest cannot read it. */
  own_reference: { tensors?: Digest[] } | null;
  /** What the newest reference loses, as the live model has it. */
  truth: ExpectedTensor[];
  /** Names that are one tensor in the live model. */
  shared: string[][];
}

function asFloat32(tensor: ExpectedTensor): Digest {
  const { sha256_as_f32: sha256, ...digest } = tensor;
  return sha256 === undefined ? digest : { ...digest, dtype: "F32", sha256 };
}

/** The digests are those of 0.19.8, which keeps integer buffers; all versions before made them float32. */
function asWriterWould(tensor: ExpectedTensor, deepspeed: string): Digest {
  const isFloat = /^(F|BF)/.test(tensor.dtype);
  if (!isFloat && deepspeed !== "0.19.8") return asFloat32(tensor);
  const { sha256_as_f32: _, ...digest } = tensor;
  return digest;
}

/** What is recovered becomes float32 where it is a 16-bit float; everything else keeps its type and values. */
function recoveredAs(tensor: ExpectedTensor): Digest {
  if (/^(F16|BF16)$/.test(tensor.dtype)) return asFloat32(tensor);
  const { sha256_as_f32: _, ...digest } = tensor;
  return digest;
}

/** Checkpoints that must be refused, and why. */
const REFUSED: Record<string, RegExp> = {
  "stage1-bf16-optimizer-3ranks": /BF16_Optimizer, which does not say its zero_stage/,
  "stage3-fp32-2ranks-orphans": /4 tensors are in no shard.*placeholders for them: embed\.weight/,
};

/** Saved with DeepSpeed's own exclude_frozen_parameters: what is missing is nowhere in the checkpoint. */
const NOT_SAVED = ["stage2-fp32-2ranks-frozen-excluded"];

/**
 * Stage 3 has placeholders for renamed parameters: which is which cannot be said, and they are under the optimizer's names.
 */
const UNNAMED: Record<string, RegExp> = {
  "stage3-bf16-2ranks-renamed": /^(layers|tokens)\./,
  "stage3-bf16-2ranks-prefixed": /^net\.(?!before$|norm\.(?:running|num))/,
};

function notSaved(fixture: string, tensor: string): boolean {
  return NOT_SAVED.includes(fixture) || UNNAMED[fixture]?.test(tensor) === true;
}

const names = readdirSync(join(FIXTURES, "zero")).sort();

it("there are fixtures", () => {
  expect(names.length).toBeGreaterThan(5);
});

describe.each(names)("%s", (name) => {
  const expected = JSON.parse(readFileSync(join(FIXTURES, "expected", `${name}.json`), "utf8")) as Expected;

  const { deepspeed } = expected.made_by;
  const refusal = REFUSED[name];

  if (refusal !== undefined) {
    it("is refused", async () => {
      await expect(openZeroCheckpoint(join(FIXTURES, "zero", name))).rejects.toThrow(refusal);
    });
    return;
  }

  it("merges to what the reference gives, and then to what it loses", async () => {
    const { state, info } = await openZeroCheckpoint(join(FIXTURES, "zero", name));
    const output = join(temporaryFolder(), "pytorch_model.bin");
    await saveCheckpoint(state, output, { fsync: false });
    await state.close();
    expect({ stage: info.stage, ranks: info.ranks }).toEqual({
      stage: expected.stage,
      ranks: expected.ranks,
    });

    const written = await openTorchFile(output);
    const found = await digestsOf(written);
    const newest = expected.reference.tensors?.map((one) => asWriterWould(one, deepspeed));
    const reference = newest ?? expected.own_reference?.tensors ?? [];
    expect(found.slice(0, reference.length)).toEqual(reference);

    const has = new Set(reference.map((one) => one.name));
    const lost = expected.truth.filter((one) => !has.has(one.name) && !notSaved(name, one.name));
    const recovered = found.slice(reference.length);
    // Legacy files, which the reference cannot read: the truth has the tensors, but not the order of a merge.
    // Renamed ones, second names of the reference's tensors, come before the recovered.
    if ((expected.stage > 0 && reference.length === 0) || info.renamed.length > 0) {
      const order = lost.map((one) => one.name);
      recovered.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    }
    // A second name of a frozen parameter is that parameter, which the reference leaves in its type.
    const frozen = [...info.renamed, ...info.shared]
      .filter(([, source]) => info.frozen.includes(source))
      .map(([name]) => name);
    expect(recovered).toEqual(
      lost.map((one) => (frozen.includes(one.name) ? asWriterWould(one, deepspeed) : recoveredAs(one))),
    );

    for (const [first, ...aliases] of expected.reference.shared ?? expected.shared) {
      for (const alias of aliases) expect(written.tensors.get(alias)).toBe(written.tensors.get(first!));
    }
    await written.close();
  });
});

it("stage 0 in 16 bits says that the optimizer has fp32 weights, which have no names there", async () => {
  for (const [name, warnings] of [
    [
      "stage0-bf16-2ranks",
      [expect.stringContaining("the optimizer has fp32 weights of its own (optimizer.fp32_groups)")],
    ],
    ["stage0-fp32-2ranks", []],
  ] as const) {
    const { state, info } = await openZeroCheckpoint(join(FIXTURES, "zero", name));
    await state.close();
    expect(info.warnings).toEqual(warnings);
  }
});
