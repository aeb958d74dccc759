import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { StateDict, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../../src/checkpoint/tensor/typed-array.js";
import { tensorStatistics } from "../../../src/checkpoint/tensor-statistics.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/", import.meta.url));

async function saved(name: string, tensors: Record<string, Tensor>): Promise<string> {
  const path = join(temporaryFolder(), name);
  await saveCheckpoint(new StateDict(Object.entries(tensors)), path, { fsync: false });
  return path;
}

describe("inspect --tensor", () => {
  it("range, mean and histogram are of the finite values; what is not finite is counted", async () => {
    const values = Float32Array.of(0, 16, 1, 15.5, Number.NaN, Infinity, -Infinity, -0);
    const path = await saved("x.safetensors", { "a.w": tensorFrom(values, [2, 4]) });
    const { stdout, code } = await runCli("vista-ckpt", ["inspect", path, "--tensor", "a.w", "--json"]);
    expect(code).toBe(0);
    const { tensor } = JSON.parse(stdout);
    expect(tensor).toMatchObject({
      name: "a.w",
      dtype: "F32",
      shape: [2, 4],
      finite: 5,
      nan: 1,
      positiveInfinity: 1,
      negativeInfinity: 1,
      zeros: 2,
      min: 0,
      max: 16,
      mean: 6.5,
    });
    // Sixteen bins of width 1: 0 and -0 in the first, 1 in the second, 15.5 and the largest in the last.
    expect(tensor.histogram.map((bin: { count: number }) => bin.count)).toEqual([
      2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    ]);
    expect(tensor.histogram[15]).toEqual({ from: 15, to: 16, count: 2 });
  });

  it("a tensor that is read in several parts", async () => {
    const count = 600_001;
    const values = Int32Array.from({ length: count }, (_, i) => i - 300_000);
    const statistics = await tensorStatistics(tensorFrom(values, [count]));
    expect(statistics).toMatchObject({ min: -300_000, max: 300_000, zeros: 1, finite: count });
    expect(statistics.mean).toBeCloseTo(0, 6);
    expect(statistics.histogram.reduce((sum, bin) => sum + bin.count, 0)).toBe(count);
  });

  it("16-bit floats are widened, 64-bit integers are exact, a whole range of float64 does not overflow", async () => {
    const half = tensorFrom(Uint16Array.of(0x3c00, 0xc000), [2], "F16");
    expect(await tensorStatistics(half)).toMatchObject({ dtype: "F16", min: -2, max: 1, mean: -0.5 });
    const large = tensorFrom(BigInt64Array.of(9007199254740993n, 9007199254740992n), [2]);
    expect(await tensorStatistics(large)).toMatchObject({ min: 9007199254740992n, max: 9007199254740993n });
    const wide = await tensorStatistics(tensorFrom(Float64Array.of(-1.7e308, 1.7e308), [2]));
    expect(wide.histogram.map(({ count }) => count)).toEqual([1, ...new Array(14).fill(0), 1]);
    expect(wide.histogram.every(({ from, to }) => from < to)).toBe(true);
  });

  it("no values, equal values, and values without an order", async () => {
    expect(await tensorStatistics(tensorFrom(new Float32Array(0), [0]))).toMatchObject({
      finite: 0,
      min: undefined,
      mean: undefined,
      histogram: [],
    });
    expect((await tensorStatistics(tensorFrom(Uint8Array.of(7, 7), [2]))).histogram).toEqual([
      { from: 7, to: 7, count: 2 },
    ]);
    const complex = await tensorStatistics(tensorFrom(Float32Array.of(1, 2), [1], "C64"));
    expect(complex).toMatchObject({ finite: undefined, min: undefined, histogram: [] });
  });

  it("a tensor of a ZeRO checkpoint; a name that is none names those that are like it", async () => {
    const path = join(FIXTURES, "zero/vista-phase2");
    const name = "_forward_module.model.diffusion_model.out.2.weight";
    const { stdout } = await runCli("vista-ckpt", ["inspect", path, "--tensor", name]);
    expect(stdout).toContain(`${name}\n  shape [`);
    const other = await runCli("vista-ckpt", ["inspect", path, "--tensor", "diffusion_model.out.2.weight"]);
    expect(other).toMatchObject({ code: 1, stdout: "" });
    expect(other.stderr).toContain(`Names like it: ${name}`);
    const misspelt = await runCli("vista-ckpt", [
      "inspect",
      path,
      "--tensor",
      name.replace("weight", "weigth"),
    ]);
    expect(misspelt.stderr).toContain(`Names like it: ${name}.`);
  });

  it("damaged values of a torch file are an error, no statistics", async () => {
    const path = await saved("x.bin", {
      w: tensorFrom(
        Float32Array.from({ length: 64 }, (_, i) => i),
        [64],
      ),
    });
    const bytes = readFileSync(path);
    // 63.0 is the last value and in the file once.
    const at = bytes.indexOf(Uint8Array.of(0x00, 0x00, 0x78, 0x42, 0x00, 0x00, 0x7c, 0x42));
    expect(at).toBeGreaterThan(0);
    bytes[at + 4] = 1;
    writeFileSync(path, bytes);
    const result = await runCli("vista-ckpt", ["inspect", path, "--tensor", "w"]);
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toContain("CRC-32");
  });
});

describe("inspect's tree", () => {
  it("is folded to fit on a screen, with the summary behind it", async () => {
    const tensors: Record<string, Tensor> = {};
    for (let i = 0; i < 10; i++)
      for (let j = 0; j < 30; j++) tensors[`m.b${i}.l${j}.w`] = tensorFrom(Float32Array.of(i), [1]);
    tensors["n.w"] = tensorFrom(Float32Array.of(1), [1]);
    const path = await saved("x.safetensors", tensors);
    const { stdout } = await runCli("vista-ckpt", ["inspect", path]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines[0]).toBe("m  300 tensors, 1.20 kB");
    expect(lines[1]).toBe("  b0  30 tensors, 120 B");
    expect(lines.length).toBeLessThan(20);
    expect(lines.at(-2)).toBe("  301 tensors, 301 elements, 1.20 kB");
    const all = await runCli("vista-ckpt", ["inspect", path, "--tensors"]);
    expect(all.stdout.match(/^m\.b\d\.l\d+\.w {2}F32 \[1\] {2}4 B$/gm)).toHaveLength(300);
  });
});
