/** Running with shell scripts in the place of torchrun; test/peers/train does it with the real one. */
import { readdirSync, readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type CliResult, runCli } from "../helpers/cli.js";
import { makeCheckout, temporaryFolder } from "./checkout.js";

export const folder = await temporaryFolder();
export const vista = await makeCheckout(folder);

let scripts = 0;

export async function program(body: string): Promise<string> {
  const path = join(folder, `torchrun-${scripts++}`);
  await writeFile(path, `#!/bin/bash\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

/** Starts phase 1 on one node with a script for torchrun; `onLine` is called at its first output. */
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
    {
      onStart(kill) {
        if (onLine === undefined) return;
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
