/**
 * The processes of one training, however far they have gone from us. torchrun starts each worker in a session of its
 * own and data loaders fork below them, so neither a process group nor the tree of parents holds them all once torchrun
 * is dead. What they all have is the environment they were started with: one variable of it carries a mark.
 */
import { readdirSync } from "node:fs";
import { readRegularSync } from "../../core/io/regular.js";

/** Environment variable with the mark of a run. */
export const MARK = "VISTA_TRAIN_RUN";

/** A process of a run. */
export interface MarkedProcess {
  pid: number;
  /** Started by torchrun as a worker: it has a rank. */
  worker: boolean;
}

/** The live processes that carry a mark; empty where there is no /proc (macOS), where the process group has to do. */
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
      continue; // ended meanwhile, or another user's
    }
    if (!environment.includes(`${MARK}=${mark}`)) continue;
    found.push({
      pid: Number(name),
      worker: environment.some((entry) => entry.startsWith("TORCHELASTIC_RUN_ID=")),
    });
  }
  return found;
}

/** Sends a signal to all of a run; true if there was anyone. */
export function signalMarked(mark: string, signal: NodeJS.Signals): boolean {
  const processes = findMarked(mark);
  for (const { pid } of processes) sendSignal(pid, signal);
  return processes.length > 0;
}

/** kill(2) that does not mind if the process is gone, its number another user's now; a negative pid is a group. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error;
  }
}

/**
 * A shell script that waits for its stdin to end and then ends the run: for the moment when this process is killed and
 * cannot do it. A line on stdin tells it that the run is over.
 *
 * $1 is the marked variable as it stands in the environment, $2 the seconds between TERM and KILL.
 */
export const GUARD_SCRIPT = `
trap '' INT TERM HUP
read -r line && exit 0
run() { grep -lzxF -- "$mark" /proc/[0-9]*/environ 2>/dev/null; }
each() {
  for file in $(run); do
    pid=\${file#/proc/}
    kill "-$1" "\${pid%/environ}" 2>/dev/null
  done
}
mark=$1
left=$2
each TERM
while [ "$left" -gt 0 ] && [ -n "$(run)" ]; do
  sleep 1
  left=$((left - 1))
done
each KILL
`;
