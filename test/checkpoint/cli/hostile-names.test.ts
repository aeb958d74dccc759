/**
 * Names with escape codes, line breaks, characters that turn the direction of text and a length of 100,000, walked through
 * the text output of every command that shows names from files: none may reach the terminal as it is.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, torchZip, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const EVIL =
  "\u001b[31mred\u001b[0m\u001b]0;title\u0007\r\nwrote \u202eevil\u2066\u200f\u009b2J\u0000\u2028\u{e0041}";
const LONG = "n".repeat(100_000);

/** What a terminal would act on; a line break ends a line of ours. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

async function texts(
  args: readonly string[],
  options: { program?: string; cwd?: string } = {},
): Promise<string> {
  const { program = "vista-ckpt", cwd } = options;
  const { stdout, stderr } = await runCli(program, args, cwd === undefined ? {} : { cwd });
  for (const line of `${stdout}${stderr}`.split("\n")) {
    expect(UNPRINTABLE.test(line), JSON.stringify(line.slice(0, 300))).toBe(false);
    expect(line.length).toBeLessThan(30_000);
  }
  return stdout + stderr;
}

const tensor = (value: number) => new FakeTensor([value, 2]);

function files() {
  const folder = temporaryFolder();
  const torch = join(folder, "torch.bin");
  writeFileSync(
    torch,
    torchZip(new Map<string, never>([EVIL, LONG, `${EVIL}.x`].map((name) => [name, tensor(1) as never]))),
  );
  const other = join(folder, "other.bin");
  writeFileSync(
    other,
    torchZip(
      new Map<string, never>([
        [EVIL, tensor(Number.NaN) as never],
        [`only${EVIL}`, tensor(1) as never],
        ["no", 3 as never],
      ]),
    ),
  );
  const zero = join(folder, "zero.ckpt");
  writeFakeCheckpoint(zero, {
    stage: 2,
    partitions: [[new FakeTensor([1, 2, 3, 4])]],
    paramShapes: [{ [EVIL]: [2], [LONG]: [2] }],
    module: new Map<string, never>([
      [EVIL, tensor(1) as never],
      [LONG, tensor(1) as never],
      [`orphan${EVIL}`, tensor(1) as never],
      [`${EVIL}extra`, "text" as never],
    ]),
    buffers: [],
    model: { "pytorch-lightning_version": EVIL },
    shard: () => ({}),
  });
  const header = JSON.stringify({
    __metadata__: { [EVIL]: EVIL, long: LONG },
    [EVIL]: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  const safetensors = join(folder, "x.safetensors");
  writeFileSync(safetensors, Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]));
  const broken = join(folder, "broken.index.json");
  writeFileSync(broken, JSON.stringify({ weight_map: { [EVIL]: `${EVIL}.bin` } }));
  return { folder, torch, other, zero, safetensors, broken };
}

describe("names from files reach the terminal only as text", () => {
  const { folder, torch, other, zero, safetensors, broken } = files();

  it.each([
    ["inspect", [torch]],
    ["inspect", [torch, "--tensors"]],
    ["inspect", [safetensors]],
    ["inspect", [zero]],
    ["inspect", [zero, torch, safetensors]],
    ["inspect", [broken]],
    ["verify", [other]],
    ["verify", [broken]],
    ["verify", [zero, other]],
    ["diff", [torch, other]],
    ["diff", [other, torch]],
    ["merge", [zero, join(folder, "out.bin"), "--force"]],
    ["merge", [zero, join(folder, "out.bin"), "--dry-run", "--force"]],
    ["to-st", [torch, join(folder, "a.safetensors"), "--raw"]],
    ["to-st", [zero, join(folder, "b.safetensors")]],
    ["scan", [folder]],
  ] as const)("%s %s", async (command, args) => {
    const said = await texts([command, ...args]);
    expect(said.length).toBeGreaterThan(20);
  });

  it("they are shown, with what is unprintable in them spelled out", async () => {
    expect(await texts(["inspect", torch])).toContain("\\u001b[31mred\\u001b[0m");
    expect(await texts(["inspect", torch])).toContain("n… (100000 characters)");
    expect(await texts(["merge", zero, join(folder, "c.bin")])).toMatch(/recovered from .*orphan\\u001b/);
  });

  it("an error about long ones is a whole sentence", async () => {
    const twice = join(folder, "twice.bin");
    const names = [`${EVIL}${LONG}`, `_forward_module.${EVIL}${LONG}`];
    writeFileSync(twice, torchZip(new Map<string, never>(names.map((name) => [name, tensor(1) as never]))));
    const said = await texts(["to-st", twice, join(folder, "d.safetensors")]);
    expect(said).toMatch(
      /n… \(1000\d+ characters\): without the prefix _forward_module\. it has the name of .*n… \(1000\d+ characters\)\. Use --raw/,
    );
  });

  it("vista-data check and stats show names of annotations and videos as text", async () => {
    const root = temporaryFolder();
    mkdirSync(join(root, "annos"));
    const record = {
      frames: Array.from({ length: 25 }, (_, i) => `${EVIL}${i}.jpg`),
      traj: [0, 0],
      cmd: EVIL,
    };
    writeFileSync(join(root, "annos/nuScenes.json"), JSON.stringify([record, { [EVIL]: EVIL }, EVIL]));
    await texts(["check", root], { program: "vista-data" });
    await texts(["stats", root], { program: "vista-data" });
  });

  it("vista-train status shows a run's names as text", async () => {
    const run = temporaryFolder();
    mkdirSync(join(run, "checkpoints"), { recursive: true });
    mkdirSync(join(run, "testtube/version_0"), { recursive: true });
    writeFileSync(join(run, "testtube/version_0/metrics.csv"), `${EVIL.replace(/[\r\n]/g, "")},step\n1,2\n`);
    writeFileSync(join(run, "checkpoints", `e\u001b[31m\u202e.ckpt`), "x");
    const said = await texts(["status", run], { program: "vista-train" });
    expect(said).toContain("e\\u001b[31m\\u202e.ckpt");
  });
});
