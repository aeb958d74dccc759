/** The command line of vista-train, as a user meets it. */
import { execFileSync } from "node:child_process";
import { mkdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { runCli } from "../helpers/cli.js";
import { makeCheckout, temporaryFolder } from "./checkout.js";

const folder = await temporaryFolder();
let vista: string;
beforeAll(async () => {
  vista = await makeCheckout(folder);
});

test.each<[string[], string]>([
  [[], "Recipes: example, debug, phase1, phase2-stage1, phase2-stage2"],
  [["phase3"], "Did you mean phase1?"],
  [["phase1", "--node", "2"], "unknown option '--node'"],
  [["phase1", "--nodes", "two"], "whole number, 1 or more"],
  [["phase1", "--nodes", "0"], "whole number, 1 or more"],
  [["phase1", "data.params.num_workers=4"], "arguments of train.py go after --"],
  [["chekc", "phase1"], "Did you mean check?"],
  [["phase2-stage1", "--finetune", ""], "--finetune is empty"],
  [["phase1", "--base", "a.yaml", "b.yaml"], "--base is said once for each file"],
  [["phase1", "--partition", "gpu"], "--partition needs --slurm"],
  [["phase1", "--env", "NOVALUE"], "is not NAME=VALUE"],
  [["phase1", "--env", "=x"], "--env =… is not NAME=VALUE"],
  [["phase1", "--then", "publish"], "no step `publish`"],
  [["phase1", "--name", "a/b"], "plain folder name"],
  [["phase1", "--python", "p", "--torchrun", "t"], "exclude one another"],
  [["debug", "--torchrun", "t"], "recipe debug runs without torchrun"],
  [["phase1", "--nodes", "1", "--max-requeues", "3"], "--max-requeues needs --slurm"],
  [["phase1", "--slurm", "--rendezvous-timeout", "5"], "excludes --slurm"],
  [["phase1", "--skip-checks", "--ignore", "gpu"], "--skip-checks looks at no rule, and excludes --ignore"],
  [["debug", "--rendezvous-timeout", "5"], "no use for --rendezvous-timeout"],
  [["phase1", "--dry-run", "--only", "gpu"], "a dry run does not look at the rules of --only gpu"],
  [["phase1", "--resume", "r", "--finetune", "w.bin"], "--resume and --finetune exclude one another"],
  [["phase1", "--resume", "r", "--logdir", "l"], "excludes --logdir"],
  [["next", "r", "--resume", "r"], "a new run, which excludes --resume"],
  [["phase1", "--rdzv-endpoint", "node1:0"], "ports are 1 to 65535"],
  [["phase1", "--slurm", "--sbatch", "nodes=2"], "another number than the 16 nodes"],
  [["phase1", "--slurm", "--sbatch", "gpus-per-node=a100:4"], "8 GPUs each that would wait"],
  [
    ["phase1", "--slurm", "--sbatch", "gres=gpu:a100:4,nvme:1"],
    "gres=gpu:a100:4,nvme:1 asks for another number",
  ],
  [["phase1", "--slurm", "--sbatch", "gres=gpu"], "gres=gpu asks for another number"],
  [["phase1", "--slurm", "--sbatch", "gpus-per-task=4"], "gpus-per-task=4 asks for another number"],
  [["phase1", "--slurm", "--dry-run", "--time", "24h"], "sbatch takes no time limit like 24h"],
  [["phase1", "--nodes", "2", "--node-rank", "0", "--master-addr", "node1:29500"], "has a port in it"],
  [["phase1", "--slurm", "--sbatch", "ntasks-per-node=8"], "--sbatch ntasks-per-node=8 asks for another"],
  [["phase1", "--logdir=~/logs"], "the shell has left the ~ as it is"],
  [["prune", "", "--keep", "1"], "an argument is empty"],
  [["check", "phase1", "--only", "gpus"], "there is no rule `gpus`"],
  [["check", "phase1", "--only", "gpu", "--ignore", "gpu"], "leave no rule to look at"],
  [["status"], "missing required argument"],
])("wrong usage: %j", async (args, message) => {
  const result = await runCli("vista-train", args, { cwd: vista });
  expect([result.code, result.stdout]).toEqual([2, ""]);
  expect(result.stderr).toContain(message);
});

test("check: a table, JSON, exit codes; dry runs start nothing", async () => {
  const check = (...args: string[]) =>
    runCli("vista-train", ["check", "debug", "--only", "svd,stray,config", ...args], { cwd: vista });
  expect(await check()).toMatchObject({
    code: 0,
    stdout: "debug: nothing found (looked at: svd, stray, config only)\n",
    stderr: "",
  });
  const bad = await check("--base", "none.yaml", "--json");
  expect(bad.code).toBe(1);
  expect(JSON.parse(bad.stdout)).toMatchObject({
    recipe: "debug",
    ok: false,
    findings: [{ rule: "train/config-missing", severity: "error", message: "there is no config none.yaml" }],
  });
  const dry = await runCli("vista-train", ["phase2-stage1", "--dry-run"], { cwd: vista });
  expect([dry.code, dry.stdout]).toEqual([1, ""]);
  expect(dry.stderr).toContain("train/finetune-needed");
  const slurm = await runCli("vista-train", ["phase1", "--slurm", "--dry-run"], { cwd: vista });
  expect(slurm.code).toBe(0);
  expect(slurm.stdout).toMatch(/^#!\/bin\/bash\n#SBATCH/);
  // A job that goes on looks at its checkpoint, unless nobody is to look.
  expect(slurm.stdout).toMatch(/vista-ckpt\.js verify --quiet "\$last"\n/);
  for (const word of ["--skip-checks", "--ignore=resume", "--only=run-exists"]) {
    const { code, stdout } = await runCli("vista-train", ["phase1", "--slurm", "--dry-run", word], {
      cwd: vista,
    });
    expect([code, stdout.includes(" verify ")]).toEqual([0, false]);
  }
  await expect(readFile(join(vista, "logs/slurm"))).rejects.toThrow();
});

test("a dry run looks at the rules of --only, as far as it looks at any", async () => {
  const dry = (...args: string[]) =>
    runCli("vista-train", ["phase2-stage1", "--dry-run", ...args], { cwd: vista });
  expect((await dry("--only", "train/unknown-flag")).code).toBe(0);
  expect((await dry("--only", "finetune-needed,gpu")).stderr).toContain("train/finetune-needed");
});

test("a dry run writes nothing, not even to see whether it could", async () => {
  const logdir = join(folder, "untouched");
  await mkdir(logdir);
  await utimes(logdir, 1, 1);
  const { code } = await runCli("vista-train", ["debug", "--dry-run", "--logdir", logdir], { cwd: vista });
  expect([code, (await stat(logdir)).mtimeMs]).toEqual([0, 1000]);
});

test("a dry run shows what --then does", async () => {
  const dry = async (...args: string[]) =>
    (await runCli("vista-train", ["debug", "--dry-run", "--then", "merge", ...args], { cwd: vista })).stdout;
  const lines = (await dry("--name", "mine")).trim().split("\n");
  expect(lines.at(-2)).toMatch(/ &&$/);
  expect(lines.at(-1)).toMatch(/ finish \S+\/logs\/mine --steps merge$/);
  expect((await dry()).trim().split("\n").at(-1)).toMatch(/^# When .* finish THE_NEW_RUN --steps merge$/);
});

test.each([
  [["--vista", "none"], "train/checkout"],
  [["--base", "none.yaml"], "train/config-missing"],
])("check --only says nothing of data that could not be looked at: %j", async (args, rule) => {
  const { code, stdout } = await runCli("vista-train", ["check", "phase1", "--only", "data", ...args], {
    cwd: vista,
  });
  expect(code).toBe(1);
  expect(stdout).toContain(rule);
});

test("status of a run with losses that are no numbers", async () => {
  const run = join(folder, "nan");
  await mkdir(join(run, "testtube/version_0"), { recursive: true });
  await writeFile(
    join(run, "testtube/version_0/metrics.csv"),
    "epoch,loss_step,step\n0,0.5,49\n0,nan,99\n0,inf,149\n0,0.25,199\n",
  );
  const { code, stdout } = await runCli("vista-train", ["status", run]);
  expect(code).toBe(0);
  expect(stdout).toContain("step 199; loss 0.3750 (mean of 2 finite ones of the last 4 logged steps)");
  expect(stdout).toContain("2 logged losses not finite, first at step 99");
  await writeFile(join(run, "testtube/version_0/metrics.csv"), "loss,step\nnan,1\nnan,2\n");
  expect((await runCli("vista-train", ["status", run])).stdout).toContain("step 2; loss NaN");
});

test("status of a log that a spreadsheet saved, with rows whose steps count nothing", async () => {
  const run = join(folder, "sheet");
  await mkdir(join(run, "testtube/version_0"), { recursive: true });
  const rows = [
    "\ufeffepoch,loss_step,step",
    "2,0.5,49",
    "2,0.1,1e400",
    "2,0.1,nan",
    "2,0.1,-5",
    "2,0.25,99",
    "",
  ];
  await writeFile(join(run, "testtube/version_0/metrics.csv"), rows.join("\r\n"));
  const { code, stdout } = await runCli("vista-train", ["status", run]);
  expect(code).toBe(0);
  expect(stdout).toContain("epoch 2, step 99; loss 0.3750 (mean of the last 2 logged steps)");
});

test.each([["status"], ["next"], ["finish"], ["prune", "--keep", "1"]])(
  "%s says of a file, and of nothing, that it is no run folder",
  async (...command) => {
    const file = join(await temporaryFolder(), "a.bin");
    await writeFile(file, "");
    expect(await runCli("vista-train", [...command, file])).toMatchObject({
      code: 1,
      stderr: `vista-train: ${file}: is a file, not a run folder\n`,
    });
    expect(await runCli("vista-train", [...command, "/no/such"])).toMatchObject({
      code: 1,
      stderr: "vista-train: /no/such: cannot open the run folder: no such file or folder\n",
    });
  },
);

test("status, next and finish of a run", async () => {
  const fixture = new URL("../../fixtures/zero/vista-phase1", import.meta.url).pathname;
  const run = join(folder, "runs/2025-01-01T00-00-00_training-vista_phase1");
  await mkdir(join(run, "checkpoints"), { recursive: true });
  await mkdir(join(run, "testtube/version_0"), { recursive: true });
  // The mean of 1/11 … 1/60 is 0.03502.
  const rows = Array.from({ length: 60 }, (_, i) => `${Math.floor(i / 20)},${1 / (i + 1)},${i * 50 + 49}`);
  await writeFile(join(run, "testtube/version_0/metrics.csv"), `epoch,loss_step,step\n${rows.join("\n")}\n`);
  execFileSync("cp", ["-r", fixture, join(run, "checkpoints/last.ckpt")]);
  const status = await runCli("vista-train", ["status", run]);
  expect(status.code).toBe(0);
  expect(status.stdout).toContain("epoch 2, step 2,999; loss 0.03502 (mean of the last 50 logged steps)");
  expect(status.stdout).toMatch(/last\.ckpt +9\d\d kB .* whole/);
  expect(status.stdout).toContain(`phase1 --resume ${run}`);
  const next = await runCli("vista-train", ["next", run], { cwd: vista });
  expect(next.code).toBe(0);
  expect(next.stdout).toContain(
    `vista-ckpt.js merge ${run}/checkpoints/last.ckpt -o ${run}/pytorch_model.bin`,
  );
  expect(next.stdout).toContain(`--finetune ${run}/pytorch_model.bin`);
  expect(next.stdout).toContain("configs/training/vista_phase2_stage1.yaml");
  const last = await runCli("vista-train", ["next", run, "--recipe", "phase2-stage2", "--start"], {
    cwd: vista,
  });
  expect([last.code, last.stdout]).toEqual([2, ""]);
  expect(last.stderr).toContain("phase2-stage2 is the last phase: there is nothing to start after it");
  const finish = await runCli("vista-train", ["finish", run, "--steps", "merge"]);
  expect(finish).toMatchObject({ code: 0, stdout: `${run}/pytorch_model.bin\n` });
});
