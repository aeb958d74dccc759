/** Running a training: output, exit codes, what is told of it. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { expect, onTestFinished, test, vi } from "vitest";
import { runTraining } from "../../src/train/run/run.js";
import { runCli } from "../helpers/cli.js";
import { alive, folder, nap, program, start, vista } from "./torchrun-stand-in.js";

test("output passes through byte for byte, the exit code is torchrun's", async () => {
  const result = await start(`printf 'out\\r\\033[1mbold\\n'; printf 'err' >&2; exit 0`);
  expect(result).toMatchObject({ code: 0, stdout: "out\r\u001b[1mbold\n", stderr: "err" });
  const failed = await start(`echo "RuntimeError: CUDA out of memory." >&2; exit 7`);
  expect(failed.code).toBe(7);
  expect(failed.stderr).toContain("training failed: torchrun: exit code 7");
  expect(failed.stderr).toContain("A GPU ran out of memory");
});

test("a torchrun killed by a signal is never a success", async () => {
  const killed = await start("kill -KILL $$");
  expect(killed.code).toBe(137);
  expect(killed.stderr).toContain("killed by SIGKILL");
  expect((await start("kill -TERM $$")).code).toBe(143);
});

test("a program or a checkout that is not there", async () => {
  const none = await runCli("vista-train", [
    ...["debug", "--vista", vista, "--python", join(folder, "no-python"), "--skip-checks"],
  ]);
  expect(none.code).toBe(1);
  expect(none.stderr).toMatch(/^vista-train: .*no-python: cannot start it: .*\n$/);
  const nowhere = await runCli("vista-train", ["debug", "--vista", join(folder, "nowhere")]);
  expect(nowhere.code).toBe(1);
  expect(nowhere.stderr).toContain("train/checkout");
});

test("a torchrun that starts no worker is ended with a message", async () => {
  const time = nap();
  const result = await start(`exec sleep ${time}`, ["--rendezvous-timeout", "1"]);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain("no worker was started within 1.0 s");
  expect(alive(time)).toEqual([]);
});

test("one that has a worker is left alone, and --rendezvous-timeout 0 waits for ever", async () => {
  // The clock stands still until the worker is there, however long that takes, and is beyond the time-out then.
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const torchrun = await program("TORCHELASTIC_RUN_ID=x bash -c 'echo here; sleep 0.7' & wait");
  const stdout = new PassThrough().once("data", () => vi.setSystemTime(Date.now() + 3_600_000));
  const worker = await runTraining(
    { file: torchrun, args: [], cwd: folder, env: {} },
    { stdout, stderr: new PassThrough(), env: process.env, rendezvousTimeout: 0.4 },
  );
  expect(worker).toMatchObject({ exitCode: 0, rendezvousTimeout: undefined });
  vi.useRealTimers();
  expect((await start("sleep 0.2", ["--rendezvous-timeout", "0"])).code).toBe(0);
});

test("a worker in a container, which has no mark, is heard", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
  // As `docker run` starts one: by a daemon, with an environment of its own.
  const torchrun = await program("echo Running on GPUs 0,; exec sleep 0.5");
  const stdout = new PassThrough().once("data", () => vi.setSystemTime(Date.now() + 3_600_000));
  const heard = await runTraining(
    { file: torchrun, args: [], cwd: folder, env: {} },
    { stdout, stderr: new PassThrough(), env: process.env, rendezvousTimeout: 0.2 },
  );
  expect(heard).toMatchObject({ exitCode: 0, rendezvousTimeout: undefined });
});

test("a silent fallback is told even if training ends well", async () => {
  const weights = join(folder, "w.safetensors");
  await writeFile(weights, "");
  const body = "echo Loading pretrained model from ckpts/svd_xt.safetensors";
  const result = await start(body, ["--finetune", weights]);
  expect(result.code).toBe(0);
  expect(result.stderr).toContain(`did not load ${weights} but ckpts/svd_xt.safetensors`);
});

test("--then merges the last checkpoint of the run that was made", async () => {
  const fixture = new URL("../../fixtures/zero/vista-phase1", import.meta.url).pathname;
  const run = join(vista, "logs/then");
  const body = `mkdir -p ${run}/checkpoints; cp -r ${fixture} ${run}/checkpoints/last.ckpt`;
  const result = await start(body, ["--name", "then", "--then", "merge"]);
  expect(result.code).toBe(0);
  expect(result.stdout).toBe(`${run}/pytorch_model.bin\n`);
  const none = await start("true", ["--then", "merge"]);
  expect(none.code).toBe(1);
  expect(none.stderr).toContain("no new run folder");
});

test("a reader that goes away ends the training, and not with 0", async () => {
  const time = nap();
  const torchrun = await program(`while :; do echo line; sleep 0.05; done & sleep ${time}`);
  const shell = `"$0" "$1" phase1 --vista "$2" --nodes 1 --torchrun "$3" --skip-checks | head -n 1; echo "\${PIPESTATUS[0]}"`;
  const bin = new URL("../../bin/vista-train.js", import.meta.url).pathname;
  const { execFile } = await import("node:child_process");
  const stdout = await new Promise<string>((resolve, reject) => {
    execFile("bash", ["--norc", "-c", shell, process.execPath, bin, vista, torchrun], (error, out) =>
      error ? reject(error) : resolve(out),
    );
  });
  expect(stdout).toBe("line\n1\n");
  expect(alive(time)).toEqual([]);
});
