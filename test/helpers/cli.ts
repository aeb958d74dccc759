import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface CliResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface CliOptions {
  cwd?: string;
  /** Variables of the environment beside those of this process. */
  env?: Record<string, string>;
  /** Starts a process of its own; so does the option below. */
  process?: boolean;
  /** Called once, when the process has started. */
  onStart?: (kill: (signal: NodeJS.Signals) => void, pid: number) => void;
}

/** The file that each program's `bin/` loads. */
const MAIN: Record<string, string> = {
  "vista-ckpt": "checkpoint",
  "vista-data": "dataset",
  "vista-train": "train",
};

/** Calls one after the other: they share this process's streams, folder and exit code. */
let last: Promise<unknown> = Promise.resolve();

/**
 * Runs one of the package's commands from the built files, by calling its main function in this process: starting Node for
 * each of several hundred runs takes longer than all of them. What depends on a process of its own (signals, its exit) gets
 * one.
 */
export function runCli(
  command: string,
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  if (options.process || options.onStart !== undefined) return startProcess(command, args, options);
  const result = last.then(() => callMain(command, args, options));
  last = result.catch(() => {});
  return result;
}

async function callMain(command: string, args: readonly string[], options: CliOptions): Promise<CliResult> {
  const file = new URL(`../../dist/${MAIN[command]}/cli/${command}.js`, import.meta.url);
  const { main } = (await import(/* @vite-ignore */ file.href)) as {
    main: (argv: readonly string[]) => Promise<void>;
  };
  const { stdout, stderr } = process;
  const written = { stdout: "", stderr: "" };
  const before = { cwd: process.cwd(), exitCode: process.exitCode, out: stdout.write, err: stderr.write };
  const names = Object.keys(options.env ?? {});
  const environment = names.map((name) => process.env[name]);
  const capture = (name: "stdout" | "stderr") =>
    ((chunk: string | Uint8Array, encoding?: unknown, callback?: unknown) => {
      written[name] += typeof chunk === "string" ? chunk : Buffer.from(chunk).toString();
      const done = typeof encoding === "function" ? encoding : callback;
      if (typeof done === "function") process.nextTick(done as () => void);
      return true;
    }) as typeof stdout.write;
  if (options.cwd !== undefined) process.chdir(options.cwd);
  Object.assign(process.env, options.env);
  process.exitCode = undefined;
  stdout.write = capture("stdout");
  stderr.write = capture("stderr");
  try {
    await main([process.execPath, command, ...args]);
    return { code: Number(process.exitCode ?? 0), signal: null, ...written };
  } finally {
    stdout.write = before.out;
    stderr.write = before.err;
    process.exitCode = before.exitCode;
    process.chdir(before.cwd);
    for (const [i, name] of names.entries()) {
      if (environment[i] === undefined) delete process.env[name];
      else process.env[name] = environment[i];
    }
  }
}

function startProcess(command: string, args: readonly string[], options: CliOptions): Promise<CliResult> {
  const bin = fileURLToPath(new URL(`../../bin/${command}.js`, import.meta.url));
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], {
      cwd: options.cwd,
      env: { ...process.env, NO_COLOR: "1", ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    options.onStart?.((signal) => child.kill(signal), child.pid!);
  });
}
