/** What a launch has to make first: merged weights, a checkpoint for another number of GPUs. */
import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { openZeroCheckpoint } from "../../src/checkpoint/zero/open.js";
import { listKeys, readFolder } from "../../src/train/checkpoint-tools.js";
import { BUILT_IN_RECIPES } from "../../src/train/launch/built-in-recipes.js";
import { planLaunch } from "../../src/train/launch/plan.js";
import { realSystem } from "../../src/train/launch/system.js";
import { findRankChange, preparationOf } from "../../src/train/run/prepare.js";
import { MARK } from "../../src/train/run/processes.js";
import { endOrphans } from "../../src/train/run/run.js";
import { runStatus } from "../../src/train/run/status.js";
import { runCli } from "../helpers/cli.js";
import { countSteps, makeCheckout, temporaryFolder } from "./checkout.js";

/** Saved by two ranks: Vista's network with 1,472 tensors, and a small one. */
const ZERO = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
const SMALL = fileURLToPath(new URL("../../fixtures/zero/stage2-fp32-2ranks", import.meta.url));
const folder = await temporaryFolder();
const run = join(folder, "Vista/logs/2025-01-02T03-04-05_training-vista_phase1");
const last = join(run, "checkpoints/last.ckpt");
let vista: string;
beforeAll(async () => {
  vista = await makeCheckout(folder);
  await mkdir(join(run, "configs"), { recursive: true });
  await cp(ZERO, last, { recursive: true });
  await cp(join(vista, "configs/training/vista_phase1.yaml"), join(run, "configs/2025-project.yaml"));
});

const cli = (...args: string[]) => runCli("vista-train", args, { cwd: vista });

/** The small checkpoint under the tag that Lightning gives, in place of what is there. */
async function putSmall(to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(join(SMALL, "global_step2"), join(to, "checkpoint"), { recursive: true });
  await writeFile(join(to, "latest"), "checkpoint");
}

/** Runs a job's script with programs that only say how they were called. */
async function runScript(script: string, job: string): Promise<string[]> {
  const bin = join(folder, `bin-${job}`);
  await mkdir(bin);
  const log = join(folder, `log-${job}`);
  for (const name of ["srun", "scancel", "scontrol"]) {
    const answer = name === "scontrol" ? "echo node1" : `echo "${name} $*" >> ${log}`;
    await writeFile(join(bin, name), `#!/bin/bash\n${answer}\n`, { mode: 0o755 });
  }
  await writeFile(log, "");
  const path = join(folder, `${job}.sbatch`);
  await writeFile(path, script);
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    SLURM_JOB_ID: job,
    SLURM_JOB_NODELIST: "x",
  };
  execFileSync("bash", [path], { env, stdio: ["ignore", "ignore", "inherit"] });
  return execFileSync("cat", [log], { encoding: "utf8" }).trimEnd().split("\n");
}

/** A run of phase 1 with the small checkpoint, whose jobs are run in fact. */
async function makeSmallRun(name: string): Promise<string> {
  const other = join(folder, "Vista/logs", name);
  await mkdir(join(other, "configs"), { recursive: true });
  await putSmall(join(other, "checkpoints/last.ckpt"));
  await cp(join(run, "configs"), join(other, "configs"), { recursive: true });
  return other;
}

test("the printed jobs of phase2-stage1 and next merge the weights that they start from before torchrun, once", async () => {
  const other = await makeSmallRun("phase1-4");
  const start = [["phase2-stage1", "--finetune"], ["next"]];
  for (const [i, words] of start.entries()) {
    // Vista's own network passes the checks, and the small one does not have its names.
    const job = async (of: string, ...more: string[]) => {
      const { code, stdout } = await cli(...words, of, "--slurm", "--dry-run", ...more);
      expect(code).toBe(0);
      expect(stdout.indexOf("vista-ckpt.js merge")).toBeLessThan(stdout.indexOf("srun --ntasks"));
      expect(stdout.match(/vista-ckpt\.js merge/g)).toHaveLength(1);
      return stdout;
    };
    const line = (text: string) => text.split("\n").find((one) => one.includes("vista-ckpt.js merge"));
    const small = await job(other, "--skip-checks");
    expect(line(small)).toBe(line(await job(run))!.replaceAll(run, other));
    const merged = join(other, "pytorch_model.bin");
    const [srun] = await runScript(small, String(71 + i));
    expect(srun).toContain("--finetune logs/phase1-4/pytorch_model.bin");
    const { state } = await openZeroCheckpoint(join(other, "checkpoints/last.ckpt"));
    await state.close();
    expect(await listKeys(merged)).toEqual([...state.tensors.keys()]);
    await rm(merged);
  }
});

test("a job whose merge fails starts nothing", async () => {
  const other = join(folder, "Vista/logs/phase1-4");
  const { stdout } = await cli("phase2-stage1", "--finetune", other, "--slurm", "--dry-run", "--skip-checks");
  const broken = stdout.replaceAll(join(other, "pytorch_model.bin"), "/proc/nowhere/pytorch_model.bin");
  await expect(runScript(broken, "73")).rejects.toThrow(/Command failed/);
  expect(execFileSync("cat", [join(folder, "log-73")], { encoding: "utf8" })).toBe("");
});

test("going on with another number of GPUs is refused with both numbers and the way out", async () => {
  await putSmall(last); // for this test and those below, which reshard it a dozen times
  const { code, stdout, stderr } = await cli(
    "phase1",
    "--resume",
    run,
    "--nodes",
    "1",
    "--gpus",
    "3",
    "--dry-run",
  );
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(`${last} was saved by 2 GPUs, and 3 would go on with it`);
  expect(stderr).toContain("--reshard");
  const same = await cli("phase1", "--resume", run, "--nodes", "1", "--gpus", "2", "--dry-run");
  expect(same).toMatchObject({ code: 0, stdout: expect.stringContaining(`--resume logs/`) });
});

test("--reshard makes the checkpoint in the run, once, and goes on from it in a folder of its own", async () => {
  const before = execFileSync("bash", [
    "--norc",
    "-c",
    `cd ${last} && find . -type f | sort | xargs sha256sum`,
  ]).toString();
  const torchrun = join(folder, "torchrun-reshard");
  await writeFile(torchrun, `#!/bin/bash\nprintf '%s\\n' "$@"\n`, { mode: 0o755 });
  const args = ["phase1", "--resume", run, "--nodes", "1", "--gpus", "3", "--reshard"];
  const start = () =>
    cli(...args, "--torchrun", torchrun, "--ignore", "gpu,python,data,package,host,lightning,deepspeed");
  const first = await start();
  const output = join(run, "resharded/last-3ranks.ckpt");
  expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining("resharding") });
  expect(first.stderr).toContain("2 ranks become 3: a step sees 1.5 times as many samples as before");
  const words = first.stdout.trimEnd().split("\n");
  expect(words[words.indexOf("--resume_from_checkpoint") + 1]).toBe(output);
  expect(words[words.indexOf("--name") + 1]).toBe("2025-01-02T03-04-05_training-vista_phase1-3ranks");
  expect(words).toContain(`logs/${run.split("/").at(-1)}/configs/2025-project.yaml`);
  expect(words).not.toContain("--resume");
  expect(await readFolder(output)).toMatchObject({ ranks: 3 });
  const again = await start();
  expect(again.code).toBe(0);
  expect(again.stderr).not.toContain("resharding");
  expect(again.stdout).toBe(first.stdout);
  const after = execFileSync("bash", [
    "--norc",
    "-c",
    `cd ${last} && find . -type f | sort | xargs sha256sum`,
  ]).toString();
  expect(after).toBe(before);
  expect(await readdir(join(run, "checkpoints"))).toEqual(["last.ckpt"]);
});

test("--reshard again goes on from the newest checkpoint of the run that it began", async () => {
  const { stdout: before } = await cli(
    "phase1",
    "--resume",
    run,
    "--nodes",
    "1",
    "--gpus",
    "3",
    "--reshard",
    "--dry-run",
  );
  expect(before).toContain("resharded/last-3ranks.ckpt");
  const own = `${run}-3ranks`;
  const ownLast = join(own, "checkpoints/last.ckpt");
  await mkdir(join(own, "checkpoints"), { recursive: true });
  await cp(join(run, "configs"), join(own, "configs"), { recursive: true });
  await cp(join(run, "resharded/last-3ranks.ckpt"), ownLast, { recursive: true });
  const again = (...more: string[]) =>
    cli("phase1", "--resume", run, "--nodes", "1", "--gpus", "3", "--reshard", "--dry-run", ...more);
  const { code, stdout, stderr } = await again();
  expect(code).toBe(0);
  expect(stderr).toContain(`${own} is further than ${run}: resuming it`);
  expect(stdout).toContain(`--resume logs/${own.split("/").at(-1)}`);
  expect(stdout).not.toContain("--resume_from_checkpoint");
  expect(stdout).not.toContain("--name");
  // A checkpoint that is named is the one that is meant.
  const named = await cli(
    "phase1",
    "--resume",
    last,
    "--nodes",
    "1",
    "--gpus",
    "3",
    "--reshard",
    "--dry-run",
  );
  expect(named.stdout).toContain("resharded/last-3ranks.ckpt");
  // Of another number of ranks, it did not begin here.
  await rm(ownLast, { recursive: true });
  await putSmall(ownLast);
  expect((await again()).stdout).toContain("resharded/last-3ranks.ckpt");
  // Half written, it is named; nothing is trained again without a word.
  await rm(join(ownLast, "checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt"));
  const torn = await again();
  expect(torn).toMatchObject({ code: 1, stdout: "" });
  expect(torn.stderr).toContain("the checkpoint is not whole");
  expect(torn.stderr).toContain("missing: rank 1");
  await rm(own, { recursive: true });
});

test("--reshard goes on from the newest of all runs that it made of one", async () => {
  const launch = (from: string, gpus: number, ...more: string[]) =>
    cli(
      "phase1",
      "--resume",
      from,
      "--nodes",
      "1",
      "--gpus",
      String(gpus),
      "--reshard",
      "--dry-run",
      ...more,
    );
  // Twice as far as the run that it was made of, which has 2 ranks.
  const three = `${run}-3ranks`;
  await mkdir(join(three, "checkpoints"), { recursive: true });
  await cp(join(run, "configs"), join(three, "configs"), { recursive: true });
  const further = join(three, "checkpoints/last.ckpt");
  await cp(join(run, "resharded/last-3ranks.ckpt"), further, { recursive: true });
  const facts = await readFolder(last);
  expect(facts).toEqual({ ranks: 2, steps: 2 });
  await countSteps(further, 4);
  expect(await readFolder(further)).toEqual({ ranks: 3, steps: 4 });
  for (const [gpus, from] of [
    [2, run],
    [5, run],
    [5, three],
  ] as const) {
    const { code, stdout, stderr } = await launch(from, gpus);
    expect(code, stderr).toBe(0);
    expect(stderr.includes(`${three} is further than ${run}: resuming it`)).toBe(from === run);
    expect(stderr).toContain(`3 ranks become ${gpus}`);
    expect(stdout).toContain(`-3ranks/resharded/last-${gpus}ranks.ckpt`);
    expect(stdout).toContain(`--name ${run.split("/").at(-1)}-${gpus}ranks`);
  }
  expect((await launch(run, 2, "--name", "own")).stdout).toContain("--name own");
  // The old one went on further still, whichever of them is named.
  await countSteps(last, 9);
  expect((await launch(run, 2)).stdout).toContain(`--resume logs/${run.split("/").at(-1)}`);
  const back = await launch(three, 3);
  expect(back.stderr).toContain(`${run} is further than ${three}: resuming it`);
  expect(back.stdout).toContain(`${run.split("/").at(-1)}/resharded/last-3ranks.ckpt`);
  await countSteps(last, 2);
  await rm(three, { recursive: true });
});

test("what is odd about the checkpoint is said where something is made of it", async () => {
  const odd = join(folder, "Vista/logs/odd");
  const checkpoint = join(odd, "checkpoints/last.ckpt");
  await cp(fileURLToPath(new URL("../../fixtures/zero/stage3-fp32-2ranks", import.meta.url)), checkpoint, {
    recursive: true,
  });
  const tag = join(checkpoint, await readFile(join(checkpoint, "latest"), "utf8"));
  const shard = (rank: number) => join(tag, `zero_pp_rank_${rank}_mp_rank_00_optim_states.pt`);
  await cp(shard(0), shard(1));
  await cp(join(run, "configs"), join(odd, "configs"), { recursive: true });
  const torchrun = join(folder, "torchrun-odd");
  await writeFile(torchrun, "#!/bin/bash\n", { mode: 0o755 });
  const start = ["phase1", "--resume", odd, "--nodes", "1", "--gpus", "3", "--reshard", "--skip-checks"];
  for (const command of [
    ["finish", odd, "--steps", "merge"],
    [...start, "--torchrun", torchrun],
  ]) {
    const { code, stderr } = await cli(...command);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(
      "vista-train: warning: the shards of ranks 0 and 1 hold the same weights: one may be a copy of the other\n",
    );
  }
  await rm(join(odd, "pytorch_model.bin"));
  expect((await cli("finish", odd, "--steps", "merge", "--quiet")).stderr).toBe("");
  await rm(odd, { recursive: true });
});

test("what was resharded is made anew where it is damaged, or older than the checkpoint", async () => {
  const [recipe] = BUILT_IN_RECIPES.filter(({ name }) => name === "phase1");
  const plan = planLaunch(recipe!, { vista, resume: run, nodes: 1, gpus: 3 });
  const change = async () => (await findRankChange(plan))!;
  const { output, done } = await change();
  expect(done).toBe(true);
  const later = new Date(Date.now() + 60_000);
  const states = join(last, "checkpoint/mp_rank_00_model_states.pt");
  const { atime, mtime } = await stat(states);
  await utimes(states, atime, later);
  expect((await change()).done).toBe(false);
  await utimes(states, atime, mtime);
  expect((await change()).done).toBe(true);
  // A shard that ends too early: its pickle is not read any more.
  const shard = join(output, "checkpoint/zero_pp_rank_2_mp_rank_00_optim_states.pt");
  await truncate(shard, 1000);
  const again = await change();
  expect(again.done).toBe(false);
  const step = preparationOf(undefined, again);
  await step!.run({});
  expect((await change()).done).toBe(true);
});

test("under --slurm resharding is a step of the job", async () => {
  const other = await makeSmallRun("phase1-5");
  const options = ["--nodes", "1", "--gpus", "4", "--reshard", "--slurm", "--dry-run"];
  const { code, stdout } = await cli("phase1", "--resume", other, ...options);
  expect(code).toBe(0);
  const output = join(other, "resharded/last-4ranks.ckpt");
  const [srun] = await runScript(stdout, "74");
  expect(srun).toContain(`--resume_from_checkpoint ${output}`);
  expect(srun).toContain("--name phase1-5-4ranks");
  expect(await readFolder(output)).toMatchObject({ ranks: 4 });
});

test("a checkpoint of as many GPUs is no change", async () => {
  const [recipe] = BUILT_IN_RECIPES.filter(({ name }) => name === "phase1");
  const change = (gpus: number) =>
    findRankChange(planLaunch(recipe!, { vista, resume: run, nodes: 1, gpus }));
  expect(await change(2)).toBeUndefined();
  expect(await change(5)).toMatchObject({ saved: 2, wanted: 5, done: false });
});

test("status says by how many GPUs a checkpoint was saved, and the recipe of a job's run", async () => {
  const status = await runStatus(join(folder, "Vista/logs/phase1-5"), { vista });
  expect(status.checkpoints.map(({ name, ranks, whole }) => [name, ranks, whole])).toEqual([
    ["last.ckpt", 2, true],
  ]);
  expect([status.recipe, status.iterations]).toEqual(["phase1", 20_000]);
  const { stdout } = await cli("status", run);
  expect(stdout).toContain("saved by 2 GPUs, whole");
  expect(stdout).toContain("phase1 --resume ");
});

test.each(["..", ".", "-x", "a/b", "a\u001b[31m", "a\nb", "x".repeat(201)])(
  "--name %j is no name of a run",
  async (name) => {
    const { code, stdout, stderr } = await cli("phase1", `--name=${name}`, "--slurm", "--dry-run");
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("is not a plain folder name");
    expect(stderr).not.toContain("\u001b");
  },
);

test.each([
  [["--partition", "gpu\u0007"], "--partition"],
  [["--env", "A=\u001b[31m"], "--env A"],
  [["--logdir", "a\nb"], "--logdir"],
  [["--", "a.b=\u0000x".replace("\u0000", "\u0008")], "an argument for train.py"],
])("control characters do not reach the script: %j", async (args, what) => {
  const { code, stdout, stderr } = await cli("phase1", "--slurm", "--dry-run", ...args);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(`${what} has a line break or another control character`);
});

test("status shows no escapes of file names", async () => {
  const odd = join(folder, "odd");
  await mkdir(join(odd, "checkpoints/last\u001b[31m.ckpt"), { recursive: true });
  const { code, stdout } = await cli("status", odd);
  expect(code).toBe(0);
  expect(stdout).toContain("last\\u001b[31m.ckpt");
  expect(stdout).not.toContain("\u001b");
});

test("a program that leaves another one holding its output does not keep the preflight waiting", async () => {
  const program = join(folder, "hangs");
  await writeFile(program, "#!/bin/bash\nsleep 20.125 &\nsleep 20.125\n", { mode: 0o755 });
  const result = await realSystem(process.env).capture(program, [], { timeoutSeconds: 0.2 });
  expect(result.outcome).toBe("timeout");
});

test("a program that a signal ended has the exit code by which shells know it", async () => {
  const result = await realSystem(process.env).capture("bash", ["--norc", "-c", "kill -SEGV $$"], {
    timeoutSeconds: 60,
  });
  expect(result).toMatchObject({ outcome: "exited", code: 128 + 11 });
});

test("a process that SIGKILL does not end is named, not waited for", async () => {
  const { spawn } = await import("node:child_process");
  const child = spawn("sleep", ["20.25"], { env: { [MARK]: "unkillable" } });
  const { kill } = process;
  process.kill = () => true;
  try {
    expect(await endOrphans("unkillable", { term: 100, kill: 200 })).toEqual([child.pid]);
  } finally {
    process.kill = kill;
    child.kill("SIGKILL");
  }
});

test("the recipes are listed with their nodes and GPUs, one of them too", async () => {
  const { code, stdout } = await cli("recipes");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^debug +1 x 1 GPU +the nuScenes example/m);
  expect(stdout).toMatch(/^phase1 +16 x 8 GPUs +phase 1/m);
});

test("FIFOs in place of a config, recipes and a log are refused, not waited for", async () => {
  const fifo = join(folder, "fifo.yaml");
  execFileSync("mkfifo", [fifo]);
  const recipes = await cli("recipes", "--recipes", fifo);
  expect(recipes).toMatchObject({ code: 1, stderr: expect.stringContaining("not a regular file") });
  const config = await cli("check", "debug", "--base", fifo, "--only", "config");
  expect(config).toMatchObject({ code: 1, stdout: expect.stringContaining("config-missing") });
  await mkdir(join(folder, "logged/testtube/version_0"), { recursive: true });
  execFileSync("mkfifo", [join(folder, "logged/testtube/version_0/metrics.csv")]);
  const status = await cli("status", join(folder, "logged"));
  expect(status).toMatchObject({ code: 1, stderr: expect.stringContaining("not a regular file") });
});
