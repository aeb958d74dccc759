/** An option is heeded wherever it is taken, or refused where nothing would come of it. */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, test } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { FIXTURES, temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, Instance, torchZip } from "../../helpers/torch-file.js";

/** A folder of each kind that is no ZeRO checkpoint. */
function folders(): Record<string, string> {
  const weights = temporaryFolder();
  copyFileSync(join(FIXTURES, "safetensors/plain.safetensors"), join(weights, "model.safetensors"));
  const sharded = temporaryFolder();
  copyFileSync(join(FIXTURES, "safetensors/plain.safetensors"), join(sharded, "a.safetensors"));
  writeFileSync(join(sharded, "model.safetensors.index.json"), '{"weight_map": {"x": "a.safetensors"}}');
  const cosmos = temporaryFolder();
  mkdirSync(join(cosmos, "iter"));
  symlinkSync(join(FIXTURES, "dcp/1d-4ranks"), join(cosmos, "iter/model"));
  return { weights, sharded, dcp: join(FIXTURES, "dcp/1d-4ranks"), cosmos: join(cosmos, "iter") };
}

describe.each(Object.entries(folders()))("a folder without ZeRO, %s", (_, folder) => {
  it.each([
    ["inspect", "--tag", "step1"],
    ["merge", "--tag", "step1"],
    ["merge", "--exclude-frozen"],
    ["merge", "--no-recover"],
  ])("%s %s is refused", async (command, ...options) => {
    const output = command === "merge" ? ["-o", join(temporaryFolder(), "x.bin")] : [];
    const { code, stderr } = await runCli("vista-ckpt", [command, folder, ...options, ...output]);
    expect(stderr).toMatch(/of a ZeRO checkpoint, and this is a folder /);
    expect(code).toBe(2);
  });
});

test("--key is refused for the safetensors form of DCP, whose tensors have no entries", async () => {
  const args = ["inspect", join(FIXTURES, "dcp/safetensors-3ranks"), "--key", "model"];
  const { code, stderr } = await runCli("vista-ckpt", args);
  expect(stderr).toMatch(/--key names an entry of the saved dict, and the safetensors form has none/);
  expect(code).toBe(2);
});

const ZERO = join(FIXTURES, "zero/stage2-fp32-2ranks");
const PLAIN = join(FIXTURES, "safetensors/plain.safetensors");

test.each([
  [["verify", PLAIN, "--tag", "step1"], "a tag is a folder of a ZeRO checkpoint, and this is a file"],
  // A key that is not there says nothing of damage.
  [["verify", ZERO, "--key", "nonsense"], "no state dict under --key nonsense"],
  [["to-st", ZERO, "--raw", "--no-ema"], "--no-ema and --raw contradict one another"],
  [["to-st", ZERO, "--profile", "none", "--lora-scale", "2"], "--lora-scale and --profile none contradict"],
  [["inspect", PLAIN, "--tensors", "--depth", "2"], "--tensors shows no tree"],
  [["inspect", PLAIN, ZERO, "--tensors"], "--tensors is about one input, there are 2"],
  [["inspect", PLAIN, ZERO, "--depth", "2"], "--depth is about one input, there are 2"],
])("%j is wrong usage", async (args, words) => {
  const { code, stderr } = await runCli("vista-ckpt", args);
  expect([code, stderr]).toEqual([2, expect.stringContaining(words)]);
});

describe("names outside the known list, in a pickle", () => {
  const path = join(temporaryFolder(), "odd.pt");
  writeFileSync(
    path,
    torchZip(
      new Map<Fake, Fake>([
        ["w", new FakeTensor([1])],
        ["x", new Instance("my_code", "Thing", {})],
      ]),
    ),
  );

  it.each([
    ["diff", path, path],
    ["inspect", path, "--tensor", "w"],
    ["inspect", path],
  ])("%s warns of them, and -q silences it", async (...args) => {
    const loud = await runCli("vista-ckpt", args);
    expect(loud).toMatchObject({ code: 0, stderr: expect.stringContaining("my_code.Thing") });
    expect(await runCli("vista-ckpt", [...args, "-q"])).toMatchObject({ code: 0, stderr: "" });
  });
});
