import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { BUILT_IN_RECIPES, type SlurmSettings } from "../../src/train/launch/built-in-recipes.js";
import { type LaunchOptions, planLaunch } from "../../src/train/launch/plan.js";
import { slurmScript, submit } from "../../src/train/launch/slurm.js";
import { copyFolder } from "../helpers/copy.js";
import { fakeSystem, makeCheckout, temporaryFolder } from "./checkout.js";

const folder = await temporaryFolder();
let vista: string;
beforeAll(async () => {
  vista = await makeCheckout(folder);
});

function plan(name: string, options: Partial<LaunchOptions> = {}) {
  const recipe = BUILT_IN_RECIPES.find((one) => one.name === name)!;
  return planLaunch(recipe, { vista, slurm: { sbatch: {} }, ...options }, folder);
}

function script(name: string, options: Partial<LaunchOptions> = {}, finetune?: string): string {
  const text = slurmScript(plan(name, options), finetune, { maxRequeues: 10, afterwards: [] });
  // bash reads it without complaint.
  execFileSync("bash", ["--norc", "-n"], { input: text });
  return text;
}

test("the directives have the shape that torchrun needs", () => {
  const text = script("phase1", {
    slurm: {
      partition: "gpu",
      time: "2-00:00",
      account: "a",
      sbatch: { qos: "high", comment: 'two "words"' },
    },
  });
  const directives = text.split("\n").filter((line) => line.startsWith("#SBATCH"));
  expect(directives).toEqual([
    "#SBATCH --job-name=vista-phase1",
    "#SBATCH --nodes=16",
    "#SBATCH --ntasks-per-node=1",
    "#SBATCH --gpus-per-node=8",
    "#SBATCH --exclusive",
    "#SBATCH --requeue",
    "#SBATCH --open-mode=append",
    "#SBATCH --signal=B:USR1@300",
    `#SBATCH --output=${vista}/logs/slurm/%x-%j.out`,
    "#SBATCH --partition=gpu",
    "#SBATCH --time=2-00:00",
    "#SBATCH --account=a",
    "#SBATCH --qos=high",
    '#SBATCH --comment="two \\"words\\""',
  ]);
  expect(text).toContain("env SLURM_JOB_NAME=interactive");
  expect(text).toContain('--rdzv_endpoint="$head:$port" --rdzv_id="$SLURM_JOB_ID"');
  expect(text.trimEnd().split("\n").at(-1)).toBe("exit $rc");
});

test("folders with a percent sign, which sbatch takes for a pattern; line breaks, which no directive can have", () => {
  expect(script("phase1", { logdir: "100%/logs" })).toContain(
    `#SBATCH --output=${folder}/100%%/logs/slurm/%x-%j.out\n`,
  );
  expect(() => script("phase1", { logdir: "a\nb" })).toThrow(/--logdir has a line break/);
  expect(() => script("phase1", { slurm: { account: "a\n#SBATCH --x", sbatch: {} } })).toThrow(/--account/);
});

test("options of one's own replace those of the script", () => {
  const text = script("phase1", { slurm: { sbatch: { signal: "B:USR1@60", "gpus-per-node": "a100:8" } } });
  expect(text.match(/^#SBATCH --signal=.*/gm)).toEqual(["#SBATCH --signal=B:USR1@60"]);
  expect(text.match(/--gpus-per-node=.*/g)).toEqual(["--gpus-per-node=a100:8"]);
});

test.each([
  ["5", false],
  ["9:59", false],
  ["00:05:30", false],
  ["0-0:9", false],
  ["10", true],
  ["10:00", true],
  ["1:00:00", true],
  ["0-1", true],
  ["2-00:00", true],
  ["UNLIMITED", true],
  ["infinite", true],
  ["1-", true],
  ["-1", true],
])(
  "a limit of %s: a warning that would come at the start, as Slurm sends it then, is not asked for",
  (time, warned) => {
    const signal = (slurm: SlurmSettings) => /^#SBATCH --signal/m.test(script("phase1", { slurm }));
    expect(signal({ time, sbatch: {} })).toBe(warned);
    expect(signal({ time: "1:00:00", sbatch: { time } })).toBe(warned);
    const own = { signal: "B:USR1@60" };
    expect(script("phase1", { slurm: { time, sbatch: own } })).toContain("#SBATCH --signal=B:USR1@60\n");
  },
);

// As `sbatch --test-only` of Slurm 22.05 says it: "Invalid --time specification".
test.each(["24h", "1 day", "1:2:3:4", "1.5", "60 ", "1-2-3", "+5", "5m", ":30", "10:", "1::2", "2-:3"])(
  "a time limit that sbatch refuses: %s",
  (time) => {
    expect(() => script("phase1", { slurm: { time, sbatch: {} } })).toThrow(
      "sbatch takes no time limit like",
    );
    expect(() => script("phase1", { slurm: { sbatch: { time } } })).toThrow(
      "sbatch takes no time limit like",
    );
  },
);

test("options of one's own that ask for the same GPUs", () => {
  for (const gres of ["gpu:8", "gpu:a100:8", "gres/gpu:8,nvme:1", "nvme:1"])
    expect(script("phase1", { slurm: { sbatch: { gres } } })).toContain(`#SBATCH --gres=${gres}\n`);
});

test("options can be taken out of the script", () => {
  const text = script("phase1", {
    slurm: { sbatch: { "gpus-per-node": "-", gres: "gpu:8", exclusive: "-" } },
  });
  expect(text).not.toMatch(/^#SBATCH --(gpus-per-node|exclusive)/m);
  expect(text).toContain("#SBATCH --gres=gpu:8\n");
});

/** Runs the part of a script that decides how to start, with the words printed instead of srun. */
function startWords(text: string, job: string): string[] {
  const from = text.indexOf("run=");
  const to = text.indexOf("# Slurm warns");
  const output = execFileSync(
    "bash",
    ["--norc", "-c", `${text.slice(from, to)}\nprintf '%s\\n' "\${start[@]}"`],
    {
      env: { ...process.env, SLURM_JOB_ID: job },
      encoding: "utf8",
    },
  );
  return output.split("\n").slice(0, -1);
}

test("the first start makes a run named after the job, a later one goes on with it", () => {
  const weights = `${folder}/pytorch_model.bin`;
  const text = script("phase2-stage1", {}, weights);
  expect(() => startWords(text, "77")).toThrow(`not started: no ${weights}`);
  execFileSync("touch", [weights]);
  expect(startWords(text, "77")).toEqual([
    "--name",
    "phase2-stage1-77",
    "--no_date",
    "--base",
    "configs/training/vista_phase2_stage1.yaml",
    "--finetune",
    weights,
  ]);
  execFileSync("mkdir", ["-p", `${vista}/logs/phase2-stage1-77/checkpoints/last.ckpt`]);
  expect(startWords(text, "77")).toEqual(["--resume", `${vista}/logs/phase2-stage1-77`, "--finetune", ""]);
  expect(startWords(text, "78")[1]).toBe("phase2-stage1-78");
});

test("weights are merged again where the checkpoint is a link to a newer one", async () => {
  const [run, file] = [`${folder}/linked`, `${folder}/linked/pytorch_model.bin`];
  const [newer, link] = [`${run}/checkpoints/epoch=01.ckpt`, `${run}/checkpoints/last.ckpt`];
  await mkdir(newer, { recursive: true });
  await symlink("epoch=01.ckpt", link);
  await writeFile(file, "older");
  // A change of the link itself counts too, so the weights are younger than that, and older than the file behind it.
  await writeFile(`${newer}/latest`, "checkpoint");
  const step = { doing: "merging", command: `echo merged > '${file}'`, input: link, output: file };
  const options = { maxRequeues: 1, beforehand: [step], afterwards: [] };
  const text = slurmScript(plan("phase2-stage1"), file, options);
  const time = (seconds: number) => new Date(Date.now() + seconds * 1000);
  await utimes(file, time(60), time(60));
  expect(startAgain(text, "95")).toMatchObject({ status: 0, stdout: expect.not.stringContaining("merging") });
  await utimes(`${newer}/latest`, time(120), time(120));
  expect(startAgain(text, "95").stdout).toContain(`merging ${link}`);
  expect(String(await readFile(file))).toBe("merged\n");
});

const CHECKPOINT = fileURLToPath(new URL("../../fixtures/zero/vista-phase1", import.meta.url));
const VERIFY = `node ${fileURLToPath(new URL("../../bin/vista-ckpt.js", import.meta.url))} verify --quiet`;

/** Runs the same part of a script as {@link startWords}, with what it prints and its exit code. */
function startAgain(text: string, job: string) {
  const part = text.slice(text.indexOf("run="), text.indexOf("# Slurm warns"));
  const env = { ...process.env, SLURM_JOB_ID: job };
  const words = `${part}\nprintf '%s\\n' "\${start[@]}"`;
  return spawnSync("bash", ["--norc", "-c", words], { env, encoding: "utf8" });
}

test("a job that goes on verifies the checkpoint that train.py takes, and starts nothing where that is damaged", async () => {
  const verified = (verify: string) =>
    slurmScript(plan("phase1"), undefined, { maxRequeues: 10, afterwards: [], verify });
  const text = verified(VERIFY);
  expect(startWords(text, "90")[0]).toBe("--name");
  const run = `${vista}/logs/phase1-90`;
  const last = `${run}/checkpoints/last.ckpt`;
  const goesOn = { status: 0, stderr: "", stdout: expect.stringContaining(`--resume\n${run}\n`) };
  copyFolder(CHECKPOINT, last);
  expect(startAgain(text, "90")).toMatchObject(goesOn);

  // One byte of a weight is another: every header is in order.
  const shard = `${last}/checkpoint/zero_pp_rank_1_mp_rank_00_optim_states.pt`;
  const bytes = await readFile(shard);
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(shard, bytes);
  const damaged = startAgain(text, "90");
  expect(damaged).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/CRC-32[\s\S]*not started: .*last\.ckpt/),
  });
  expect(damaged.stdout).not.toContain("--resume");
  // Who has no Node there goes on as before, and is told so.
  expect(startAgain(verified("/no/such/program"), "90")).toMatchObject({
    ...goesOn,
    stderr: expect.stringContaining("could not be verified"),
  });

  // train.py takes the newest last*.ckpt, and that is the one to look at.
  copyFolder(CHECKPOINT, `${run}/checkpoints/last-v1.ckpt`);
  await utimes(last, 1, 1);
  expect(startAgain(text, "90")).toMatchObject(goesOn);
  await rm(`${run}/checkpoints/last-v1.ckpt/latest`);
  expect(startAgain(text, "90")).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/last-v1\.ckpt has no file latest[\s\S]*not started/),
  });
});

test("a checkpoint that is saved over is one that was made: Lightning writes the same last.ckpt again", () => {
  const text = script("phase1");
  const from = text.indexOf("run=");
  const checkpoint = `${vista}/logs/phase1-79/checkpoints/last.ckpt`;
  // The folder keeps its time; DeepSpeed opens its files anew.
  const body = `${text.slice(from, text.indexOf("before="))}
    mkdir -p ${checkpoint}; echo checkpoint > ${checkpoint}/latest
    touch -d 2025-01-01 ${checkpoint}/latest ${checkpoint}
    newest; touch -d 2025-01-02 ${checkpoint}/latest; newest`;
  const times = execFileSync("bash", ["--norc", "-c", body], {
    env: { ...process.env, SLURM_JOB_ID: "79", TZ: "UTC" },
    encoding: "utf8",
  });
  expect(times).toBe("1735689600\n1735776000\n");
});

test("a name, a log folder with blanks, one checkpoint to go on from", () => {
  const named = script("phase1", { name: "mine", logdir: `${folder}/two words` });
  expect(startWords(named, "1")).toEqual([
    "--name",
    "mine",
    "--no_date",
    "--base",
    "configs/training/vista_phase1.yaml",
    "--logdir",
    `${folder}/two words`,
    "--finetune",
    "",
  ]);
  expect(named).toContain(`#SBATCH --output="${folder}/two words/slurm/%x-%j.out"`);
  const resumed = script("phase1", { resume: "/r/run" });
  expect(startWords(resumed, "1")).toEqual(["--resume", "/r/run", "--finetune", ""]);
  const single = script("phase1", { resume: "/r/checkpoints/last.ckpt" });
  expect(startWords(single, "1")).toContain("--resume_from_checkpoint");
});

test("an endpoint of one's own, a single process, and what follows", () => {
  const own = script("phase1", { rdzvEndpoint: "10.0.0.1:29777", env: { A: "b c" } });
  expect(own).toContain("--rdzv_endpoint=10.0.0.1:29777 --rdzv_id=vista-phase1");
  expect(own).not.toContain("scontrol show hostnames");
  expect(own).toContain("export A='b c'");
  expect(script("debug")).toMatch(/interactive \\\n {2}python \\\n {2}train\.py/);
  const text = slurmScript(plan("phase1"), undefined, { maxRequeues: 3, afterwards: ['finish "$run"'] });
  expect(text).toContain('if [ "$rc" -eq 0 ]; then\n  finish "$run" || rc=$?\nfi');
  expect(text).toContain("-ge 3 ]");
  // Bash would compare with that to queue the job again for ever.
  const never = { maxRequeues: Number.NaN, afterwards: [] };
  expect(() => slurmScript(plan("phase1"), undefined, never)).toThrow("--max-requeues NaN is not a whole");
});

test("sbatch: the job's number, a refusal, none", async () => {
  const sbatch = (answer: Parameters<typeof fakeSystem>[0]) =>
    submit("/s.sbatch", plan("phase1"), fakeSystem(answer));
  expect(await sbatch({ sbatch: { stdout: "4711\n" } })).toBe("4711");
  expect(await sbatch({ sbatch: { stdout: "4712;cluster2\n" } })).toBe("4712");
  const refused = { code: 1, stderr: "sbatch: error: Batch job submission failed: Invalid account\n" };
  await expect(sbatch({ sbatch: refused })).rejects.toMatchObject({
    code: "IO",
    message: expect.stringContaining("Invalid account"),
  });
  await expect(sbatch({})).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("the lines of the script are said on the command line of sbatch, where no variable such as SBATCH_PARTITION wins", async () => {
  const calls: (readonly string[])[] = [];
  const system = fakeSystem({});
  system.capture = async (_, args) => {
    calls.push(args);
    return { outcome: "exited", code: 0, stdout: "4711\n", stderr: "" };
  };
  await submit(
    "/s.sbatch",
    plan("phase1", { slurm: { partition: "gpu", sbatch: { comment: "a b" } } }),
    system,
  );
  expect(calls[0]!.slice(0, 3)).toEqual(["--parsable", "--job-name=vista-phase1", "--nodes=16"]);
  expect(calls[0]!.slice(-3)).toEqual(["--partition=gpu", "--comment=a b", "/s.sbatch"]);
  expect(calls[0]).toContain("--exclusive");
});
