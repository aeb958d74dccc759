/** The real torchrun, with a train.py that says what it was started with. */
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { type CliResult, runCli } from "../../helpers/cli.js";
import { makeCheckout, saveWeights, temporaryFolder, UNET_KEYS } from "../../train/checkout.js";
import { freePort } from "../free-port.js";
import { python } from "../python.js";

const PYTHON = python("zero");
const folder = await temporaryFolder();
let vista: string;
beforeAll(async () => {
  vista = await makeCheckout(folder);
});

interface Rank {
  rank: number;
  world: number;
  sum: number;
  pid: number;
  argv: string[];
  options: Record<string, unknown>;
  unknown: string[];
  env: Record<string, string>;
}

let outputs = 0;

/** Starts phase 1 (or what `args` say) with the real torchrun; `output` gets a file a rank. */
function start(
  mode: string,
  args: readonly string[],
  onStart?: (kill: (signal: NodeJS.Signals) => void, output: string) => void,
): { result: Promise<CliResult>; output: string } {
  const output = join(folder, `out-${outputs++}`);
  const result = mkdir(output, { recursive: true }).then(() =>
    runCli("vista-train", ["phase1", "--vista", vista, "--python", PYTHON, "--skip-checks", ...args], {
      env: { STANDIN_MODE: mode, STANDIN_OUT: output, PYTHONDONTWRITEBYTECODE: "1" },
      onStart: (kill) => onStart?.(kill, output),
    }),
  );
  return { result, output };
}

async function ranks(output: string): Promise<Rank[]> {
  const names = (await readdir(output)).filter((name) => name.endsWith(".json"));
  const all = await Promise.all(
    names.map(async (name) => JSON.parse(await readFile(join(output, name), "utf8"))),
  );
  return (all as Rank[]).sort((a, b) => a.rank - b.rank);
}

function count(output: string): number {
  try {
    return readdirSync(output).filter((name) => name.endsWith(".json")).length;
  } catch {
    return 0;
  }
}

/** Calls back when all ranks have said that they run. */
function whenRunning(output: string, world: number, then: () => void): void {
  const timer = setInterval(() => {
    if (count(output) < world) return;
    clearInterval(timer);
    then();
  }, 100);
}

/** Command lines of processes that came from this test's checkout, by their environment. */
function alive(output: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((name) => {
      try {
        const environment = readFileSync(`/proc/${name}/environ`, "latin1").split("\0");
        if (!environment.includes(`STANDIN_OUT=${output}`)) return [];
        return [readFileSync(`/proc/${name}/cmdline`, "latin1").replaceAll("\0", " ")];
      } catch {
        return []; // it ended while we looked
      }
    });
}

test("one node: ranks, world size, arguments, and nothing added", async () => {
  const { result, output } = start("ok", [
    "--nodes",
    "1",
    "--gpus",
    "2",
    "--env",
    "NCCL_DEBUG=INFO",
    "--",
    "--max_epochs",
    "3",
    "data.params.num_workers=4",
  ]);
  const { code, stdout, stderr } = await result;
  expect(stderr).not.toContain("vista-train:");
  expect(code).toBe(0);
  // Two workers write to one pipe: a line and its end are two writes there, and those may mix.
  expect(stdout.replaceAll("\n", "")).toBe(
    "Loading pretrained model from ckpts/svd_xt.safetensors".repeat(2),
  );
  const all = await ranks(output);
  expect(all.map((one) => [one.rank, one.world, one.sum])).toEqual([
    [0, 2, 2],
    [1, 2, 2],
  ]);
  for (const one of all) {
    expect(one.options).toMatchObject({
      base: ["configs/training/vista_phase1.yaml"],
      num_nodes: "1",
      n_devices: 2,
      finetune: "",
      max_epochs: "3",
    });
    expect(one.unknown).toEqual(["data.params.num_workers=4"]);
    expect(one.env).toMatchObject({ NCCL_DEBUG: "INFO", LOCAL_WORLD_SIZE: "2" });
  }
});

test("two nodes, two launchers: at an endpoint, and with ranks", async () => {
  const port = await freePort();
  const size = ["--nodes", "2", "--gpus", "1"];
  const ways = [
    [
      ["--rdzv-endpoint", `127.0.0.1:${port}`],
      ["--rdzv-endpoint", `127.0.0.1:${port}`],
    ],
    [
      ["--node-rank", "0", "--master-addr", "127.0.0.1", "--master-port", String(port)],
      ["--node-rank", "1", "--master-addr", "127.0.0.1", "--master-port", String(port)],
    ],
  ];
  for (const [first, second] of ways) {
    const a = start("ok", [...size, ...first!]);
    const b = start("ok", [...size, ...second!]);
    const results = await Promise.all([a.result, b.result]);
    expect(results.map((result) => [result.code, result.stderr.includes("vista-train:")])).toEqual([
      [0, false],
      [0, false],
    ]);
    const all = [...(await ranks(a.output)), ...(await ranks(b.output))].sort((x, y) => x.rank - y.rank);
    expect(
      all.map((one) => [one.rank, one.world, one.sum, one.options.num_nodes, one.options.n_devices]),
    ).toEqual([
      [0, 2, 2, "2", 1],
      [1, 2, 2, "2", 1],
    ]);
    expect(new Set(all.map((one) => one.env.GROUP_RANK)).size).toBe(2);
  }
});

test("a worker that exits with 7: the code is torchrun's, its root cause comes last", async () => {
  const { result, output } = start("exit7", ["--nodes", "1", "--gpus", "2"]);
  const { code, stderr } = await result;
  expect(code).toBe(1);
  const last = stderr.slice(stderr.indexOf("vista-train: training failed: torchrun: exit code 1"));
  expect(last).toMatch(
    /Root Cause \(first observed failure\):\n\[0\]:\n[\s\S]*rank {6}: 1 \(local_rank: 1\)\n {2}exitcode {2}: 7 /,
  );
  expect(last).not.toContain("====");
  expect(alive(output)).toEqual([]);
});

test("a worker that is killed", async () => {
  const { result, output } = start("killed", ["--nodes", "1", "--gpus", "2"]);
  const { code, stderr } = await result;
  expect(code).toBe(1);
  expect(stderr.slice(stderr.indexOf("vista-train:"))).toMatch(/exitcode {2}: -9 .*SIGKILL/);
  expect(alive(output)).toEqual([]);
});

test("a worker out of memory is explained", async () => {
  const { result } = start("oom", ["--nodes", "1", "--gpus", "1"]);
  const { code, stderr } = await result;
  expect(code).toBe(1);
  expect(stderr.slice(stderr.indexOf("vista-train:"))).toContain("A GPU ran out of memory");
});

test("weights that were not there are explained", async () => {
  const weights = join(folder, "pytorch_model.safetensors");
  await saveWeights(weights, UNET_KEYS);
  const { result } = start("fallback", ["--nodes", "1", "--gpus", "1", "--finetune", weights]);
  const { code, stderr } = await result;
  expect(code).toBe(1);
  expect(stderr.slice(stderr.indexOf("vista-train:"))).toContain(
    `train.py did not load ${weights} but ckpts/svd_xt.safetensors`,
  );
});

test("nodes that do not find one another: a time-out of our own, with a message", async () => {
  const port = await freePort();
  const { result, output } = start("ok", [
    "--nodes",
    "2",
    "--gpus",
    "1",
    "--rdzv-endpoint",
    `127.0.0.1:${port}`,
    "--rendezvous-timeout",
    "8",
  ]);
  const { code, stderr } = await result;
  expect(code).toBe(1);
  expect(stderr).toContain("no worker was started within 8.0 s, so the nodes did not find one another");
  expect(alive(output)).toEqual([]);
});

test("Ctrl-C in the middle: forwarded, waited for, nobody left", async () => {
  const { result, output } = start("sleep", ["--nodes", "1", "--gpus", "2"], (kill, out) =>
    whenRunning(out, 2, () => {
      // Two workers and what each has started for itself, in sessions of their own.
      if (alive(out).length < 5) throw new Error(`not all are running: ${alive(out).join("; ")}`);
      kill("SIGINT");
    }),
  );
  const { code, stderr } = await result;
  expect(code).toBe(130);
  expect(stderr).toContain("training was stopped by SIGINT");
  expect(alive(output)).toEqual([]);
});

test("workers that ignore signals: a second Ctrl-C kills them", async () => {
  const { result, output } = start("stubborn", ["--nodes", "1", "--gpus", "2"], (kill, out) =>
    whenRunning(out, 2, () => {
      kill("SIGINT");
      setTimeout(() => kill("SIGINT"), 1500);
    }),
  );
  expect((await result).code).toBe(130);
  expect(alive(output)).toEqual([]);
});

test("torchrun itself killed, as by the kernel out of memory: its workers do not outlive it", async () => {
  const { result, output } = start("sleep", ["--nodes", "1", "--gpus", "2"], (_, out) =>
    whenRunning(out, 2, () => {
      for (const name of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
        let text = "";
        try {
          text = readFileSync(`/proc/${name}/cmdline`, "latin1");
        } catch {
          continue;
        }
        if (
          text.includes("torch.distributed.run") &&
          readFileSync(`/proc/${name}/environ`, "latin1").includes(out)
        ) {
          if (!text.includes("vista-train")) process.kill(Number(name), "SIGKILL");
        }
      }
    }),
  );
  const { code, stderr } = await result;
  expect(code).toBe(137);
  expect(stderr).toContain("killed by SIGKILL");
  expect(alive(output)).toEqual([]);
});

test("this command killed: the training ends all the same", async () => {
  const { result, output } = start("sleep", ["--nodes", "1", "--gpus", "2"], (kill, out) =>
    whenRunning(out, 2, () => kill("SIGKILL")),
  );
  expect((await result).signal).toBe("SIGKILL");
  for (let i = 0; i < 200 && alive(output).length > 0; i++) await new Promise((r) => setTimeout(r, 100));
  expect(alive(output)).toEqual([]);
});

test("the dry run, pasted into a shell, does the same", async () => {
  const args = [
    "debug",
    "--vista",
    vista,
    "--python",
    PYTHON,
    "--dry-run",
    "--",
    "data.params.num_workers=4",
  ];
  const dry = await runCli("vista-train", args);
  expect(dry.code).toBe(0);
  const { execFileSync } = await import("node:child_process");
  const output = join(folder, "pasted");
  await mkdir(output);
  execFileSync("bash", ["-c", dry.stdout], {
    env: { ...process.env, STANDIN_MODE: "light", STANDIN_OUT: output },
  });
  const [only] = await ranks(output);
  expect(only?.argv).toEqual([
    ...[
      "--base",
      "configs/example/nusc_train.yaml",
      "--finetune",
      "",
      "--num_nodes",
      "1",
      "--n_devices",
      "1",
    ],
    "data.params.num_workers=4",
  ]);
});
