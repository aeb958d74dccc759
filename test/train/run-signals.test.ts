/** What ends a training, and that nothing of it is left. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { alive, folder, start } from "./torchrun-stand-in.js";

test.each<[NodeJS.Signals, string, number]>([
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

test("a second Ctrl-C kills all at once, also what runs in sessions of its own", async () => {
  const result = await start(
    `trap '' INT TERM\nsetsid sleep 601.1 &\nsleep 601.1 &\nREADY\nwhile :; do sleep 0.1; done`,
    [],
    (kill) => {
      kill("SIGINT");
      setTimeout(() => kill("SIGINT"), 500);
    },
  );
  expect(result.code).toBe(130);
  expect(alive("601.1")).toEqual([]);
});

test("what torchrun leaves behind is ended", async () => {
  const result = await start(
    "setsid sleep 602.1 &\nnohup setsid bash -c 'trap \"\" TERM; sleep 602.1; :' &\nsleep 0.3; kill -KILL $$",
  );
  expect(result.code).toBe(137);
  expect(alive("602.1")).toEqual([]);
});

test("if this command itself is killed, the training ends too", async () => {
  const result = await start("setsid sleep 603.1 &\nREADY\nsleep 603.1", [], (kill) => kill("SIGKILL"));
  expect(result.signal).toBe("SIGKILL");
  // At once, as a rule; a process that is just being started may be missed by SIGTERM and ends with SIGKILL, 40 s later.
  for (let i = 0; i < 500 && alive("603.1").length > 0; i++) await new Promise((r) => setTimeout(r, 100));
  expect(alive("603.1")).toEqual([]);
}, 70_000);
