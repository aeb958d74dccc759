/**
 * The processes of one training, however far they have gone from us. torchrun starts each worker in a session of its
 * own and data loaders fork below them, so neither a process group nor the tree of parents holds them all once torchrun
 * is dead. What they all have is the environment they were started with: one variable of it carries a mark.
 */
import { readdirSync } from "node:fs";
import { readRegularSync } from "../../core/io/regular.js";

/** The environment variable with the mark of a run. */
export const MARK = "VISTA_TRAIN_RUN";

export interface MarkedProcess {
  pid: number;
  /** Whether it is a worker of torchrun, or was started by one. */
  worker: boolean;
}

/** Finds the live processes that carry a mark; none where there is no /proc (macOS), where the process group has to do. */
export function findMarked(mark: string): MarkedProcess[] {
  let pids: string[];
  try {
    pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  const found: MarkedProcess[] = [];
  for (const name of pids) {
    let environment: string[];
    try {
      environment = readRegularSync(`/proc/${name}/environ`).toString("latin1").split("\0");
    } catch {
      continue; // The process has ended meanwhile, or it is another user's.
    }
    if (!environment.includes(`${MARK}=${mark}`)) continue;
    found.push({
      pid: Number(name),
      worker: environment.some((entry) => entry.startsWith("TORCHELASTIC_RUN_ID=")),
    });
  }
  return found;
}

/** Sends a signal to all processes of a run. @returns whether there was any */
export function signalMarked(mark: string, signal: NodeJS.Signals): boolean {
  const processes = findMarked(mark);
  for (const { pid } of processes) sendSignal(pid, signal);
  return processes.length > 0;
}

/** Sends a signal, and does not mind if the process is gone or its number is another user's now; a negative pid is a group. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/**
 * A shell script that waits for its stdin to end and then ends the run, for the moment when this process is killed and
 * cannot do it. A line on stdin tells it that the run is over.
 *
 * $1 is the marked variable as it stands in the environment, $2 the seconds between TERM and KILL. Each process gets TERM
 * once: torchrun would take a second one for a reason to stop waiting for its workers. A process that is just being started has
 * no environment to be found by, and gets it a second later.
 */
export const GUARD_SCRIPT = `
trap '' INT TERM HUP
read -r line && exit 0
mark=$1
left=$2
told=" "
run() { grep -lzxF -- "$mark" /proc/[0-9]*/environ 2>/dev/null; }
each() {
  for file in $(run); do
    pid=\${file#/proc/}
    pid=\${pid%/environ}
    case $1$told in TERM*" $pid "*) continue ;; esac
    told="$told$pid "
    kill "-$1" "$pid" 2>/dev/null
  done
}
each TERM
while [ "$left" -gt 0 ] && [ -n "$(run)" ]; do
  sleep 1
  each TERM
  left=$((left - 1))
done
each KILL
`;
