import { describe, expect, it } from "vitest";
import { makeTensor, StateDict, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import { applyVista, type VistaOptions } from "../../../src/checkpoint/vista/steps.js";
import { cpuSeconds } from "../../helpers/cpu.js";
import { bytesOf, floatsOf } from "../../helpers/state.js";

/** A float32 tensor that is computed from nothing. */
function tensor(values: readonly number[], shape: readonly number[] = [values.length]): Tensor {
  return makeTensor("F32", shape, {
    kind: "computed",
    inputs: [],
    compute: (_, result) => result.set(new Uint8Array(Float32Array.from(values).buffer)),
  });
}

const P = "_forward_module.";
const ATTN = "model.diffusion_model.input_blocks.1.1.attn1.";
const SHADOW = "model_ema.diffusion_modelinput_blocks11attn1";

function apply(tensors: Record<string, Tensor>, options?: VistaOptions) {
  const { state, report } = applyVista(new StateDict(Object.entries(tensors)), options);
  return { tensors: state.tensors, report };
}

/** An adapter of rank 1 on a 2 × 2 weight: adds [[1·5, 1·6], [2·5, 2·6]]. */
function adapter(kind: string, base: string, prefix = P): Record<string, Tensor> {
  return {
    [`${prefix}${ATTN}${base}.weight`]: tensor([100, 200, 300, 400], [2, 2]),
    [`${prefix}${ATTN}${kind}_adapter_down.weight`]: tensor([5, 6], [1, 2]),
    [`${prefix}${ATTN}${kind}_adapter_up.weight`]: tensor([1, 2], [2, 1]),
  };
}

describe("LoRA", () => {
  it.each([
    ["q", "to_q"],
    ["k", "to_k"],
    ["v", "to_v"],
    ["out", "to_out.0"],
  ])("%s goes into %s", async (kind, base) => {
    const { tensors, report } = apply(adapter(kind, base));
    expect([...tensors.keys()]).toEqual([`${ATTN}${base}.weight`]);
    expect(await floatsOf(tensors.get(`${ATTN}${base}.weight`)!)).toEqual([105, 206, 310, 412]);
    expect(report.adapters).toEqual([
      {
        base: `${ATTN}${base}.weight`,
        down: `${ATTN}${kind}_adapter_down.weight`,
        up: `${ATTN}${kind}_adapter_up.weight`,
      },
    ]);
  });

  it("in the EMA's names, without dots: to_out0", async () => {
    const { tensors } = apply({
      [`${P}${ATTN}to_out.0.weight`]: tensor([0, 0, 0, 0], [2, 2]),
      [`${P}${SHADOW}to_out0weight`]: tensor([1, 1, 1, 1], [2, 2]),
      [`${P}${SHADOW}out_adapter_downweight`]: tensor([5, 6], [1, 2]),
      [`${P}${SHADOW}out_adapter_upweight`]: tensor([1, 2], [2, 1]),
    });
    expect([...tensors.keys()]).toEqual([`${ATTN}to_out.0.weight`]);
    expect(await floatsOf(tensors.get(`${ATTN}to_out.0.weight`)!)).toEqual([6, 7, 11, 13]);
  });

  it("--lora-scale multiplies the product", async () => {
    const { tensors } = apply(adapter("q", "to_q"), { loraScale: 0.5 });
    expect(await floatsOf([...tensors.values()][0]!)).toEqual([102.5, 203, 305, 406]);
  });

  it("the action adapters of phase 2 stay", () => {
    const name = `${ATTN}k_adapter_action_control.weight`;
    expect([...apply({ [P + name]: tensor([1]) }).tensors.keys()]).toEqual([name]);
  });

  it("--no-lora keeps adapters as they are", () => {
    expect(apply(adapter("q", "to_q"), { lora: false }).tensors.size).toBe(3);
  });

  it("without its base it is an error that names both, and the way out", () => {
    const { [`${P}${ATTN}to_q.weight`]: _, ...rest } = adapter("q", "to_q");
    expect(() => apply(rest)).toThrow(
      expect.objectContaining({
        code: "INCOMPLETE",
        message: expect.stringMatching(/q_adapter_down.*needs.*to_q\.weight/),
        hint: expect.stringContaining("checkpoint folder"),
      }),
    );
  });

  it("without its up adapter it is an error", () => {
    const { [`${P}${ATTN}q_adapter_up.weight`]: _, ...rest } = adapter("q", "to_q");
    expect(() => apply(rest)).toThrow(/needs.*q_adapter_up/);
  });

  it("of a shape that does not fit it is an error with all shapes", () => {
    const wrong = { ...adapter("q", "to_q"), [`${P}${ATTN}q_adapter_up.weight`]: tensor([1, 2, 3], [3, 1]) };
    expect(() => apply(wrong)).toThrow(/\[2, 2\].*\[3, 1\].*\[1, 2\]/);
  });

  it("of an unknown kind it is an error", () => {
    expect(() => apply({ [`${P}model.t_adapter_down.weight`]: tensor([1]) })).toThrow(
      /none of q, k, v and out/,
    );
  });

  it("an up adapter alone is kept, and noted", () => {
    const { tensors, report } = apply({ [`${P}${ATTN}q_adapter_up.weight`]: tensor([1]) });
    expect(tensors.size).toBe(1);
    expect(report.notes).toEqual([expect.stringContaining("q_adapter_up")]);
  });

  it("rounds once, to the dtype of the base", async () => {
    // In float32 the product's 2^-25 would be lost before the sum: 1 + 2^-24 + 2^-25 rounds up, 1 + 2^-24 to even, down.
    const { tensors } = apply({
      [`${P}${ATTN}to_q.weight`]: tensor([1], [1, 1]),
      [`${P}${ATTN}q_adapter_down.weight`]: tensor([2 ** -24, 2 ** -25], [2, 1]),
      [`${P}${ATTN}q_adapter_up.weight`]: tensor([1, 1], [1, 2]),
    });
    expect(await floatsOf([...tensors.values()][0]!)).toEqual([1 + 2 ** -23]);
  });

  it("a bfloat16 base is rounded once too", async () => {
    const bf16 = makeTensor("BF16", [1, 1], {
      kind: "computed",
      inputs: [],
      compute: (_, result) => result.set(new Uint8Array(Uint16Array.of(0x3f80).buffer)),
    });
    // 1 + 2^-8 is halfway between two bfloat16s; 2^-40 more decides, and a float32 on the way would lose it.
    const { tensors } = apply({
      [`${P}${ATTN}to_q.weight`]: bf16,
      [`${P}${ATTN}q_adapter_down.weight`]: tensor([2 ** -8, 2 ** -40], [2, 1]),
      [`${P}${ATTN}q_adapter_up.weight`]: tensor([1, 1], [1, 2]),
    });
    expect(Buffer.from(await bytesOf([...tensors.values()][0]!)).readUInt16LE(0)).toBe(0x3f81);
  });
});

describe("prefix", () => {
  it("is taken off", () => {
    expect([...apply({ [`${P}a.b`]: tensor([1]) }).tensors.keys()]).toEqual(["a.b"]);
  });
  it("is taken off wherever it is, as the script does", () => {
    expect([...apply({ [`model.${P}a`]: tensor([1]) }).tensors.keys()]).toEqual(["model.a"]);
  });
  it("names without it are an error that counts and names them", () => {
    expect(() => apply({ [`${P}a`]: tensor([1]), b: tensor([2]) })).toThrow(
      expect.objectContaining({
        code: "INCOMPLETE",
        message: expect.stringMatching(/1 of 2 names.*: b$/),
        hint: expect.stringContaining("--keep-unprefixed"),
      }),
    );
  });
  it("--keep-unprefixed keeps them", () => {
    const { tensors } = apply({ [`${P}a`]: tensor([1]), b: tensor([2]) }, { keepUnprefixed: true });
    expect([...tensors.keys()]).toEqual(["a", "b"]);
  });
  it("two names that become one are an error", () => {
    expect(() => apply({ [`${P}a`]: tensor([1]), a: tensor([2]) }, { keepUnprefixed: true })).toThrow(
      expect.objectContaining({ code: "AMBIGUOUS" }),
    );
  });
  it("--keep-prefix leaves it, and the other steps work", async () => {
    const { tensors } = apply(
      {
        ...adapter("q", "to_q"),
        [`${P}${SHADOW}to_qweight`]: tensor([9, 9, 9, 9], [2, 2]),
        other: tensor([1]),
      },
      { keepPrefix: true },
    );
    expect([...tensors.keys()]).toEqual([`${P}${ATTN}to_q.weight`, "other"]);
    expect(await floatsOf([...tensors.values()][0]!)).toEqual([9, 9, 9, 9]);
  });
});

describe("EMA", () => {
  const weights = { [`${P}model.a.b.weight`]: tensor([1]), [`${P}first_stage_model.x`]: tensor([2]) };

  it("takes the place of the weights", async () => {
    const { tensors, report } = apply({
      ...weights,
      [`${P}model_ema.abweight`]: tensor([7]),
      [`${P}model_ema.decay`]: tensor([0.9]),
      [`${P}model_ema.num_updates`]: tensor([3]),
    });
    expect([...tensors.keys()]).toEqual(["model.a.b.weight", "first_stage_model.x"]);
    expect(await floatsOf(tensors.get("model.a.b.weight")!)).toEqual([7]);
    expect(report.shadows).toEqual([{ shadow: "model_ema.abweight", parameter: "model.a.b.weight" }]);
    expect(report.dropped.map(({ name }) => name)).toEqual(["model_ema.decay", "model_ema.num_updates"]);
  });

  it("--no-ema keeps the weights and drops the shadows, by name", async () => {
    const { tensors, report } = apply(
      { ...weights, [`${P}model_ema.abweight`]: tensor([7]) },
      { ema: false },
    );
    expect(await floatsOf(tensors.get("model.a.b.weight")!)).toEqual([1]);
    expect(report.dropped).toEqual([
      { name: "model_ema.abweight", why: "an EMA shadow (no EMA was wanted)" },
    ]);
  });

  it("without a parameter it is an error with the name", () => {
    expect(() => apply({ ...weights, [`${P}model_ema.abcweight`]: tensor([7]) })).toThrow(
      expect.objectContaining({
        code: "INCOMPLETE",
        message: expect.stringContaining("model_ema.abcweight"),
      }),
    );
  });

  it("behind another prefix, as torch.compile puts, it is an error with the name, for which bin_to_st.py has an AssertionError", () => {
    const compiled = Object.entries(weights).map(([name, of]) => [`_orig_mod.${name}`, of] as const);
    const both = { ...Object.fromEntries(compiled), [`_orig_mod.${P}model_ema.abweight`]: tensor([7]) };
    expect(() => apply(both)).toThrow(
      expect.objectContaining({
        code: "INCOMPLETE",
        message: expect.stringContaining("_orig_mod.model_ema.abweight"),
      }),
    );
    expect(apply(both, { ema: false }).tensors.size).toBe(compiled.length + 1);
  });

  it("that could be of two parameters is an error with both names", () => {
    expect(() =>
      apply({ ...weights, [`${P}model.ab.weight`]: tensor([3]), [`${P}model_ema.abweight`]: tensor([7]) }),
    ).toThrow(
      expect.objectContaining({
        code: "AMBIGUOUS",
        message: expect.stringMatching(/model\.a\.b\.weight.*model\.ab\.weight/),
      }),
    );
  });

  it("two parameters with one dotless name and no shadow are fine", () => {
    expect(apply({ ...weights, [`${P}model.ab.weight`]: tensor([3]) }).tensors.size).toBe(3);
  });

  it("of another shape is an error", () => {
    expect(() => apply({ ...weights, [`${P}model_ema.abweight`]: tensor([7, 8]) })).toThrow(/\[2\].*\[1\]/);
  });

  it("names that merely contain decay are kept, folded and noted, where the script drops them", async () => {
    const { tensors, report } = apply({
      [`${P}model.time_decay`]: tensor([1]),
      [`${P}model_ema.time_decay`]: tensor([2]),
    });
    expect(await floatsOf(tensors.get("model.time_decay")!)).toEqual([2]);
    expect(report.notes.length).toBe(2);
  });

  it("an adapter whose EMA shadow has none is noted as lost", () => {
    const { report } = apply({
      ...adapter("q", "to_q"),
      [`${P}${SHADOW}to_qweight`]: tensor([9, 9, 9, 9], [2, 2]),
    });
    expect(report.notes).toEqual([expect.stringMatching(/adapter of .*to_q\.weight is lost/)]);
  });

  it("takes linear time: 40,000 parameters and as many shadows", async () => {
    const tensors: Record<string, Tensor> = {};
    const one = tensor([1]);
    for (let i = 0; i < 40_000; i++) {
      tensors[`${P}model.block.${i}.weight`] = one;
      tensors[`${P}model_ema.block${i}weight`] = one;
    }
    const seconds = await cpuSeconds(() => expect(apply(tensors).report.shadows.length).toBe(40_000));
    expect(seconds).toBeLessThan(5);
  });
});
