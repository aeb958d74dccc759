/** Running with shell scripts in the place of torchrun; test/peers/train does it with the real one. */
import { readdirSync, readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CliResult, runCli } from "../helpers/cli.js";
import { temporaryFolder } from "../helpers/state.js";
import { makeCheckout } from "./checkout.js";

/** Of all files that import this one in the same process: it stays until the run of the tests ends. */
export const folder = temporaryFolder();
export const vista = await makeCheckout(folder);

let scripts = 0;
let naps = 0;

/**
 * An argument of `sleep` that no other process has, to look for with {@link alive}: a second run of the tests may be under way
 * on the same machine.
 */
export function nap(): string {
  return `600.${process.pid}${String(naps++).padStart(3, "0")}`;
}

export async function program(body: string): Promise<string> {
  const path = join(folder, `torchrun-${scripts++}`);
  await writeFile(path, `#!/bin/bash\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

/**
 * Starts phase 1 on one node with a script for torchrun. With `onLine`, which is called at its first output, in a process of
 * its own.
 */
export async function start(
  body: string,
  args: readonly string[] = [],
  onLine?: (kill: (signal: NodeJS.Signals) => void) => void,
): Promise<CliResult> {
  const ready = join(folder, `ready-${scripts}`);
  const torchrun = await program(`cd ${folder}\n${body.replace("READY", `echo started; touch ${ready}`)}`);
  return runCli(
    "vista-train",
    [
      "phase1",
      "--vista",
      vista,
      "--nodes",
      "1",
      "--gpus",
      "2",
      "--torchrun",
      torchrun,
      "--skip-checks",
      ...args,
    ],
    onLine && {
      onStart(kill) {
        const timer = setInterval(() => {
          if (!readdirSync(folder).includes(ready.split("/").at(-1)!)) return;
          clearInterval(timer);
          onLine(kill);
        }, 50);
      },
    },
  );
}

/** Processes whose command line has this word. */
export function alive(word: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8");
      } catch {
        return "";
      }
    })
    .filter((text) => text.includes(word));
}
