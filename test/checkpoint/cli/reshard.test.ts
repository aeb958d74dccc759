/** `vista-ckpt reshard`: what it says, what it refuses, and what is left when it fails. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { defaultReshardOutput, reshardCheckpoint } from "../../../src/checkpoint/reshard.js";
import { runCli } from "../../helpers/cli.js";
import { copyFolder } from "../../helpers/copy.js";
import { signalAt } from "../../helpers/signal-at.js";
import { temporaryFolder } from "../../helpers/state.js";
import { type Fake, FakeTensor, writeFakeCheckpoint } from "../../helpers/torch-file.js";

const ZERO = fileURLToPath(new URL("../../../fixtures/zero", import.meta.url));

/** A copy of a real checkpoint as `last.ckpt` in a folder of its own. */
function copyOf(name: string): string {
  return copyFolder(join(ZERO, name), join(temporaryFolder(), "last.ckpt"));
}

const reshard = (...args: string[]) => runCli("vista-ckpt", ["reshard", ...args, "--no-fsync"]);

describe("vista-ckpt reshard", () => {
  it("writes the folder beside the original, says what moved and what becomes of the batch", async () => {
    const folder = copyOf("stage2-fp32-3ranks-groups");
    writeFileSync(join(folder, "zero_to_fp32.py"), "# DeepSpeed's\n");
    const { code, stdout } = await reshard(folder, "--ranks", "6");
    expect(code).toBe(0);
    const output = folder.replace("last.ckpt", "last-6ranks.ckpt");
    expect(stdout).toContain(`wrote ${output}, for 6 ranks instead of 3`);
    expect(stdout).toContain(
      "10 parameter tensors of 366 elements, each with the optimizer's exp_avg, exp_avg_sq",
    );
    // 2 a GPU: 6 samples a step before, 12 now; no accumulation halves it.
    expect(stdout).toContain("effective batch: 12 (2 a GPU × gradient accumulation 1 × 6 GPUs), it was 6");
    expect(stdout).toContain("exactly it would be 0.5");
    expect(readFileSync(join(output, "latest"), "utf8")).toBe("global_step2");
    expect(readdirSync(output).sort()).toEqual(["global_step2", "latest", "zero_to_fp32.py"]);
    expect(readdirSync(join(output, "global_step2")).sort()).toEqual([
      "mp_rank_00_model_states.pt",
      ...[0, 1, 2, 3, 4, 5].map((rank) => `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`),
    ]);
    // Fewer GPUs: accumulation keeps the batch.
    expect((await reshard(folder, "--ranks", "1", "--dry-run")).stdout).toContain(
      "accumulate_grad_batches=3 keeps the old one",
    );
  });

  it("has files of BF16_Optimizer under their own names", async () => {
    const folder = copyOf("stage1-bf16-optimizer-3ranks");
    expect((await reshard(folder, "--ranks", "2")).code).toBe(0);
    const names = readdirSync(join(folder.replace("last.ckpt", "last-2ranks.ckpt"), "global_step2"));
    expect(names.sort()).toEqual([
      "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt",
      "bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt",
      "mp_rank_00_model_states.pt",
    ]);
  });

  it("--dry-run shows each group and writes nothing; --json has the same numbers", async () => {
    const folder = copyOf("stage2-fp32-5ranks");
    const parent = join(folder, "..");
    const shown = await reshard(folder, "--ranks", "4", "--dry-run");
    // 6 + 6 elements for 4 ranks: 16 with padding to a multiple of 8; for 5 ranks it was 20.
    expect(shown.stdout).toContain(
      "group 2: 2 parameter tensors, 12 elements; a rank holds 4 instead of 4, padding 4 instead of 8",
    );
    const { stdout } = await reshard(folder, "--ranks", "4", "--dry-run", "--json");
    const json = JSON.parse(stdout);
    expect(json.groups[2]).toEqual({
      parameters: 2,
      numel: 12,
      partitionBefore: 4,
      partition: 4,
      paddingBefore: 8,
      padding: 4,
    });
    expect([json.command, json.ranks, json.ranksBefore, json.dryRun]).toEqual(["reshard", 4, 5, true]);
    expect(readdirSync(parent)).toEqual(["last.ckpt"]);
  });

  it("says on stderr that a shard may be a copy of another rank's; --json has it, too", async () => {
    const folder = copyOf("stage3-fp32-2ranks");
    const shard = (rank: number) =>
      join(folder, "global_step2", `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`);
    copyFileSync(shard(0), shard(1));
    const { code, stdout, stderr } = await reshard(folder, "--ranks", "3", "--dry-run", "--json");
    const said = "the shards of ranks 0 and 1 hold the same weights: one may be a copy of the other";
    expect([code, stderr]).toEqual([0, `vista-ckpt: warning: ${said}\n`]);
    expect(JSON.parse(stdout).warnings).toEqual([said]);
    expect((await reshard(folder, "--ranks", "3", "--dry-run", "--quiet")).stderr).toBe("");
  });

  it.each(["0", "-1", "1.5", "eight"])("--ranks %s is wrong usage", async (ranks) => {
    const { code, stderr } = await reshard(copyOf("stage2-fp32-2ranks"), `--ranks=${ranks}`);
    expect(code).toBe(2);
    expect(stderr).toContain("a whole number, 1 or more");
  });

  it("--ranks beyond the largest is refused with the bound that holds", async () => {
    const { code, stderr } = await reshard(copyOf("stage2-fp32-2ranks"), "--ranks", "16385");
    expect(code).toBe(2);
    expect(stderr).toContain("16385 ranks: a checkpoint is for 1 to 16384 of them");
  });

  it("an output that exists stays, and with --force only a checkpoint is replaced", async () => {
    const folder = copyOf("stage2-fp32-2ranks");
    const output = join(folder, "..", "out");
    expect((await reshard(folder, "--ranks", "3", "-o", output)).code).toBe(0);
    const again = await reshard(folder, "--ranks", "1", "-o", output);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("already exists")]);
    expect(readdirSync(join(output, "global_step2"))).toHaveLength(4);
    expect((await reshard(folder, "--ranks", "1", "-o", output, "--force")).code).toBe(0);
    expect(readdirSync(join(output, "global_step2"))).toHaveLength(2);
    const home = join(folder, "..", "home");
    mkdirSync(home);
    writeFileSync(join(home, "thesis.tex"), "");
    const refused = await reshard(folder, "--ranks", "1", "-o", home, "--force");
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("is not replaced")]);
    expect(readdirSync(home)).toEqual(["thesis.tex"]);
  });

  it.each([".", "inside", ".."])("the output %s, seen from the original, is refused", async (way) => {
    const folder = copyOf("stage2-fp32-2ranks");
    const { code, stderr } = await reshard(folder, "--ranks", "3", "-o", join(folder, way), "--force");
    expect(code).toBe(2);
    expect(stderr).toMatch(/is, holds or lies in the input/);
    expect(readdirSync(folder).sort()).toEqual(["global_step2", "latest"]);
  });

  it("a damaged record leaves no folder, unless it is not looked at", async () => {
    const folder = copyOf("stage2-fp32-2ranks");
    const shard = join(folder, "global_step2", "zero_pp_rank_1_mp_rank_00_optim_states.pt");
    const bytes = readFileSync(shard);
    // The largest record is a state: its middle is in no pickle.
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(shard, bytes);
    const output = join(folder, "..", "out");
    const { code, stderr } = await reshard(folder, "--ranks", "3", "-o", output);
    expect(code).toBe(1);
    expect(stderr).toContain("they are damaged");
    expect(readdirSync(join(folder, ".."))).toEqual(["last.ckpt"]);
    expect((await reshard(folder, "--ranks", "3", "-o", output, "--no-verify")).code).toBe(0);
  });

  it("stopped on request it leaves no folder", async () => {
    const folder = copyOf("stage2-fp32-2ranks");
    const stop = new AbortController();
    const work = reshardCheckpoint(folder, join(folder, "..", "out"), {
      ranks: 3,
      fsync: false,
      signal: stop.signal,
      onProgress: ({ phase }) => {
        if (phase === "reshard") stop.abort();
      },
    });
    await expect(work).rejects.toThrow(/stopped on request/);
    expect(readdirSync(join(folder, ".."))).toEqual(["last.ckpt"]);
  });

  it.each([
    ["before the third of its files is made", 3, "create", 2],
    ["before the folder gets its name", 1, "name", 6],
  ] as const)(
    "killed %s it leaves nothing under the final name, and the next run clears what is left",
    async (_, step, before, written) => {
      const folder = copyOf("stage2-fp32-2ranks");
      const parent = join(folder, "..");
      const output = join(parent, "out.ckpt");
      const args = ["reshard", folder, "--ranks", "4", "-o", output];
      const env = signalAt(step, before, "SIGKILL");
      expect(await runCli("vista-ckpt", args, { process: true, env })).toMatchObject({ signal: "SIGKILL" });
      expect(existsSync(output)).toBe(false);
      const left = readdirSync(parent).filter((name) => name !== "last.ckpt");
      expect(left).toEqual([expect.stringMatching(/^\.out\.ckpt\..*\.partial$/)]);
      const files = readdirSync(join(parent, left[0]!), { recursive: true, withFileTypes: true });
      expect(files.filter((entry) => entry.isFile())).toHaveLength(written);
      expect((await reshard(folder, "--ranks", "2", "-o", output)).code).toBe(0);
      expect(readdirSync(parent).sort()).toEqual(["last.ckpt", "out.ckpt"]);
    },
  );
});

describe("for more than 32 ranks, in a thread of its own", () => {
  it("writes what the function writes, and tells the same", async () => {
    const folder = copyOf("stage2-fp32-3ranks-groups");
    const [here, there] = [join(folder, "..", "here.ckpt"), join(folder, "..", "there.ckpt")];
    const { output, ...result } = await reshardCheckpoint(folder, here, { ranks: 33, fsync: false });
    const { code, stdout } = await reshard(folder, "--ranks", "33", "-o", there, "--json");
    expect([code, output]).toEqual([0, here]);
    expect(JSON.parse(stdout)).toMatchObject({ command: "reshard", output: there, ...plain(result) });
    const names = readdirSync(here, { recursive: true, encoding: "utf8" });
    expect(names).toHaveLength(36);
    expect(readdirSync(there, { recursive: true, encoding: "utf8" }).sort()).toEqual(names.sort());
    for (const name of names.filter((each) => each.endsWith(".pt")))
      expect(readFileSync(join(there, name)).equals(readFileSync(join(here, name))), name).toBe(true);
  });

  it("an error has its code, its place and its hint, and nothing is left", async () => {
    const folder = copyOf("stage2-fp32-2ranks");
    rmSync(join(folder, "global_step2", "zero_pp_rank_1_mp_rank_00_optim_states.pt"));
    const run = (ranks: string) => reshard(folder, "--ranks", ranks, "--json");
    const [thread, here] = [await run("33"), await run("4")];
    expect(thread).toEqual(here);
    expect(thread.code).toBe(1);
    expect(JSON.parse(thread.stdout)).toMatchObject({
      error: { code: "NOT_FOUND", path: join(folder, "global_step2"), hint: expect.any(String) },
    });
    expect(readdirSync(join(folder, ".."))).toEqual(["last.ckpt"]);
  });

  it.each([
    ["Ctrl-C", "SIGINT", 1, 130, /interrupted; nothing was written\. Covered: reshard/],
    // The process ends at once, and removes what the thread was writing all the same.
    ["a second Ctrl-C", "SIGINT", 2, 130, /^$/],
  ] as const)("%s leaves nothing", async (_, signal, times, code, said) => {
    const folder = copyOf("stage2-fp32-2ranks");
    const args = ["reshard", folder, "--ranks", "33", "--no-fsync"];
    const env = signalAt(20, "create", signal, times);
    const result = await runCli("vista-ckpt", args, { process: true, env });
    expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(said) });
    expect(readdirSync(join(folder, ".."))).toEqual(["last.ckpt"]);
  });

  it("killed it leaves nothing under the final name, and the next run clears what is left", async () => {
    const folder = copyOf("stage2-fp32-2ranks");
    const args = ["reshard", folder, "--ranks", "33", "--no-fsync"];
    const env = signalAt(20, "create", "SIGKILL", 1);
    expect(await runCli("vista-ckpt", args, { process: true, env })).toMatchObject({ signal: "SIGKILL" });
    expect(readdirSync(join(folder, "..")).sort()).toEqual([
      expect.stringMatching(/^\.last-33ranks\.ckpt\..*\.partial$/),
      "last.ckpt",
    ]);
    expect((await reshard(folder, "--ranks", "33")).code).toBe(0);
    expect(readdirSync(join(folder, "..")).sort()).toEqual(["last-33ranks.ckpt", "last.ckpt"]);
  });
});

/** What JSON keeps of a value. */
const plain = (value: object) => JSON.parse(JSON.stringify(value)) as object;

it("the default output is named as the input was: relative where that was, and by what `.` stands for", () => {
  expect(defaultReshardOutput("logs/run/last.ckpt", 8)).toBe("logs/run/last-8ranks.ckpt");
  expect(defaultReshardOutput("last.ckpt/", 8)).toBe("last-8ranks.ckpt");
  expect(defaultReshardOutput("/runs/last", 8)).toBe("/runs/last-8ranks.ckpt");
  expect(defaultReshardOutput("s3://runs/phase1/last.ckpt", 8)).toBe("last-8ranks.ckpt");
  expect(dirname(defaultReshardOutput(".", 8))).toBe(dirname(process.cwd()));
});

describe("refused by name", () => {
  const refuse = async (folder: string) => {
    const { code, stderr, stdout } = await reshard(folder, "--ranks", "3");
    expect([code, stdout]).toEqual([1, ""]);
    return stderr;
  };
  const withFile = (name: string) => {
    const folder = copyOf("stage2-fp32-2ranks");
    writeFileSync(join(folder, "global_step2", name), "");
    return folder;
  };

  it.each([
    ["zero_pp_rank_0_mp_rank_01_optim_states.pt", "tensor-parallel"],
    ["layer_00-model_states.pt", "pipeline-parallel"],
    ["expert_0_mp_rank_00_model_states.pt", "mixture-of-experts"],
  ])("%s: %s", async (name, kind) => {
    expect(await refuse(withFile(name))).toContain(kind);
  });

  it("a folder of links to itself, which is not followed for ever", async () => {
    const folder = temporaryFolder();
    for (const name of ["a", "b", "c"]) symlinkSync(".", join(folder, name));
    expect(await refuse(folder)).toContain("no ZeRO checkpoint here or below");
  });

  it("a checkpoint without ZeRO, and one that lacks a shard", async () => {
    expect(await refuse(copyOf("stage0-fp32-2ranks"))).toContain("without optimizer shards");
    const folder = copyOf("stage2-fp32-2ranks");
    rmSync(join(folder, "global_step2", "zero_pp_rank_1_mp_rank_00_optim_states.pt"));
    expect(await refuse(folder)).toContain("missing: rank 1");
  });

  /** Two ranks with three elements and a padding of one; `shard` says what they say of themselves. */
  const fake = (
    shard: (rank: number) => Record<string, Fake>,
    state: number[][] = [
      [5, 6],
      [7, 0],
    ],
  ) => {
    const folder = join(temporaryFolder(), "fake");
    writeFakeCheckpoint(folder, {
      stage: 2,
      partitions: [[new FakeTensor([1, 2])], [new FakeTensor([3, 0], [1])]],
      paramShapes: [{ a: [3] }],
      shard: (rank) => ({
        base_optimizer_state: new Map<Fake, Fake>([
          [
            "state",
            new Map<Fake, Fake>([[0, new Map<Fake, Fake>([["moment", new FakeTensor(state[rank]!)]])]]),
          ],
          ["param_groups", [new Map<Fake, Fake>([["params", [0]]])]],
        ]),
        ...shard(rank),
      }),
    });
    return folder;
  };

  it("paddings that contradict the sizes, with the numbers", async () => {
    expect(
      (
        await reshard(
          fake((rank) => ({ group_paddings: [rank] })),
          "--ranks",
          "3",
        )
      ).code,
    ).toBe(0);
    expect(await refuse(fake((rank) => ({ group_paddings: [rank * 2] })))).toContain(
      "param group 0, rank 1: the sizes make a padding of 1, group_paddings says 2",
    );
  });

  it("states that are neither flat nor one value: the optimizers that have them keep blocks of their own", async () => {
    const folder = fake(
      () => ({}),
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    );
    expect(await refuse(folder)).toContain(
      "the state moment has shape [3] on rank 0, neither one value nor the 2 elements",
    );
  });

  it("states that only some ranks keep", async () => {
    const folder = fake(
      (rank): Record<string, Fake> =>
        rank === 0
          ? {}
          : {
              base_optimizer_state: new Map<Fake, Fake>([
                ["state", new Map<Fake, Fake>([[0, new Map<Fake, Fake>()]])],
                ["param_groups", [new Map<Fake, Fake>([["params", [0]]])]],
              ]),
            },
    );
    expect(await refuse(folder)).toContain("rank 1 keeps the states none, rank 0 moment");
  });
});
