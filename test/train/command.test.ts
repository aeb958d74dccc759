import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { quote } from "../../src/core/text.js";
import { BUILT_IN_RECIPES, type Recipe } from "../../src/train/launch/built-in-recipes.js";
import { launchCommand, toScript } from "../../src/train/launch/command.js";
import { type LaunchOptions, planLaunch } from "../../src/train/launch/plan.js";
import { makeCheckout, temporaryFolder } from "./checkout.js";

const folder = await temporaryFolder();
let vista: string;
beforeAll(async () => {
  vista = await makeCheckout(folder);
});

function recipe(name: string): Recipe {
  return BUILT_IN_RECIPES.find((one) => one.name === name)!;
}

function command(name: string, options: Partial<LaunchOptions> = {}, finetune?: string) {
  const plan = planLaunch(recipe(name), { vista, ...options }, folder);
  const { file, args } = launchCommand(plan, finetune, {});
  return [file, ...args].join(" ");
}

test.each<[Partial<LaunchOptions>, string]>([
  [{ gpus: 0 }, "--gpus 0 is not a whole number from 1 on"],
  [{ gpus: Number.NaN }, "--gpus NaN is"],
  [{ nodes: 1.5 }, "--nodes 1.5 is"],
  [{ nodeRank: -1, masterAddr: "a" }, "--node-rank -1 is not a whole number from 0 on"],
  [{ nodeRank: 0, masterAddr: "a", masterPort: 70_000 }, "--master-port 70000 is"],
  [{ env: { "A B": "1" } }, "--env A B=… is not NAME=VALUE"],
  [{ slurm: { sbatch: { "qos\nx": "1" } } }, "is not NAME=VALUE"],
])("the library refuses what the command line refuses: %j", (options, text) => {
  expect(() => command("phase1", options)).toThrow(text);
});

test("one node meets itself at a free port", () => {
  expect(command("phase2-stage1", {}, "/runs/p1/pytorch_model.bin")).toBe(
    "torchrun --nnodes=1 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=localhost:0 " +
      "train.py --base configs/training/vista_phase2_stage1.yaml --finetune /runs/p1/pytorch_model.bin --num_nodes 1 --n_devices 8",
  );
});

test("several nodes meet at an endpoint, or have ranks", () => {
  expect(command("phase1", { rdzvEndpoint: "node1:29401" })).toContain(
    "--nnodes=16 --nproc_per_node=8 --rdzv_backend=c10d --rdzv_endpoint=node1:29401 --rdzv_id=vista-phase1 train.py",
  );
  expect(command("phase1", { rdzvEndpoint: "node1" })).toContain("--rdzv_endpoint=node1:29400");
  expect(command("phase1", { rdzvEndpoint: "[fd00::1]:7" })).toContain("--rdzv_endpoint=[fd00::1]:7");
  expect(command("example", { nodeRank: 1, masterAddr: "10.0.0.1" })).toContain(
    "--nnodes=2 --nproc_per_node=8 --node_rank=1 --master_addr=10.0.0.1 --master_port=29500 train.py",
  );
  expect(() => command("example")).toThrow(/nothing says how they find one another/);
});

test("a recipe that starts from SVD cannot pick up ckpts/pytorch_model.bin", () => {
  const plan = planLaunch(recipe("debug"), { vista }, folder);
  expect(launchCommand(plan, undefined, {})).toMatchObject({
    file: "python",
    args: [
      "train.py",
      "--base",
      "configs/example/nusc_train.yaml",
      "--finetune",
      "",
      "--num_nodes",
      "1",
      "--n_devices",
      "1",
    ],
    cwd: vista,
  });
});

test("names, log folders and resumed runs", () => {
  const tail = "--num_nodes 1 --n_devices 8";
  const start = (options: Partial<LaunchOptions>) =>
    command("phase2-stage2", options)
      .replace(/^.*train\.py /, "")
      .replace(` ${tail}`, "");
  expect(start({ name: "a", logdir: join(vista, "out") })).toBe(
    "--base configs/training/vista_phase2_stage2.yaml --name a --no_date --logdir out --finetune ",
  );
  expect(start({ logdir: "elsewhere" })).toContain(`--logdir ${join(folder, "elsewhere")} `);
  expect(start({ resume: join(vista, "logs/run") })).toBe("--resume logs/run --finetune ");
  expect(start({ resume: "/r/checkpoints/last.ckpt", name: "b" })).toBe(
    "--base configs/training/vista_phase2_stage2.yaml --name b --no_date --resume_from_checkpoint /r/checkpoints/last.ckpt --finetune ",
  );
});

test("paths: options from here, recipes from the checkout", () => {
  expect(command("debug", { base: ["Vista/configs/training/vista_phase1.yaml"] })).toContain(
    "--base configs/training/vista_phase1.yaml ",
  );
  expect(command("debug", { base: ["configs/training/vista_phase1.yaml"] })).toContain(
    "--base configs/training/vista_phase1.yaml ",
  );
});

test.each<[string, Partial<LaunchOptions>, RegExp]>([
  ["debug", { gpus: 2 }, /on one GPU/],
  ["debug", { rdzvEndpoint: "a:1" }, /meets nobody/],
  ["phase1", { rdzvEndpoint: "a:1", nodeRank: 0 }, /excludes/],
  ["phase1", { nodeRank: 0 }, /go together/],
  ["phase1", { nodeRank: 16, masterAddr: "a" }, /not below the number of nodes, 16/],
  ["phase1", { masterPort: 1 }, /needs --master-addr/],
  ["phase1", { rdzvEndpoint: "a b:1" }, /not HOST or HOST:PORT/],
  ["phase1", { rdzvEndpoint: "a:99999" }, /not HOST or HOST:PORT/],
  ["phase1", { nodeRank: 0, masterAddr: "a", slurm: { sbatch: {} } }, /--slurm gives the nodes their ranks/],
  ["phase1", { name: "x", slurm: { sbatch: { array: "0-3" } } }, /array=0-3 starts several jobs/],
  [
    "phase1",
    { resume: "/x/run", slurm: { sbatch: { array: "1,2%2" } } },
    /all would train in one run folder/,
  ],
])("%s with %j is wrong usage", (name, options, message) => {
  expect(() => command(name, options)).toThrow(message);
});

test.each<Partial<LaunchOptions>>([
  { slurm: { sbatch: { array: "0-3" } } },
  { name: "x", slurm: { sbatch: { array: "0-3%1" } } },
  { name: "x", slurm: { sbatch: { array: "4" } } },
  { name: "x", slurm: { sbatch: { array: "-" } } },
  { resume: "/x/last.ckpt", slurm: { sbatch: { array: "0-3" } } },
])("jobs of an array that do not meet in one folder: %j", (options) => {
  expect(planLaunch(recipe("phase1"), { vista, ...options }, folder).slurm).toEqual(options.slurm);
});

test("below srun the workers do not see a job name that Lightning 2.0 takes for its own", () => {
  const plan = planLaunch(recipe("phase2-stage1"), { vista, env: { NCCL_DEBUG: "INFO" } }, folder);
  expect(launchCommand(plan, "x.bin", { SLURM_JOB_ID: "7", SLURM_NTASKS: "2" }).env).toEqual({
    PYTHONUNBUFFERED: "1",
    SLURM_JOB_NAME: "interactive",
    NCCL_DEBUG: "INFO",
  });
  expect(launchCommand(plan, "x.bin", {}).env).not.toHaveProperty("SLURM_JOB_NAME");
});

test("a folder that is not there stops the pasted command; an option's value stays on its line", () => {
  const script = toScript({
    file: "sh",
    args: ["-c", "echo ran", "train.py", "--name", "n=1", "--seed", "7", "a.b=[1, 2]"],
    cwd: join(folder, "none"),
    env: {},
  });
  const outcome = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8" });
  expect(outcome.stdout).toBe("");
  expect(outcome.status).toBe(1);
  expect(script.split("\n").slice(-5, -1)).toEqual([
    "    train.py \\",
    "    --name n=1 \\",
    "    --seed 7 \\",
    "    'a.b=[1, 2]'",
  ]);
});

test("the script that is shown does what the command does, whatever its words are", () => {
  const odd = ["=ls", "it's", 'a "b"', "$HOME `id`", "*", "", "a\\b", "x;y", "--flag=two words"];
  const printer = 'for word in "$@"; do printf "%s\\0" "$word"; done; printf "%s" "$ODD" "$PWD"';
  const script = toScript({
    file: "sh",
    args: ["-c", printer, "train.py", ...odd],
    cwd: vista,
    env: { ODD: "it's $1" },
  });
  const output = execFileSync("sh", ["-c", script], { encoding: "utf8" });
  expect(output.split("\0")).toEqual([...odd, `it's $1${vista}`]);
  expect(quote("plain-word_1.2/3=4")).toBe("plain-word_1.2/3=4");
  // A program's path for zsh.
  expect(quote("=ls")).toBe("'=ls'");
});
