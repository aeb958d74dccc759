import { existsSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { signalAt } from "../../helpers/signal-at.js";
import { floatsOf, openTorchFile, temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const FIXTURES = fileURLToPath(new URL("../../../fixtures/zero/", import.meta.url));

describe("where the checkpoint is and where the output goes", () => {
  const make = (folder: string) =>
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])]],
      paramShapes: [{ w: [2] }],
    });

  it("the folder with latest: <folder>/pytorch_model.bin", async () => {
    const folder = temporaryFolder();
    make(folder);
    expect((await runCli("vista-ckpt", ["merge"], { cwd: folder })).code).toBe(0);
    expect(existsSync(join(folder, "pytorch_model.bin"))).toBe(true);
  });

  it("the tag folder itself", async () => {
    const tag = make(temporaryFolder());
    const result = await runCli("vista-ckpt", ["merge", tag, "--json"]);
    expect(JSON.parse(result.stdout)).toMatchObject({
      tag: "global_step1",
      output: join(tag, "pytorch_model.bin"),
    });
  });

  it("a run folder above one checkpoint: found, and said", async () => {
    const run = temporaryFolder();
    make(join(run, "checkpoints", "epoch=0.ckpt"));
    const result = await runCli("vista-ckpt", ["merge", run]);
    expect(result.stderr).toMatch(/found one checkpoint: .*epoch=0\.ckpt/);
    expect(existsSync(join(run, "checkpoints", "epoch=0.ckpt", "pytorch_model.bin"))).toBe(true);
  });

  it.each(["last.ckpt", "latest"])("a link %s to the one checkpoint below is no second one", async (link) => {
    const run = temporaryFolder();
    make(join(run, "epoch=0.ckpt"));
    symlinkSync("epoch=0.ckpt", join(run, link));
    const result = await runCli("vista-ckpt", ["merge", run]);
    expect(result.stderr).toMatch(/found one checkpoint: .*epoch=0\.ckpt\n$/);
    expect(result.code).toBe(0);
  });

  it("--tag chooses another than latest", async () => {
    const folder = temporaryFolder();
    make(folder);
    writeFileSync(join(folder, "latest"), "somewhere else");
    const result = await runCli("vista-ckpt", ["merge", folder, "--tag", "global_step1", "--json"]);
    expect(JSON.parse(result.stdout)).toMatchObject({ tag: "global_step1" });
  });

  it("an output as second argument, relative to where one stands", async () => {
    const folder = temporaryFolder();
    make(folder);
    expect((await runCli("vista-ckpt", ["merge", ".", "x.bin"], { cwd: folder })).code).toBe(0);
    expect(existsSync(join(folder, "x.bin"))).toBe(true);
  });
});

describe("what it says", () => {
  it("a summary with everything that was recovered", async () => {
    const output = join(temporaryFolder(), "x.bin");
    const result = await runCli("vista-ckpt", ["merge", join(FIXTURES, "vista-phase2"), "-o", output]);
    expect(result.stdout).toMatch(/^wrote .*x\.bin\n {2}1,472 tensors, 53,145 parameters, /);
    expect(result.stdout).toMatch(/DeepSpeed 0\.10\.1 with Lightning 2\.0\.1, ZeRO stage 2, 2 ranks, step 2/);
    expect(result.stdout).toMatch(/572 buffers, 330 frozen, 144 trained, 426 recovered/);
    expect(result.stdout).toMatch(/recovered from `module`.*time_embed\.0\.weight.* and 423 more/);
    expect(result.stderr).toBe("");
  });

  it("--dry-run writes nothing and tells the size to the byte", async () => {
    const folder = temporaryFolder();
    const output = join(folder, "x.bin");
    const args = ["merge", join(FIXTURES, "vista-phase1"), "-o", output, "--json"];
    const planned = JSON.parse((await runCli("vista-ckpt", [...args, "--dry-run"])).stdout) as {
      bytes: number;
    };
    expect(readdirSync(folder)).toEqual([]);
    const written = JSON.parse((await runCli("vista-ckpt", args)).stdout) as { bytes: number };
    expect(planned.bytes).toBe(written.bytes);
    expect(planned).toMatchObject({ dryRun: true, stage: 2, ranks: 2, counts: { frozen: 330 } });
  });

  it("--quiet says nothing", async () => {
    const output = join(temporaryFolder(), "x.bin");
    const result = await runCli("vista-ckpt", [
      "merge",
      join(FIXTURES, "vista-phase1"),
      "-o",
      output,
      "--quiet",
    ]);
    expect([result.stdout, result.stderr, result.code]).toEqual(["", "", 0]);
  });
});

describe("what is in and what is not", () => {
  const make = () => {
    const folder = temporaryFolder();
    const tied = new FakeTensor([1.5, 2.5]);
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1.5, 2.5])]],
      paramShapes: [{ "embed.weight": [2] }],
      module: new Map<Fake, Fake>([
        ["embed.weight", tied],
        ["head.weight", tied],
        ["frozen.weight", new FakeTensor([9])],
        [
          "orphan.half",
          new FakeTensor(new Uint8Array([0x80, 0x3f]), [1], { storageClass: "BFloat16Storage" }),
        ],
        [
          "count",
          new FakeTensor(new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0]), [], { storageClass: "LongStorage" }),
        ],
        ["extra_state", "not a tensor"],
      ]),
      buffers: ["count"],
      model: {
        frozen_param_shapes: new Map<Fake, Fake>([["frozen.weight", [1]]]),
        frozen_param_fragments: new Map<Fake, Fake>([["frozen.weight", new FakeTensor([9])]]),
      },
    });
    return folder;
  };

  it("buffers, frozen, trained, shared, orphans, in that order; ties that DeepSpeed did not list are found", async () => {
    const folder = make();
    const result = await runCli("vista-ckpt", ["merge", folder, "--json"]);
    expect(JSON.parse(result.stdout)).toMatchObject({
      shared: [["head.weight", "embed.weight"]],
      recovered: ["orphan.half"],
      warnings: ["left out of the module's state, since no tensors: extra_state"],
      converted: { I64: 1, BF16: 1 },
    });
    const state = await openTorchFile(join(folder, "pytorch_model.bin"));
    const names = ["count", "frozen.weight", "embed.weight", "head.weight", "orphan.half"];
    expect([...state.tensors.keys()]).toEqual(names);
    const values = await Promise.all([...state.tensors.values()].map(floatsOf));
    expect(values).toEqual([[3], [9], [1.5, 2.5], [1.5, 2.5], [1]]);
    expect(state.tensors.get("head.weight")).toBe(state.tensors.get("embed.weight"));
    await state.close();
  });

  it("--exclude-frozen and --no-recover leave out what they say", async () => {
    const result = await runCli("vista-ckpt", [
      "merge",
      make(),
      "--exclude-frozen",
      "--no-recover",
      "--json",
    ]);
    expect(JSON.parse(result.stdout)).toMatchObject({ tensors: 2, leftOut: ["head.weight", "orphan.half"] });
  });
});

it("SIGTERM stops it, removes the partial file and exits 143", async () => {
  const folder = temporaryFolder();
  const numel = 10_000_000;
  const flat = new FakeTensor(new Uint8Array(4 * numel), [numel]);
  writeFakeCheckpoint(folder, { stage: 2, partitions: [[flat]], paramShapes: [{ w: [numel] }] });
  const outputs = temporaryFolder();
  const args = ["merge", folder, "-o", join(outputs, "x.bin")];
  const env = signalAt(1, "create", "SIGTERM");
  const result = await runCli("vista-ckpt", args, { process: true, env });
  rmSync(folder, { recursive: true });
  expect(result.code).toBe(143);
  expect(result.stderr).toMatch(
    /^vista-ckpt: interrupted; nothing was written(?:\. Covered: merge, [^\n]+ of 40(?:\.0)? MB\.)?\n$/,
  );
  expect(readdirSync(outputs)).toEqual([]);
});
