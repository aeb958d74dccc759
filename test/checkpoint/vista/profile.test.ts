/** `to-st --profile`: whose steps are taken, told or asked for, and always said. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openSafetensors } from "../../../src/checkpoint/safetensors/read.js";
import { runCli } from "../../helpers/cli.js";
import { digestsOf, FIXTURES, floatsOf, temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, torchZip } from "../../helpers/torch-file.js";

const COSMOS = join(FIXTURES, "dcp/cosmos-2ranks");
const P = "_forward_module.";

function torchFile(tensors: Record<string, Fake>): string {
  const path = join(temporaryFolder(), "in.pt");
  writeFileSync(path, torchZip(new Map(Object.entries(tensors))));
  return path;
}

/** The names with their values, and the report. */
async function convert(input: string, ...options: string[]) {
  const output = join(temporaryFolder(), "out.safetensors");
  const { code, stdout, stderr } = await runCli("vista-ckpt", [
    ...["to-st", input, "-o", output, "--json"],
    ...options,
  ]);
  expect([code, stderr]).toEqual([0, ""]);
  const { state } = await openSafetensors(output);
  const values: Record<string, number[]> = {};
  for (const [name, tensor] of state.tensors) values[name] = await floatsOf(tensor);
  const digests = await digestsOf(state);
  await state.close();
  return { values, digests, report: JSON.parse(stdout) };
}

describe("cosmos", () => {
  it("a folder of Cosmos is told by its names: the EMA's values, by torch's digests, under the names of the weights", async () => {
    const { digests, report } = await convert(COSMOS);
    const torch = JSON.parse(readFileSync(`${COSMOS}.json`, "utf8")) as Record<string, { sha256: string }>;
    const shadows = Object.entries(torch).filter(([name]) => name.startsWith("net_ema."));
    expect(shadows.length).toBe(2);
    const ours = Object.fromEntries(digests.map(({ name, sha256 }) => [name, sha256]));
    expect(ours).toEqual(
      Object.fromEntries(shadows.map(([name, { sha256 }]) => [name.replace("net_ema.", "net."), sha256])),
    );
    expect(report).toMatchObject({ profile: "cosmos", profileDetected: true, cosmos: { renamed: 2 } });
  });

  it("says so, and what was left out", async () => {
    const output = join(temporaryFolder(), "out.safetensors");
    const { stdout } = await runCli("vista-ckpt", ["to-st", COSMOS, "-o", output]);
    expect(stdout).toContain("profile cosmos, told by the names");
    expect(stdout).toContain("net_ema. → net.: 2 names");
    expect(stdout).toMatch(/dropped 2 tensors, the EMA takes its place: net\.blocks\.0\./);
  });

  it("what is not part of the EMA is left out as Cosmos' converter does, and named apart", async () => {
    const input = torchFile({
      "net.a": new FakeTensor([1]),
      "net.only": new FakeTensor([2]),
      "net_ema.a": new FakeTensor([3]),
      "net_fake_score.a": new FakeTensor([4]),
    });
    const { values, report } = await convert(input);
    expect(values).toEqual({ "net.a": [3] });
    expect(report.cosmos.dropped).toEqual([
      { name: "net.a", why: "the EMA takes its place" },
      { name: "net.only", why: "not part of the EMA" },
      { name: "net_fake_score.a", why: "not part of the EMA" },
    ]);
  });

  it("--no-ema takes the trained weights; without an EMA all stays", async () => {
    const input = torchFile({ "net.a": new FakeTensor([1]), "net_ema.a": new FakeTensor([3]) });
    expect((await convert(input, "--no-ema")).values).toEqual({ "net.a": [1] });
    const plain = torchFile({ "net.a": new FakeTensor([1]), "net.b": new FakeTensor([2]) });
    expect((await convert(plain, "--profile", "cosmos")).values).toEqual({ "net.a": [1], "net.b": [2] });
  });

  it("is not taken for names that could be another model's", async () => {
    const input = torchFile({ "net.a": new FakeTensor([1]), other: new FakeTensor([3]) });
    const { code, stderr } = await runCli("vista-ckpt", ["to-st", input]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/do not have the prefix _forward_module\..*--profile/);
  });

  it.each([
    ["no net", { "model.a": new FakeTensor([1]) }, /no name begins with net\. or net_ema\./],
    [
      "another shape",
      { "net.a": new FakeTensor([1]), "net_ema.a": new FakeTensor([1, 2]) },
      /net_ema\.a: it has shape \[2\], net\.a has \[1\]/,
    ],
  ])("%s is refused", async (_, tensors, message) => {
    const output = join(temporaryFolder(), "x.safetensors");
    const args = ["to-st", torchFile(tensors), "--profile", "cosmos", "-o", output];
    const { code, stderr } = await runCli("vista-ckpt", args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});

describe("gem", () => {
  it("merges LoRA, takes the prefix off where it is, and leaves an EMA out", async () => {
    const input = torchFile({
      [`${P}x.to_q.weight`]: new FakeTensor([1], [1, 1]),
      [`${P}x.q_adapter_down.weight`]: new FakeTensor([3], [1, 1]),
      [`${P}x.q_adapter_up.weight`]: new FakeTensor([5], [1, 1]),
      [`${P}model.a`]: new FakeTensor([7]),
      [`${P}model_ema.a`]: new FakeTensor([8]),
      [`${P}model_ema.decay`]: new FakeTensor([0.5]),
      plain: new FakeTensor([9]),
    });
    const { values, report } = await convert(input, "--profile", "gem");
    expect(values).toEqual({ "model.a": [7], plain: [9], "x.to_q.weight": [16] });
    expect(report).toMatchObject({ profile: "gem", profileDetected: false });
    expect(report.vista.dropped.map(({ name }: { name: string }) => name)).toEqual([
      "model_ema.a",
      "model_ema.decay",
    ]);
  });
});

describe("none and vista", () => {
  const tensors = () => ({ [`${P}model.a`]: new FakeTensor([1]), [`${P}model_ema.a`]: new FakeTensor([2]) });

  it("none is --raw; vista is the default", async () => {
    const input = torchFile(tensors());
    const none = await convert(input, "--profile", "none");
    const raw = await convert(input, "--raw");
    expect(none.values).toEqual({ [`${P}model.a`]: [1], [`${P}model_ema.a`]: [2] });
    expect(raw.digests).toEqual(none.digests);
    expect([raw.report.profile, none.report.profile]).toEqual(["none", "none"]);
    const vista = await convert(input);
    expect(vista.values).toEqual({ "model.a": [2] });
    expect(vista.report).toMatchObject({ profile: "vista", profileDetected: true });
  });

  it("options that contradict one another are wrong usage", async () => {
    const input = torchFile(tensors());
    for (const options of [
      ["--raw", "--profile", "vista"],
      ["--profile", "cosmos", "--no-lora"],
      ["--profile", "other"],
      ["--raw", "--no-ema"],
      ["--profile", "none", "--lora-scale", "2"],
      ["--no-lora", "--lora-scale", "2"],
    ]) {
      const { code, stderr } = await runCli("vista-ckpt", ["to-st", input, ...options]);
      expect([options, code]).toEqual([options, 2]);
      expect(stderr).not.toBe("");
    }
  });
});
