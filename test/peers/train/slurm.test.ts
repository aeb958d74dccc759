/** A real Slurm on this machine: 16 pretended nodes of 8 pretended GPUs, with a real torchrun on each. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli } from "../../helpers/cli.js";
import { makeCheckout, temporaryFolder } from "../../train/checkout.js";
import { python } from "../python.js";
import { startSlurm, type TestSlurm } from "../slurm/slurm.js";

const PYTHON = python("zero");
/** Vista's Lightning, without a torch of its own. */
const LIGHTNING = join(dirname(dirname(python("train"))), "lib");
const CHECKPOINT = fileURLToPath(new URL("../../../fixtures/zero/vista-phase1", import.meta.url));

const folder = await temporaryFolder();
let vista: string;
let slurm: TestSlurm;
beforeAll(async () => {
  vista = await makeCheckout(folder);
  slurm = await startSlurm(16);
});
afterAll(() => slurm?.stop());

let jobs = 0;

interface Job {
  id: string;
  /** One file a rank. */
  output: string;
  /** What the job has printed so far. */
  log(): Promise<string>;
  logdir: string;
}

/** Submits phase 1 as a user would; names of the pretended nodes do not resolve, so an endpoint has to be given. */
async function submit(mode: string, args: readonly string[], env: Record<string, string> = {}): Promise<Job> {
  const number = jobs++;
  const output = join(folder, `out-${number}`);
  await mkdir(output);
  const logdir = join(folder, `logs-${number}`);
  const result = await runCli(
    "vista-train",
    [
      "phase1",
      "--vista",
      vista,
      "--logdir",
      logdir,
      "--python",
      PYTHON,
      "--slurm",
      "--only",
      "sbatch",
      ...args,
    ],
    { env: { ...slurm.env, STANDIN_MODE: mode, STANDIN_OUT: output, PYTHONDONTWRITEBYTECODE: "1", ...env } },
  );
  expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\n$/) });
  expect(result.stderr).toContain("submitted as job");
  const id = result.stdout.trim();
  return { id, output, logdir, log: () => readLog(join(logdir, "slurm"), id) };
}

async function readLog(place: string, id: string): Promise<string> {
  const name = (await readdir(place)).find((one) => one.endsWith(`-${id}.out`));
  return name === undefined ? "" : readFile(join(place, name), "utf8");
}

interface Rank {
  rank: number;
  world: number;
  argv: string[];
  env: Record<string, string>;
  detected?: boolean;
  slurm_rank?: number;
  slurm_world?: number;
}

async function ranks(output: string): Promise<Rank[]> {
  const names = (await readdir(output)).filter((name) => name.endsWith(".json"));
  const all = await Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(output, name), "utf8")) as Rank),
  );
  return all.sort((a, b) => a.rank - b.rank);
}

/** Number of processes of a job, by their environment. */
function alive(output: string): number {
  return readdirSync("/proc").filter((name) => {
    try {
      return (
        /^\d+$/.test(name) &&
        readFileSync(`/proc/${name}/environ`, "latin1").split("\0").includes(`STANDIN_OUT=${output}`)
      );
    } catch {
      return false;
    }
  }).length;
}

async function until(what: string, condition: () => boolean | Promise<boolean>, seconds = 90): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`${what}: not after ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

test("phase 1 as documented: 16 nodes of 8 GPUs, 128 ranks, each once", async () => {
  const job = await submit("light", ["--rdzv-endpoint", "127.0.0.1:29611"]);
  const end = await slurm.waitForJob(job.id, { timeoutSeconds: 300 });
  expect(end, await job.log()).toMatchObject({ state: "COMPLETED", exitCode: "0:0" });
  const all = await ranks(job.output);
  expect(all.map((one) => one.rank)).toEqual(Array.from({ length: 128 }, (_, i) => i));
  expect(new Set(all.map((one) => one.world))).toEqual(new Set([128]));
  expect(new Set(all.map((one) => one.env.SLURM_NODEID)).size).toBe(16);
  for (const one of all) {
    expect(one.env.LOCAL_WORLD_SIZE).toBe("8");
    expect(one.argv.join(" ")).toContain("--num_nodes 16 --n_devices 8");
    expect(one.argv.join(" ")).toContain(`--name phase1-${job.id} --no_date`);
    // What Lightning before 2.1 looks at.
    expect(one.env.SLURM_JOB_NAME).toBe("interactive");
    expect(one.env.SLURM_NTASKS).toBe("16");
  }
});

test("failing, requeueing, giving up, being cancelled; and the script's own meeting point with --then", async () => {
  const small = (port: number) => ["--nodes", "2", "--gpus", "2", "--rdzv-endpoint", `127.0.0.1:${port}`];
  // Slurm warns between 50 s and the limit of one minute before the end.
  const short = ["--time", "1", "--sbatch", "signal=B:USR1@50"];
  const failing = await submit("exit7", small(29612));
  // These two look at their checkpoint before they go on: the first one's is whole, the other one's has no shards.
  const looking = ["--only", "sbatch,resume"];
  const requeued = await submit("checkpoint", [...small(29613), ...looking], { STANDIN_COPY: CHECKPOINT });
  const torn = await submit("checkpoint", [...small(29616), ...looking]);
  const stuck = await submit("sleep", [...small(29614), ...short]);
  const cancelled = await submit("sleep", small(29615));
  const local = await submit(
    "light",
    ["--nodes", "1", "--gpus", "2", "--partition", "local", "--then", "merge", "--name", "mine"],
    { STANDIN_COPY: CHECKPOINT },
  );

  const failed = await slurm.waitForJob(failing.id);
  // srun tells the highest code of its tasks: 1 of the torchrun that failed, or 143 of the other, which it then ended.
  expect(failed).toMatchObject({
    state: "FAILED",
    exitCode: expect.stringMatching(/^(1|143):0$/),
    restarts: 0,
  });
  expect(await failing.log()).toMatch(/exitcode {2}: 7 /);

  await until("the cancelled job runs", async () => (await ranks(cancelled.output)).length === 4);
  await slurm.exec(["scancel", cancelled.id]);
  expect(await slurm.waitForJob(cancelled.id)).toMatchObject({ state: "CANCELLED" });
  await until("nobody is left of it", () => alive(cancelled.output) === 0, 30);

  // It met at the first node of the job, at a port made from the job's number; then its shards were merged.
  const done = await slurm.waitForJob(local.id);
  expect(done, await local.log()).toMatchObject({ state: "COMPLETED", exitCode: "0:0" });
  expect((await ranks(local.output)).map((one) => [one.rank, one.world])).toEqual([
    [0, 2],
    [1, 2],
  ]);
  expect(await local.log()).toMatch(/logs-\d+\/mine\/pytorch_model\.bin$/m);

  // The warning by hand, when there is a checkpoint: the signal that Slurm sends by itself, to the script alone.
  for (const job of [requeued, torn]) {
    await until("the job to requeue has a checkpoint", () =>
      existsSync(join(job.logdir, `phase1-${job.id}`, "configs")),
    );
    await slurm.exec(["scancel", "--batch", "--signal=USR1", job.id]);
  }
  // Made a checkpoint, was warned, went back into the queue and went on from it.
  const again = await slurm.waitForJob(requeued.id, { timeoutSeconds: 180 });
  expect(again, await requeued.log()).toMatchObject({ state: "COMPLETED", exitCode: "0:0", restarts: 1 });
  const log = await requeued.log();
  expect(log).toContain("queueing again, to go on from the last checkpoint");
  for (const one of await ranks(requeued.output)) {
    expect(one.argv.slice(0, 2)).toEqual(["--resume", expect.stringMatching(`/phase1-${requeued.id}$`)]);
    expect(one.argv).not.toContain("--name");
  }

  const refused = await slurm.waitForJob(torn.id, { timeoutSeconds: 180 });
  expect(refused, await torn.log()).toMatchObject({ state: "FAILED", exitCode: "1:0", restarts: 1 });
  expect(await torn.log()).toMatch(/not started: .*last\.ckpt is not sound/);
  for (const one of await ranks(torn.output)) expect(one.argv).not.toContain("--resume");

  // Made none: starting it again would lose the same hours again.
  const given = await slurm.waitForJob(stuck.id, { timeoutSeconds: 120 });
  expect(given).toMatchObject({ state: "FAILED", restarts: 0 });
  expect(await stuck.log()).toContain("not queued again: no checkpoint was made");
  await until("nobody is left of it", () => alive(stuck.output) === 0, 30);
});

test("below srun Lightning 2.0.1 takes the workers for its own; with this script it does not", async () => {
  const [version] = await readdir(LIGHTNING);
  const env = ["--env", `PYTHONPATH=${join(LIGHTNING, version!, "site-packages")}`];
  const args = ["--nodes", "1", "--gpus", "2", "--partition", "local", ...env];
  const ours = await submit("lightning", args);
  const end = await slurm.waitForJob(ours.id);
  expect(end, await ours.log()).toMatchObject({ state: "COMPLETED" });
  expect((await ranks(ours.output)).map((one) => [one.rank, one.detected])).toEqual([
    [0, false],
    [1, false],
  ]);

  // The same script without the cure: both workers would be rank 0 of a world of one.
  const dry = await runCli("vista-train", [
    "phase1",
    "--vista",
    vista,
    "--python",
    PYTHON,
    "--slurm",
    "--dry-run",
    ...args,
  ]);
  const output = join(folder, "bare");
  await mkdir(output);
  const script = join(folder, "bare.sbatch");
  await writeFile(
    script,
    dry.stdout
      .replace("env SLURM_JOB_NAME=interactive", "env")
      .replace(/^(#SBATCH --output=).*$/m, `$1${folder}/bare.out`),
  );
  const id = (
    await slurm.exec(["sbatch", "--parsable", script], {
      env: { STANDIN_MODE: "lightning", STANDIN_OUT: output, PYTHONDONTWRITEBYTECODE: "1" },
    })
  ).trim();
  const bare = await slurm.waitForJob(id);
  expect(bare, await readFile(join(folder, "bare.out"), "utf8")).toMatchObject({ state: "COMPLETED" });
  expect(
    (await ranks(output)).map((one) => [one.rank, one.detected, one.slurm_rank, one.slurm_world]),
  ).toEqual([
    [0, true, 0, 1],
    [1, true, 0, 1],
  ]);
});
