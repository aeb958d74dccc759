/** The machine as the preflight and the Slurm part ask it, mostly by small programs: nvidia-smi, Python, sbatch. */
import { execFile } from "node:child_process";
import { lookup } from "node:dns/promises";
import { statfs } from "node:fs/promises";
import { constants, hostname } from "node:os";

/** The seconds after SIGKILL within which a process that can be killed is gone. */
const KILL_SECONDS = 2;

/** The end of a program, and what it said. */
export interface Captured {
  /** The way it ended: `missing` where there is no such program, `timeout` where it did not answer in time. */
  outcome: "exited" | "missing" | "timeout";
  /** The exit code, or 128 where a signal ended the program; 127 for `missing` and 124 for `timeout`, as a shell says them. */
  code: number;
  stdout: string;
  stderr: string;
}

/** The machine as far as a check may know it: its environment, and what programs on it say. */
export interface System {
  env: Record<string, string | undefined>;
  capture(
    file: string,
    args: readonly string[],
    options?: { cwd?: string; timeoutSeconds?: number; env?: Record<string, string | undefined> },
  ): Promise<Captured>;
  hostname: string;
  /** Tells whether a host name has an address here. */
  resolves(name: string): Promise<boolean>;
  /** Returns the bytes that this user may still write below an existing folder; undefined where the file system does not tell. */
  freeBytes(folder: string): Promise<number | undefined>;
}

/** Returns the machine that this process runs on. */
export function realSystem(env: Record<string, string | undefined>, signal?: AbortSignal): System {
  return {
    env,
    hostname: hostname(),
    resolves: (name) =>
      lookup(name).then(
        () => true,
        () => false,
      ),
    async freeBytes(folder) {
      const disk = await statfs(folder);
      // Some network file systems report 0 blocks in all, which says nothing of free space.
      return disk.blocks === 0 ? undefined : disk.bavail * disk.bsize;
    },
    capture: (file, args, options = {}) =>
      new Promise((resolve, reject) => {
        const seconds = options.timeoutSeconds ?? 30;
        const end = (outcome: Captured["outcome"], code: number, stdout = "", stderr = "") =>
          resolve({ outcome, code, stdout, stderr });
        const child = execFile(
          file,
          [...args],
          {
            env: options.env ?? env,
            timeout: seconds * 1000,
            killSignal: "SIGKILL",
            maxBuffer: 1 << 24,
            cwd: options.cwd,
            signal,
          },
          (error, stdout, stderr) => {
            clearTimeout(lastTimer);
            if (error === null) return end("exited", 0, stdout, stderr);
            if (error.name === "AbortError") return reject(error);
            // EACCES stands for a file that may not be run; ENOENT comes also where the working folder is missing.
            if (error.code === ("ENOENT" as never) || error.code === ("EACCES" as never))
              return end("missing", 127);
            if (error.killed) return end("timeout", 124, stdout, stderr);
            const signalled = 128 + (constants.signals[error.signal!] ?? 0);
            end("exited", typeof error.code === "number" ? error.code : signalled, stdout, stderr);
          },
        );
        // A process that hangs in a driver does not die of SIGKILL, and one that it has left behind holds its output open:
        // execFile would wait for both for ever.
        const lastTimer = setTimeout(
          () => {
            child.stdout?.destroy();
            child.stderr?.destroy();
            child.unref();
            end("timeout", 124);
          },
          (seconds + KILL_SECONDS) * 1000,
        );
      }),
  };
}
