import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { Call, type Fake, FakeTensor, legacyTorch, torchZip } from "../../helpers/torch-file.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/", import.meta.url));
const ZERO = join(FIXTURES, "zero");

function save(name: string, tensors: Record<string, Fake>, folder = temporaryFolder()): string {
  const path = join(folder, name);
  writeFileSync(path, torchZip(new Map(Object.entries(tensors))));
  return path;
}

async function json(args: readonly string[], code = 0) {
  const result = await runCli("vista-ckpt", [...args, "--json"]);
  expect(result.code).toBe(code);
  return { ...JSON.parse(result.stdout), stderr: result.stderr };
}

describe("inspect", () => {
  it("a ZeRO checkpoint: who wrote it, step, groups, LoRA, EMA, frozen, orphans", async () => {
    const report = await json(["inspect", join(ZERO, "vista-phase2")]);
    expect(report).toMatchObject({
      kind: "zero",
      deepspeed: "0.10.1",
      lightning: "2.0.1",
      step: 2,
      zero: { tag: "checkpoint", stage: 2, ranks: 2 },
      ema: { shadows: 570, unmatched: [] },
      globals: { unknown: [] },
    });
    expect(report.lora.length).toBe(128);
    expect(report.lora.every((adapter: { missing: string[] }) => adapter.missing.length === 0)).toBe(true);
    const expected = JSON.parse(readFileSync(join(FIXTURES, "expected/vista-phase2.json"), "utf8"));
    expect(report.orphans.slice().sort()).toEqual(expected.missing.slice().sort());
    expect(report.frozen.length).toBe(330);
    const tags = new Map(
      report.tensors.map((tensor: { name: string; tags: string[] }) => [tensor.name, tensor.tags]),
    );
    expect(tags.get(report.orphans[0])).toContain("orphan");
    expect(tags.get(report.frozen[0])).toContain("frozen");
  });

  it("shows a tree with sizes, or a table", async () => {
    const path = save("x.bin", {
      "m.layer.0.weight": new FakeTensor([1, 2, 3, 4], [2, 2]),
      "m.layer.0.bias": new FakeTensor([1, 2]),
      "m.layer.1.weight": new FakeTensor([1], [1, 1]),
    });
    const tree = await runCli("vista-ckpt", ["inspect", path, "--depth", "1"]);
    expect(tree.stdout).toMatch(/^m\.layer {2}3 tensors, 28 B$/m);
    const deeper = await runCli("vista-ckpt", ["inspect", path]);
    expect(deeper.stdout).toMatch(/^ {2}0 {2}2 tensors, 24 B\n {4}weight {2}F32 \[2, 2\] {2}16 B$/m);
    const table = await runCli("vista-ckpt", ["inspect", path, "--tensors"]);
    expect(table.stdout).toMatch(/^m\.layer\.0\.bias {2}F32 \[2\] {2}8 B$/m);
  });

  it("names shared tensors", async () => {
    const tied = new FakeTensor([1]);
    expect(await json(["inspect", save("x.bin", { a: tied, b: tied })])).toMatchObject({
      shared: [["b", "a"]],
      elements: 1,
    });
  });

  it("warns of names that do not belong into a checkpoint, and runs nothing", async () => {
    const path = save("x.bin", {
      a: new FakeTensor([1]),
      hook: new Call("os", "system", "touch /tmp/never"),
    });
    const report = await json(["inspect", path]);
    expect(report.globals.unknown).toEqual(["os.system"]);
    expect(report.stderr).toMatch(/warning: .*os\.system/);
    expect(report.leftOut).toEqual(["hook"]);
  });

  it("no warning for any checkpoint that DeepSpeed and Lightning wrote", async () => {
    for (const name of [
      "vista-phase1",
      "stage2-fp32-2ranks",
      "stage3-bf16-2ranks-frozen",
      "stage0-bf16-2ranks",
    ]) {
      const report = await json(["inspect", join(ZERO, name)]);
      expect(report.globals.unknown).toEqual([]);
      expect(report.globals.known.length).toBeGreaterThan(3);
    }
  });

  it("an optimizer shard, which has no state dict", async () => {
    const shard = join(ZERO, "stage2-fp32-2ranks/global_step2/zero_pp_rank_0_mp_rank_00_optim_states.pt");
    const report = await json(["inspect", shard]);
    expect(report.kind).toBe("torch-other");
    expect(report.tensors.map(({ name }: { name: string }) => name)).toContain(
      "optimizer_state_dict.single_partition_of_fp32_groups.0",
    );
  });

  it("safetensors with metadata", async () => {
    const report = await json(["inspect", join(FIXTURES, "safetensors/valid/metadata.safetensors")]);
    expect(report).toMatchObject({
      kind: "safetensors",
      metadata: { format: "pt" },
      tensors: [{ name: "weight" }],
    });
  });

  it("control characters in names do not reach the terminal", async () => {
    const { stdout } = await runCli("vista-ckpt", [
      "inspect",
      save("x.bin", { "a\u001b[31m.b": new FakeTensor([1]) }),
    ]);
    expect(stdout).not.toContain("\u001b");
    expect(stdout).toContain("a\\u001b[31m.b");
  });
});

describe("diff", () => {
  const f32 = (...values: number[]) => new FakeTensor(values);

  it("equal: exit 0, whatever the kinds", async () => {
    const folder = temporaryFolder();
    const a = save("a.bin", { x: f32(1, 2), y: f32(Number.NaN, Infinity) }, folder);
    await runCli("vista-ckpt", ["to-st", a, "--raw", "-o", join(folder, "a.safetensors")]);
    const report = await json(["diff", a, join(folder, "a.safetensors")]);
    expect(report).toMatchObject({ equal: true, same: 2, onlyA: [], onlyB: [], different: [] });
  });

  it("names, dtypes, shapes and values that differ: exit 1", async () => {
    const a = save("a.bin", {
      only: f32(1),
      x: f32(1, 2, 3),
      shape: f32(1, 2),
      type: f32(1.5),
      same: f32(7),
    });
    const b = save("b.bin", {
      x: f32(1, 2.5, 3),
      shape: new FakeTensor([1, 2], [2, 1]),
      type: new FakeTensor(new Uint8Array(Uint16Array.of(0x3fc0).buffer), [1], {
        storageClass: "BFloat16Storage",
      }),
      same: f32(7),
      more: f32(1),
    });
    const report = await json(["diff", a, b], 1);
    expect(report).toMatchObject({ equal: false, same: 1, onlyA: ["only"], onlyB: ["more"] });
    const byName = Object.fromEntries(report.different.map((entry: { name: string }) => [entry.name, entry]));
    expect(byName.x).toMatchObject({ differing: 1, maxAbsolute: 0.5, maxRelative: 0.2, nanMismatches: 0 });
    expect(byName.shape).toMatchObject({ shapes: [[2], [2, 1]] });
    expect(byName.type).toMatchObject({ dtypes: ["F32", "BF16"], differing: 0 });
    const { stdout } = await runCli("vista-ckpt", ["diff", a, b]);
    expect(stdout).toContain("x  values differ in 1 element; largest difference 0.5, relative 0.2");
  });

  it("NaN equals NaN; NaN against a number and infinities are told apart", async () => {
    const a = save("a.bin", { n: f32(Number.NaN, 1, Infinity, 5), z: f32(0) });
    const b = save("b.bin", { n: f32(Number.NaN, Number.NaN, -Infinity, 5), z: f32(-0) });
    const report = await json(["diff", a, b], 1);
    expect(report.different).toMatchObject([
      { name: "n", differing: 2, nanMismatches: 1, maxAbsolute: "Infinity" },
      { name: "z", differing: 0, maxAbsolute: 0 },
    ]);
  });

  it("differences beyond the first window are found", async () => {
    const values = new Float32Array(3_000_000);
    const a = save("a.bin", { x: new FakeTensor(new Uint8Array(values.slice().buffer), [values.length]) });
    values[2_999_999] = 1e-3;
    values[700_000] = -2;
    const b = save("b.bin", { x: new FakeTensor(new Uint8Array(values.buffer), [values.length]) });
    const report = await json(["diff", a, b], 1);
    expect(report.different).toMatchObject([{ differing: 2, maxAbsolute: 2, maxRelative: 1 }]);
  });
});

describe("verify", () => {
  it("a sound checkpoint: exit 0, every record checked", async () => {
    const report = await json(["verify", join(ZERO, "vista-phase2")]);
    expect(report).toMatchObject({ ok: true, problems: [], nonFinite: [] });
    expect(report.files.length).toBe(3);
    for (const file of report.files) expect(file.checked).toBe(file.records);
  });

  it("every damaged byte of a payload is found, and which record it is in", async () => {
    const path = save("x.bin", { a: new FakeTensor([1, 2]), b: new FakeTensor([3, 4]) });
    const bytes = readFileSync(path);
    const at = bytes.indexOf(Buffer.from(Float32Array.of(3, 4).buffer));
    for (const offset of [at, at + 7]) {
      const damaged = Buffer.from(bytes);
      damaged[offset] = damaged[offset]! ^ 0x10;
      writeFileSync(path, damaged);
      const report = await json(["verify", path], 1);
      expect(report.ok).toBe(false);
      expect(report.problems).toMatchObject([
        { code: "CHECKSUM", record: expect.stringMatching(/data\/1$/) },
      ]);
    }
  });

  it("two damaged records are two problems, and a damaged pickle does not hide the rest", async () => {
    const path = save("x.bin", { a: new FakeTensor([1, 2]), b: new FakeTensor([3, 4]) });
    const bytes = readFileSync(path);
    for (const needle of [
      Buffer.from(Float32Array.of(1, 2).buffer),
      Buffer.from(Float32Array.of(3, 4).buffer),
    ]) {
      const at = bytes.indexOf(needle);
      bytes[at] = bytes[at]! ^ 1;
    }
    const at = bytes.indexOf("OrderedDict");
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(path, bytes);
    const report = await json(["verify", path], 1);
    expect(report.problems.map(({ code }: { code: string }) => code)).toEqual([
      "CHECKSUM",
      "CHECKSUM",
      "CHECKSUM",
    ]);
  });

  it("a file cut short", async () => {
    const path = save("x.bin", { a: new FakeTensor([1, 2]) });
    writeFileSync(path, readFileSync(path).subarray(0, -30));
    expect(await json(["verify", path], 1)).toMatchObject({ ok: false, files: [{ format: "unknown" }] });
  });

  it.each(["zip", "legacy"])("counts NaN and infinity by tensor, exit 0 (%s)", async (form) => {
    const path = join(temporaryFolder(), "x.bin");
    const value = new Map<Fake, Fake>([
      ["good", new FakeTensor([1, 2])],
      ["bad", new FakeTensor([Number.NaN, -Infinity, 1, Number.NaN])],
    ]);
    writeFileSync(path, form === "zip" ? torchZip(value) : legacyTorch(value));
    const report = await json(["verify", path]);
    expect(report).toMatchObject({ ok: true, nonFinite: [{ name: "bad", nan: 2, inf: 1 }] });
  });

  it("safetensors: the rules of the header", async () => {
    const good = join(FIXTURES, "safetensors/valid/every dtype.safetensors");
    expect(await json(["verify", good])).toMatchObject({
      ok: true,
      files: [{ format: "safetensors", records: 19 }],
    });
    const bad = join(FIXTURES, "safetensors/malformed/a gap between tensors.safetensors");
    expect(await json(["verify", bad], 1)).toMatchObject({ problems: [{ code: "FORMAT" }] });
  });

  it("shards of two checkpoints, each sound, do not fit together", async () => {
    const folder = temporaryFolder();
    save("x.bin", { a: new FakeTensor([1]) }, folder);
    writeFileSync(
      join(folder, "x.bin.index.json"),
      JSON.stringify({ weight_map: { a: "x.bin", b: "x.bin" } }),
    );
    expect(await json(["verify", folder], 1)).toMatchObject({ problems: [{ code: "INCONSISTENT" }] });
  });

  it("files that are sound but cannot be merged are sound", async () => {
    const report = await json(["verify", join(ZERO, "stage1-bf16-optimizer-3ranks")]);
    expect(report).toMatchObject({
      ok: true,
      warnings: [expect.stringMatching(/cannot be used: .*BF16_Optimizer/)],
    });
  });

  it("a missing file is an error of one line", async () => {
    const path = join(temporaryFolder(), "nowhere/x.bin");
    const result = await runCli("vista-ckpt", ["verify", path]);
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toMatch(/no such file or folder\n$/);
    expect(result.stderr.startsWith(`vista-ckpt: ${path}: `)).toBe(true);
  });
});
