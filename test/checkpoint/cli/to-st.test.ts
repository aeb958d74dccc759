import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  watch,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../../src/checkpoint/safetensors/read.js";
import { runCli } from "../../helpers/cli.js";
import { digestsOf, floatsOf, temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, torchZip } from "../../helpers/torch-file.js";

const ZERO = fileURLToPath(new URL("../../../fixtures/zero/", import.meta.url));
const EXPECTED = fileURLToPath(new URL("../../../fixtures/expected/", import.meta.url));
const P = "_forward_module.";

function bin(folder: string, tensors: Record<string, Fake>, name = "pytorch_model.bin"): string {
  const path = join(folder, name);
  writeFileSync(path, torchZip(new Map(Object.entries(tensors))));
  return path;
}

const plain = () => ({ [`${P}model.a`]: new FakeTensor([1, 2]), [`${P}model.b`]: new FakeTensor([3]) });

/** Runs to-st and returns its JSON. */
async function toSt(args: readonly string[], cwd?: string) {
  const result = await runCli("vista-ckpt", ["to-st", ...args, "--json"], cwd === undefined ? {} : { cwd });
  expect(result.stderr).toBe("");
  expect(result.code).toBe(0);
  return JSON.parse(result.stdout);
}

describe("what a Vista user types", () => {
  it("to-st in the folder of pytorch_model.bin makes ckpts/vista.safetensors", async () => {
    const folder = temporaryFolder();
    bin(folder, plain());
    const result = await runCli("vista-ckpt", ["to-st"], { cwd: folder });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toMatch(/^wrote ckpts\/vista\.safetensors\n {2}2 tensors, 3 parameters/);
    const { state } = await openSafetensors(join(folder, "ckpts", "vista.safetensors"));
    expect([...state.tensors.keys()]).toEqual(["model.a", "model.b"]);
    await state.close();
  });

  it("to-st X.ckpt goes straight from the shards to the script's bytes", async () => {
    const folder = temporaryFolder();
    const report = await toSt([join(ZERO, "vista-phase1"), "-o", join(folder, "v.safetensors")]);
    const expected = JSON.parse(readFileSync(join(EXPECTED, "vista-phase1.vista.json"), "utf8"));
    expect(report).toMatchObject({ kind: "zero", bytes: expected.bytes, tensors: expected.tensors.length });
    expect(report.vista.shadows.length).toBe(426);
    const { state } = await openSafetensors(join(folder, "v.safetensors"));
    expect(await digestsOf(state)).toEqual(expected.tensors);
    await state.close();
  });

  it("says what it merged, folded and dropped", async () => {
    const folder = temporaryFolder();
    const { stdout } = await runCli("vista-ckpt", ["to-st", join(ZERO, "vista-phase2"), "v.safetensors"], {
      cwd: folder,
    });
    expect(stdout).toContain("LoRA: 128 adapters merged");
    expect(stdout).toContain("EMA: 442 tensors folded in");
    expect(stdout).toContain(
      "dropped 2 tensors, a counter of the EMA: model_ema.decay, model_ema.num_updates",
    );
    expect(stdout).toMatch(/recovered 426 tensors that zero_to_fp32\.py drops/);
  });

  it("phase 2 through a .bin of zero_to_fp32.py is refused with the way out", async () => {
    // What that script leaves of phase 2: adapters without the weights under them.
    const folder = temporaryFolder();
    bin(folder, { [`${P}model.attn1.q_adapter_down.weight`]: new FakeTensor([1]) });
    const result = await runCli("vista-ckpt", ["to-st"], { cwd: folder });
    expect(result.code).toBe(1);
    expect(result.stderr.trim().split("\n").length).toBe(1);
    expect(result.stderr).toMatch(
      /^vista-ckpt: pytorch_model\.bin: model\.attn1\.q_adapter_down\.weight: .*q_adapter_up/,
    );
    expect(readdirSync(folder)).toEqual(["pytorch_model.bin"]);
  });

  it("umask decides the mode", async () => {
    const folder = temporaryFolder();
    bin(folder, plain());
    const main = fileURLToPath(new URL("../../../bin/vista-ckpt.js", import.meta.url));
    spawnSync("sh", ["-c", `umask 027; "${process.execPath}" "${main}" to-st -q`], { cwd: folder });
    expect((statSync(join(folder, "ckpts/vista.safetensors")).mode & 0o777).toString(8)).toBe("640");
  });
});

describe("options", () => {
  it("--raw keeps names and tensors", async () => {
    const folder = temporaryFolder();
    bin(folder, { ...plain(), "model_ema.decay": new FakeTensor([0.5]) });
    const report = await toSt(["--raw", "-o", "x.safetensors"], folder);
    expect(report).toMatchObject({ tensors: 3, vista: null });
  });

  it.each([
    ["fp16", "F16"],
    ["bf16", "BF16"],
    ["fp32", "F32"],
    ["keep", "F32"],
  ])("--dtype %s", async (dtype, spelled) => {
    const folder = temporaryFolder();
    bin(folder, plain());
    await toSt(["--dtype", dtype, "-o", "x.safetensors"], folder);
    const { state } = await openSafetensors(join(folder, "x.safetensors"));
    expect(new Set([...state.tensors.values()].map((tensor) => tensor.dtype))).toEqual(new Set([spelled]));
    await state.close();
  });

  it("--metadata, in the order given", async () => {
    const folder = temporaryFolder();
    bin(folder, plain());
    await toSt(["--metadata", "format=pt", "--metadata", "a=b=c", "-o", "x.safetensors"], folder);
    const { state, metadata } = await openSafetensors(join(folder, "x.safetensors"));
    await state.close();
    expect([...metadata!]).toEqual([
      ["format", "pt"],
      ["a", "b=c"],
    ]);
  });

  it("--max-shard-size in decimal units", async () => {
    const folder = temporaryFolder();
    bin(folder, { [`${P}a`]: new FakeTensor(new Array(250).fill(1)), [`${P}b`]: new FakeTensor([1]) });
    const report = await toSt(["--max-shard-size", "1KB", "-o", "x.safetensors"], folder);
    expect(report.files.length).toBe(2);
    expect(report.output).toBe(join(folder, "x.safetensors.index.json"));
    expect(existsSync(join(folder, "x-00002-of-00002.safetensors"))).toBe(true);
  });

  it("--lora-scale", async () => {
    const folder = temporaryFolder();
    bin(folder, {
      [`${P}x.to_q.weight`]: new FakeTensor([1], [1, 1]),
      [`${P}x.q_adapter_down.weight`]: new FakeTensor([3], [1, 1]),
      [`${P}x.q_adapter_up.weight`]: new FakeTensor([5], [1, 1]),
    });
    await toSt(["--lora-scale", "0.5", "-o", "x.safetensors"], folder);
    const { state } = await openSafetensors(join(folder, "x.safetensors"));
    expect(await floatsOf(state.tensors.get("x.to_q.weight")!)).toEqual([8.5]);
    await state.close();
  });

  it("--dry-run writes nothing, not even the folder", async () => {
    const folder = temporaryFolder();
    bin(folder, plain());
    const result = await runCli("vista-ckpt", ["to-st", "--dry-run"], { cwd: folder });
    expect(result.stdout).toMatch(/^would write ckpts\/vista\.safetensors/);
    expect(readdirSync(folder)).toEqual(["pytorch_model.bin"]);
  });
});

describe("what goes wrong", () => {
  const cases: [string, (folder: string) => string[], number, RegExp][] = [
    [
      "no pytorch_model.bin here",
      () => [],
      1,
      /^vista-ckpt: pytorch_model\.bin: cannot open the checkpoint: no such file/,
    ],
    ["an empty folder", () => ["."], 1, /no ZeRO checkpoint here or below/],
    [
      "an output that exists",
      (folder) => {
        writeFileSync(join(folder, "x.safetensors"), "old");
        bin(folder, plain());
        return ["-o", "x.safetensors"];
      },
      1,
      /x\.safetensors: the output already exists.*--force/,
    ],
    [
      "an output that is a folder",
      (folder) => {
        mkdirSync(join(folder, "x"));
        bin(folder, plain());
        return ["-o", "x"];
      },
      1,
      /x: the output is an existing folder/,
    ],
    [
      "an output in a folder that is not there",
      (folder) => {
        bin(folder, plain());
        return ["-o", "gone/x.safetensors"];
      },
      1,
      /gone: the folder of the output does not exist/,
    ],
    [
      "an output named as a torch file",
      (folder) => {
        bin(folder, plain());
        return ["-o", "x.bin"];
      },
      2,
      /to-st writes safetensors/,
    ],
    ["two outputs", () => ["a", "b", "-o", "c"], 2, /two outputs: b and c/],
    ["an unknown dtype", () => ["--dtype", "fp8"], 2, /fp8.*keep, fp32, fp16, bf16/],
    ["a size that is none", () => ["--max-shard-size", "big"], 2, /5GB/],
    ["a scale that is none", () => ["--lora-scale", "x"], 2, /It is a number/],
    ["metadata without =", () => ["--metadata", "x"], 2, /key=value/],
    [
      "a tag for a file",
      (folder) => {
        bin(folder, plain());
        return ["--tag", "x"];
      },
      2,
      /a tag is a folder of a ZeRO checkpoint/,
    ],
    [
      "names without the prefix",
      (folder) => {
        bin(folder, { a: new FakeTensor([1]), [`${P}b`]: new FakeTensor([1]) });
        return [];
      },
      1,
      /pytorch_model\.bin: 1 of 2 names do not have the prefix.*--keep-unprefixed/,
    ],
    [
      "a text file",
      (folder) => {
        writeFileSync(join(folder, "pytorch_model.bin"), "hello, world");
        return [];
      },
      1,
      /not a checkpoint that is known here: 12 bytes that begin with "hello, world"/,
    ],
    [
      "an empty file named safetensors",
      (folder) => {
        writeFileSync(join(folder, "x.safetensors"), "");
        return ["x.safetensors"];
      },
      1,
      /x\.safetensors: the file has 0 bytes/,
    ],
    [
      "a damaged record",
      (folder) => {
        const path = bin(folder, plain());
        const bytes = readFileSync(path);
        const at = bytes.indexOf(Buffer.from(Float32Array.of(1, 2).buffer));
        bytes[at] = bytes[at]! ^ 1;
        writeFileSync(path, bytes);
        return [];
      },
      1,
      /pytorch_model\.bin: .*data\/0.*CRC-32.*--no-verify/,
    ],
  ];
  it.each(cases)("%s", async (_, prepare, code, message) => {
    const folder = temporaryFolder();
    const args = prepare(folder);
    const before = readdirSync(folder).sort();
    const result = await runCli("vista-ckpt", ["to-st", ...args], { cwd: folder });
    expect(result.stderr).toMatch(message);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr).not.toContain("internal error");
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  it("a folder that may not be written to", async () => {
    const folder = temporaryFolder();
    bin(folder, plain());
    mkdirSync(join(folder, "out"));
    chmodSync(join(folder, "out"), 0o555);
    const result = await runCli("vista-ckpt", ["to-st", "-o", "out/x.safetensors"], { cwd: folder });
    // root may write anywhere
    if (process.getuid?.() === 0) expect(result.code).toBe(0);
    else expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("permission denied") });
  });

  it("Ctrl-C: exit 130, nothing left", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "out"));
    const tensors: Record<string, Fake> = {};
    // One storage under forty names, of each of which safetensors has its own bytes.
    const bytes = new Uint8Array(4 << 20);
    for (let i = 0; i < 40; i++) tensors[`${P}w${i}`] = new FakeTensor(bytes, [1 << 20]);
    bin(folder, tensors);
    let stop: ((signal: NodeJS.Signals) => void) | undefined;
    // Once: a second Ctrl-C means "now", without a message.
    const watcher = watch(join(folder, "out"), () => {
      stop?.("SIGINT");
      stop = undefined;
    });
    const result = await runCli("vista-ckpt", ["to-st", "-o", "out/x.safetensors"], {
      cwd: folder,
      onStart: (kill) => {
        stop = kill;
      },
    });
    watcher.close();
    expect(result).toMatchObject({ code: 130, stdout: "", stderr: expect.stringContaining("interrupted") });
    expect(readdirSync(join(folder, "out"))).toEqual([]);
  });
});

describe("merge", () => {
  it("-o x.safetensors, --dtype and --max-shard-size", async () => {
    const folder = temporaryFolder();
    const args = [
      "merge",
      join(ZERO, "stage2-fp32-2ranks"),
      "-o",
      "m.safetensors",
      "--dtype",
      "bf16",
      "--max-shard-size",
      "100B",
    ];
    expect((await runCli("vista-ckpt", args, { cwd: folder })).code).toBe(0);
    const names = readdirSync(folder);
    expect(names).toContain("m.safetensors.index.json");
    expect(names.length).toBeGreaterThan(2);
  });

  it("--metadata is for safetensors", async () => {
    const args = ["merge", join(ZERO, "stage2-fp32-2ranks"), "-o", "m.bin", "--metadata", "a=b"];
    const result = await runCli("vista-ckpt", args, { cwd: temporaryFolder() });
    expect(result).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("metadata are for safetensors, and the output is a torch file"),
    });
  });
});
