/** Runs a training: passes its output through, forwards signals, and leaves no process behind. */

import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { constants } from "node:os";
import type { Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { VistaError } from "../../core/errors.js";
import type { Command } from "../launch/command.js";
import { findMarked, GUARD_SCRIPT, MARK, sendSignal, signalMarked } from "./processes.js";
import { type FailureReport, OutputWatch } from "./watch.js";

export interface TrainingOptions {
  /** The stream that gets what the training writes to stdout, byte for byte; `stderr` gets what it writes there. */
  stdout: Writable;
  stderr: Writable;
  /** The environment that the command's own is added to. */
  env: Record<string, string | undefined>;
  /** The seconds until a torchrun without workers is ended; 0 for never, undefined for a command that is not torchrun. */
  rendezvousTimeout?: number | undefined;
  /** The path that train.py should say it loads weights from; where it says another one, that is `fallback` of the result. */
  expectedWeights?: string | undefined;
  /** The function to call once, when the processes can be told what to do; the caller forwards signals with what it gets. */
  onStart?: ((training: RunningTraining) => void) | undefined;
}

/** A training that runs, for whoever started it. */
export interface RunningTraining {
  /** The first call forwards the signal to torchrun, which ends its workers. Later calls do nothing. */
  interrupt(signal: NodeJS.Signals): void;
  /** Kills everything at once. It is synchronous, for the moment before this process ends. */
  kill(): void;
}

/** The end of a training, and what is known of its reasons. */
export interface TrainingResult {
  /** The exit code of torchrun, 128 + n if signal n ended it, or 1 after a rendezvous time-out; it is never 0 for these two. */
  exitCode: number;
  /** The signal that ended the process itself. */
  signal: NodeJS.Signals | undefined;
  /** The seconds within which no worker was started, so that the training was ended; undefined where that did not happen. */
  rendezvousTimeout: number | undefined;
  /** The processes that SIGKILL did not end: they hang in a driver or a file system, and only the kernel can let them go. */
  left: number[];
  /** The report of what is known of a failure; it also holds a silent fallback of a training that ended well. */
  report: FailureReport;
  /** The path that train.py loaded weights from in silence, where that is not the one that it was given. */
  fallback: string | undefined;
}

/** The seconds for torchrun and its workers to end after SIGTERM; torchrun itself gives workers 30. */
const GRACE_SECONDS = 40;
/** The milliseconds to wait after SIGKILL, since releasing a GPU's memory takes a worker seconds. */
const KILL_WAIT_MS = 30_000;

/** The milliseconds between SIGTERM and SIGKILL for what torchrun left behind, whose training is lost by then. */
const ORPHANS_MS = 2000;
/**
 * Runs the command to its end, and to the end of everything that it started.
 *
 * @throws VistaError `NOT_FOUND` where the program or its working folder does not exist
 */
export async function runTraining(command: Command, options: TrainingOptions): Promise<TrainingResult> {
  const mark = randomUUID();
  const env = { ...options.env, ...command.env, [MARK]: mark };
  // The guard starts before the training: if this process were killed between the two, nobody would end the training.
  const guard = startGuard(mark, options.env.PATH);
  // The training gets a process group of its own, since Ctrl-C on the terminal must reach torchrun once, through us.
  const child = spawn(command.file, command.args, {
    cwd: command.cwd,
    env,
    stdio: ["inherit", "pipe", "pipe"],
    detached: true,
  });
  try {
    await once(child, "spawn");
  } catch (error) {
    guard.stdin.end("over\n");
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ENOENT" ? "there is no such program, or no such working folder" : message;
    throw new VistaError("NOT_FOUND", `cannot start it: ${reason}`, {
      path: command.file,
      hint: "Activate Vista's environment, or name the program with --torchrun or --python.",
      cause: error,
    });
  }

  const watch = new OutputWatch(options.expectedWeights);
  passThrough(child, options, watch);
  // torchrun itself writes nothing on stdout. In a container its workers may have no mark, or a /proc of their own.
  let isHeard = false;
  child.stdout!.once("data", () => {
    isHeard = true;
  });

  const kill = () => {
    sendSignal(-child.pid!, "SIGKILL");
    // A worker may be starting another process at this moment, so this goes on until nobody is left.
    for (let round = 0; round < 20 && signalMarked(mark, "SIGKILL"); round++);
  };
  let interrupted = false;
  options.onStart?.({
    interrupt(signal) {
      if (interrupted) return;
      interrupted = true;
      // Only torchrun gets the signal: it passes it on to the workers, who would otherwise get it twice.
      sendSignal(child.pid!, signal);
    },
    kill,
  });

  let killTimer: NodeJS.Timeout | undefined;
  const giveUp = new AbortController();
  const hasWorker = () => isHeard || findMarked(mark).some(({ worker }) => worker);
  const rendezvous = watchRendezvous(hasWorker, options.rendezvousTimeout, () => {
    sendSignal(child.pid!, "SIGTERM");
    killTimer = setTimeout(() => {
      kill();
      killTimer = setTimeout(() => giveUp.abort(), KILL_WAIT_MS);
    }, GRACE_SECONDS * 1000);
  });
  const closed = once(child, "close");
  const [code, signal] = (await once(child, "exit", { signal: giveUp.signal }).catch(() => [
    null,
    "SIGKILL",
  ])) as [number | null, NodeJS.Signals | null];
  rendezvous.stop();
  clearTimeout(killTimer);
  // Orphans hold the pipes open, so they are ended before the wait for the last of the output.
  await within(closed, 2000);
  const left = await endOrphans(mark);
  if (left.length === 0) await within(closed, 30_000);
  guard.stdin.end("over\n");
  // What could not be ended must not keep this process from ending.
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();

  return {
    exitCode: rendezvous.expired ? 1 : (code ?? 128 + (constants.signals[signal!] ?? 0)),
    signal: signal ?? undefined,
    rendezvousTimeout: rendezvous.expired ? options.rendezvousTimeout : undefined,
    left,
    report: watch.report(),
    fallback: watch.fallback,
  };
}

/** Starts the shell that ends the run if this process is killed; a line on its stdin tells it that the run is over. */
function startGuard(mark: string, path: string | undefined): ChildProcessByStdio<Writable, null, null> {
  const args = ["-c", GUARD_SCRIPT, "guard", `${MARK}=${mark}`, String(GRACE_SECONDS)];
  const guard = spawn("/bin/sh", args, {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: { PATH: path },
  });
  // Without a shell there is no guard; the training itself is not worse for it.
  guard.on("error", () => {});
  guard.stdin.on("error", () => {});
  guard.unref();
  return guard;
}

function passThrough(child: ChildProcess, options: TrainingOptions, watch: OutputWatch): void {
  for (const name of ["stdout", "stderr"] as const) {
    const from = child[name]!;
    from.on("data", (chunk: Buffer) => watch.add(name, chunk));
    from.pipe(options[name], { end: false });
  }
}

/**
 * Ends what torchrun has left behind: workers of a torchrun that was killed, data loaders of killed workers.
 *
 * @param waits  the milliseconds to wait after SIGTERM and after SIGKILL
 * @returns the processes that are still there: SIGKILL does not reach what hangs in a driver
 */
export async function endOrphans(
  mark: string,
  waits = { term: ORPHANS_MS, kill: KILL_WAIT_MS },
): Promise<number[]> {
  if (!signalMarked(mark, "SIGTERM")) return [];
  for (let waited = 0; waited < waits.term; waited += 100) {
    await pause(100);
    if (findMarked(mark).length === 0) return [];
  }
  for (let waited = 0; waited < waits.kill; waited += 50) {
    if (!signalMarked(mark, "SIGKILL")) return [];
    await pause(50);
  }
  return findMarked(mark).map(({ pid }) => pid);
}

/**
 * Watches for the first worker, and calls `onTimeout` where none is started in time: torchrun starts its workers when all nodes
 * have met, and until then it waits without a word.
 */
function watchRendezvous(hasWorker: () => boolean, seconds: number | undefined, onTimeout: () => void) {
  const state = { expired: false, stop: () => {} };
  if (!seconds) return state;
  const end = Date.now() + seconds * 1000;
  const timer = setInterval(
    () => {
      if (hasWorker()) return clearInterval(timer);
      if (Date.now() < end) return;
      clearInterval(timer);
      state.expired = true;
      onTimeout();
    },
    Math.min(2000, seconds * 250),
  );
  state.stop = () => clearInterval(timer);
  return state;
}

/** Waits for a promise, but no longer than this; the timer does not keep the process alive. */
async function within(promise: Promise<unknown>, milliseconds: number): Promise<void> {
  await Promise.race([promise, pause(milliseconds, undefined, { ref: false })]);
}
