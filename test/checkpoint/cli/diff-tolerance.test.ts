import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { saveCheckpoint } from "../../../src/checkpoint/save.js";
import { StateDict, type Tensor } from "../../../src/checkpoint/tensor/tensor.js";
import { tensorFrom } from "../../../src/checkpoint/tensor/typed-array.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";

async function saved(tensors: Record<string, Tensor>): Promise<string> {
  const path = join(temporaryFolder(), "x.safetensors");
  await saveCheckpoint(new StateDict(Object.entries(tensors)), path, { fsync: false });
  return path;
}

const f32 = (...values: number[]) => tensorFrom(Float32Array.from(values), [values.length]);

async function diff(...args: string[]) {
  const { code, stdout, stderr } = await runCli("vista-ckpt", ["diff", ...args, "--json"]);
  return { code, stderr, report: stdout === "" ? undefined : JSON.parse(stdout) };
}

describe("diff with a tolerance", () => {
  it("|a - b| <= atol + rtol * |b|: the bound itself is equal, and it grows with b, not a", async () => {
    const a = await saved({ w: f32(1, 100), v: f32(3) });
    const b = await saved({ w: f32(1.5, 150), v: f32(3) });
    expect(await diff(a, b, "--atol", "0.5")).toMatchObject({
      code: 1,
      report: { different: [{ name: "w", differing: 1, maxAbsolute: 50 }], close: 0, same: 1 },
    });
    expect(await diff(a, b, "--atol", "50")).toMatchObject({ code: 0, report: { equal: true, close: 1 } });
    // 50 is a third of 150 and a half of 100: with b = 150 a factor of 0.34 is enough, with b = 100 it is not.
    expect((await diff(a, b, "--rtol", "0.34")).code).toBe(0);
    expect((await diff(b, a, "--rtol", "0.34")).code).toBe(1);
  });

  it("NaN and infinity are close to themselves alone, whatever the tolerance", async () => {
    const a = await saved({ n: f32(Number.NaN, Infinity), m: f32(Number.NaN), i: f32(1), z: f32(0) });
    const b = await saved({ n: f32(Number.NaN, Infinity), m: f32(1), i: f32(Infinity), z: f32(-0) });
    const { code, report } = await diff(a, b, "--rtol", "1e6", "--atol", "1e30");
    expect(code).toBe(1);
    expect(report.different.map(({ name }: { name: string }) => name)).toEqual(["i", "m"]);
    expect(report).toMatchObject({ same: 1, close: 1 });
  });

  it("integers have no tolerance", async () => {
    const a = await saved({ i: tensorFrom(Int32Array.of(1), [1]) });
    const b = await saved({ i: tensorFrom(Int32Array.of(2), [1]) });
    expect(await diff(a, b, "--atol", "5")).toMatchObject({ code: 1, report: { equal: false } });
  });

  it("--ignore-dtype: equal values in other floats are no difference; rounded ones, other shapes and integers are", async () => {
    const half = (...bits: number[]) => tensorFrom(Uint16Array.from(bits), [bits.length], "BF16");
    const a = await saved({ same: f32(1.5), near: f32(1.001), shape: f32(1, 1), kind: f32(1) });
    const one = 0x3f80;
    const b = await saved({
      same: half(0x3fc0),
      near: half(one),
      shape: half(one),
      kind: tensorFrom(Int32Array.of(1), [1]),
    });
    const names = async (...options: string[]) =>
      (await diff(a, b, ...options)).report.different.map(({ name }: { name: string }) => name);
    expect(await names()).toEqual(["kind", "near", "same", "shape"]);
    expect(await names("--ignore-dtype")).toEqual(["kind", "near", "shape"]);
    expect(await names("--ignore-dtype", "--atol", "0.01")).toEqual(["kind", "shape"]);
    expect(await names("--atol", "0.01")).toEqual(["kind", "near", "same", "shape"]);
  });

  it("counts by prefix", async () => {
    const a = await saved({ "_forward_module.m.d.x": f32(1), "m.d.y": f32(1), "m.e.z": f32(1), w: f32(1) });
    const b = await saved({ "_forward_module.m.d.x": f32(2), "m.d.y": f32(2), "m.e.z": f32(1), v: f32(1) });
    const { stdout } = await runCli("vista-ckpt", ["diff", a, b]);
    expect(stdout).toContain("\nby prefix: 3\n");
    expect(stdout).toContain("  _forward_module.m.d: 1 different, of 1\n");
    expect(stdout).toContain("  m.d: 1 different, of 1\n");
    expect(stdout).toContain(`  (no prefix): 1 only in ${a}, 1 only in ${b}, of 2\n`);
    expect((await diff(a, b)).report.prefixes).toContainEqual({
      prefix: "m.e",
      tensors: 1,
      different: 0,
      onlyA: 0,
      onlyB: 0,
    });
  });

  it("trouble is 2, so that 1 says different and nothing else", async () => {
    const a = await saved({ w: f32(1) });
    const missing = join(temporaryFolder(), "missing.bin");
    expect((await diff(a, missing)).code).toBe(2);
    expect((await diff(a, a, "--atol", "-1")).code).toBe(2);
    expect((await diff(a, await saved({ w: f32(2) }))).code).toBe(1);
  });
});
