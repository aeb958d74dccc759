/** What ends a training, and that nothing of it is left. The tests wait for processes of their own, side by side. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MARK } from "../../src/train/run/processes.js";
import { endOrphans } from "../../src/train/run/run.js";
import { alive, folder, nap, start } from "./torchrun-stand-in.js";

test.concurrent.each<[NodeJS.Signals, string, number]>([
  ["SIGINT", "INT", 130],
  ["SIGTERM", "TERM", 143],
])("%s is forwarded once and waited for", async (signal, name, code) => {
  const log = join(folder, `signals-${name}`);
  const result = await start(
    `trap 'echo ${name} >> ${log}; sleep 1; echo saved; exit 1' ${name}\nREADY\nwhile :; do sleep 0.1; done`,
    [],
    (kill) => kill(signal),
  );
  expect(result.code).toBe(code);
  expect(result.stdout).toBe("started\nsaved\n");
  expect(await readFile(log, "utf8")).toBe(`${name}\n`);
  expect(result.stderr).toContain(`training was stopped by ${signal}`);
});

test.concurrent("a second Ctrl-C kills all at once, also what runs in sessions of its own", async () => {
  const time = nap();
  const result = await start(
    `trap '' INT TERM\nsetsid sleep ${time} &\nsleep ${time} &\nREADY\nwhile :; do sleep 0.1; done`,
    [],
    (kill) => {
      kill("SIGINT");
      setTimeout(() => kill("SIGINT"), 500);
    },
  );
  expect(result.code).toBe(130);
  expect(alive(time)).toEqual([]);
});

test.concurrent("what torchrun leaves behind is ended", async () => {
  const time = nap();
  const result = await start(`setsid sleep ${time} &\nsleep 0.3; kill -KILL $$`);
  expect(result.code).toBe(137);
  expect(alive(time)).toEqual([]);
});

test.concurrent("what does not heed SIGTERM is ended by SIGKILL", async () => {
  const time = nap();
  const env = { PATH: process.env.PATH, [MARK]: time };
  const script = `trap "" TERM; echo started; sleep ${time}; :`;
  const child = spawn("setsid", ["bash", "--norc", "-c", script], {
    env,
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(child.stdout, "data");
  expect(await endOrphans(time, { term: 200, kill: 10_000 })).toEqual([]);
  expect(alive(time)).toEqual([]);
});

test.concurrent("if this command itself is killed, the training ends too", async () => {
  const time = nap();
  const body = `setsid sleep ${time} &\nsleep ${time} &\nREADY\nwait`;
  const result = await start(body, [], (kill) => kill("SIGKILL"));
  expect(result.signal).toBe("SIGKILL");
  // Processes that are just being started may get their SIGTERM a second later.
  for (let i = 0; i < 200 && alive(time).length > 0; i++) await new Promise((r) => setTimeout(r, 100));
  expect(alive(time)).toEqual([]);
});
