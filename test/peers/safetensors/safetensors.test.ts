import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { PythonPeer } from "../python.js";

const CHECK = fileURLToPath(new URL("check.py", import.meta.url));
const ZERO = fileURLToPath(new URL("../../../fixtures/zero/", import.meta.url));

/** What huggingface_hub would do with a state dict: the index, where there is more than one file. */
interface Plan {
  metadata: unknown;
  weight_map: Record<string, string>;
  sharded: boolean;
}

type Digests = Record<string, [dtype: string, shape: number[], sha256: string]>;

let check: PythonPeer;
const digests = (...paths: string[]) => check.ask<Digests[]>("digests", ...paths);

let folder: string;
const at = (name: string) => join(folder, name);

async function run(...args: string[]): Promise<string> {
  const result = await runCli("vista-ckpt", args);
  expect(result).toMatchObject({ code: 0, stderr: "" });
  return result.stdout;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vista-peers-st-"));
  check = new PythonPeer("zero", CHECK);
  await check.ask("make", folder);
});
afterAll(() => check?.end());

describe("torch files of the real torch", () => {
  it.each(["zip.bin", "legacy.bin", "lightning.ckpt"])(
    "%s becomes byte for byte what save_file writes",
    async (name) => {
      await run("to-st", at(name), "--raw", "-o", at(`${name}.safetensors`));
      const written = await readFile(at(`${name}.safetensors`));
      expect(written.equals(await readFile(at("reference.safetensors")))).toBe(true);
    },
  );

  it("with metadata too", async () => {
    await run("to-st", at("zip.bin"), "--raw", "--metadata", "format=pt", "-o", at("pt.safetensors"));
    expect(
      (await readFile(at("pt.safetensors"))).equals(await readFile(at("reference-pt.safetensors"))),
    ).toBe(true);
  });

  it("--dtype bf16 and fp16 round as torch does", async () => {
    const expected = await check.ask<Digests[]>("to16", at("zip.bin"));
    for (const [i, dtype] of ["bf16", "fp16"].entries()) {
      await run("to-st", at("zip.bin"), "--raw", "--dtype", dtype, "-o", at(`${dtype}.safetensors`));
      expect((await digests(at(`${dtype}.safetensors`)))[0]).toEqual(expected[i]);
    }
  });

  it("to-st of the library's own file, and diff, find no difference", async () => {
    await run("to-st", at("reference.safetensors"), "--raw", "-o", at("again.safetensors"));
    expect(
      (await readFile(at("again.safetensors"))).equals(await readFile(at("reference.safetensors"))),
    ).toBe(true);
    expect(await run("diff", at("legacy.bin"), at("reference.safetensors"))).toMatch(
      /^equal: 12 tensors the same/,
    );
  });

  it("verify counts NaN and infinity as torch sees them", async () => {
    const report = JSON.parse(await run("verify", at("zip.bin"), "--json"));
    expect(report).toMatchObject({ ok: true, nonFinite: [{ nan: 1, inf: 1 }] });
  });
});

describe("shards", () => {
  it.each(["safetensors", "bin"])(
    "of %s: torch and safetensors read each, and all together are the whole",
    async (extension) => {
      mkdirSync(at(extension));
      const checkpoint = join(ZERO, "stage2-fp32-3ranks-groups");
      await run(
        "merge",
        checkpoint,
        "-o",
        at(`${extension}/pytorch_model.${extension}`),
        "--max-shard-size",
        "1KB",
      );
      await run("merge", checkpoint, "-o", at(`${extension}-whole.bin`));
      const index = JSON.parse(
        readFileSync(at(`${extension}/pytorch_model.${extension}.index.json`), "utf8"),
      );
      const shards = readdirSync(at(extension)).filter((name) => name.includes("-of-"));
      expect(shards.length).toBeGreaterThan(1);
      const [whole, ...parts] = await digests(
        at(`${extension}-whole.bin`),
        ...shards.map((name) => at(`${extension}/${name}`)),
      );
      expect(Object.assign({}, ...parts)).toEqual(whole);
      shards.forEach((shard, i) => {
        for (const name of Object.keys(parts[i]!)) expect(index.weight_map[name]).toBe(shard);
      });
    },
  );

  it.each([
    ["safetensors", "stage2-fp32-3ranks-groups"],
    ["bin", "stage2-fp32-3ranks-groups"],
    ["bin", "stage2-fp32-2ranks-tied"],
    ["safetensors", "vista-phase1"],
    ["bin", "vista-phase2"],
  ])("as %s of %s: what goes into which file is what huggingface_hub says", async (extension, fixture) => {
    const whole = at(`hub-${fixture}-${extension}.bin`);
    await run("merge", join(ZERO, fixture), "-o", whole);
    const sizes = fixture.startsWith("vista") ? [20_000, 100_000] : [100, 1000, 4096, 100_000];
    const plans = await check.ask<Plan[]>("split", whole, `model{suffix}.${extension}`, ...sizes);
    let sharded = 0;
    for (const [i, size] of sizes.entries()) {
      const place = at(`hub-${fixture}-${extension}-${size}`);
      mkdirSync(place);
      await run(
        "merge",
        join(ZERO, fixture),
        "-o",
        join(place, `model.${extension}`),
        "--max-shard-size",
        `${size}B`,
      );
      if (!plans[i]!.sharded) {
        expect(readdirSync(place)).toEqual([`model.${extension}`]);
        continue;
      }
      sharded++;
      const index = JSON.parse(readFileSync(join(place, `model.${extension}.index.json`), "utf8"));
      // Beside what huggingface_hub writes: size and CRC-32 of each shard.
      const { shards, ...metadata } = index.metadata;
      expect({ ...index, metadata, sharded: true }).toEqual(plans[i]);
      expect(Object.keys(shards).sort()).toEqual([...new Set(Object.values(index.weight_map))].sort());
      for (const [name, { size: bytes, crc32: digest }] of Object.entries<{ size: number; crc32: string }>(
        shards,
      )) {
        const content = readFileSync(join(place, name));
        expect([bytes, Number.parseInt(digest, 16)]).toEqual([content.length, crc32(content)]);
      }
    }
    expect(sharded).toBeGreaterThan(1);
  });

  it("the merged file opened by torch is the safetensors opened by safetensors", async () => {
    await run("merge", join(ZERO, "vista-phase1"), "-o", at("v.bin"));
    await run("merge", join(ZERO, "vista-phase1"), "-o", at("v.safetensors"));
    const [bin, st] = await digests(at("v.bin"), at("v.safetensors"));
    expect(st).toEqual(bin);
  });
});

it("Vista's steps on the .bin, checked by torch's own arithmetic", async () => {
  await run("merge", join(ZERO, "vista-phase2"), "-o", at("p2.bin"));
  await run("to-st", at("p2.bin"), "-o", at("p2.safetensors"));
  expect(await check.ask<number>("adapters", at("p2.bin"), at("p2.safetensors"))).toBeLessThan(6e-8);
});
