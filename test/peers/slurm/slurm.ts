import { execFile } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const HERE = fileURLToPath(new URL(".", import.meta.url));

/** A Slurm of our own on this machine, see start.sh. */
export interface TestSlurm {
  /** A folder that jobs may write to. */
  work: string;
  /** What a command needs in its environment to reach this Slurm. */
  env: Record<string, string>;
  /** Runs one command and returns its stdout; throws (with stdout, stderr and code) if it fails. */
  exec(command: readonly string[], options?: { cwd?: string; env?: Record<string, string> }): Promise<string>;
  /** Waits until a job has ended (or reached `states`) and returns its state and exit code, as Slurm spells them. */
  waitForJob(
    id: string,
    options?: { states?: readonly string[]; timeoutSeconds?: number },
  ): Promise<{ state: string; exitCode: string; restarts: number }>;
  stop(): Promise<void>;
}

const ENDED = ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE"];

/**
 * Starts slurmctld and one slurmd a node; about 6 MB and some hundredths of a second each.
 *
 * @param port  of slurmctld, the slurmds take those after it: choose another one for each test file
 */
export async function startSlurm(nodes: number, port = 26817): Promise<TestSlurm> {
  const base = await mkdtemp(join(tmpdir(), "vista-slurm-"));
  const dir = join(base, "slurm");
  await run("bash", [join(HERE, "start.sh"), dir, String(nodes), String(port)]);
  const env = { SLURM_CONF: join(dir, "slurm.conf") };
  const work = join(dir, "work");

  const exec: TestSlurm["exec"] = async (command, options = {}) => {
    const { stdout } = await run(command[0]!, command.slice(1), {
      cwd: options.cwd ?? work,
      env: { ...process.env, ...env, ...options.env },
      maxBuffer: 1 << 26,
    });
    return stdout;
  };
  return {
    work,
    env,
    exec,
    async waitForJob(id, { states = ENDED, timeoutSeconds = 120 } = {}) {
      const deadline = Date.now() + timeoutSeconds * 1000;
      let text = "";
      while (Date.now() < deadline) {
        text = await exec(["scontrol", "--oneliner", "show", "job", id]);
        const field = (name: string) => new RegExp(`\\b${name}=(\\S+)`).exec(text)?.[1] ?? "";
        if (states.includes(field("JobState"))) {
          return {
            state: field("JobState"),
            exitCode: field("ExitCode"),
            restarts: Number(field("Restarts")),
          };
        }
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      throw new Error(`job ${id} is not ${states.join(" or ")} after ${timeoutSeconds} s: ${text}`);
    },
    async stop() {
      await run("bash", [join(HERE, "stop.sh"), dir]);
      await run("rm", ["-rf", base]);
    },
  };
}
