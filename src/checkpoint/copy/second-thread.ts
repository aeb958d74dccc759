/** The second thread of the copy loop. What it does is in other modules, so that it can start before those are loaded. */
import { Worker } from "node:worker_threads";
import type { LaneJob, LaneResult } from "./lane.js";

/** A worker thread from its start on. */
export class SecondThread {
  readonly #worker: Worker;
  ready = false;
  ended = false;
  /** Gets every result; it is called without one when the thread is ready. */
  onResult: (result?: LaneResult) => void = () => {};
  /** Hears that the thread is gone, for whatever reason: nobody does the jobs that it was given and has not answered. */
  onEnd: () => void = () => {};

  constructor() {
    // The heap is no larger than short-lived messages need.
    const resourceLimits = { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 64 };
    this.#worker = new Worker(new URL("./lane-worker.js", import.meta.url), { resourceLimits });
    this.#worker.on("message", (message: "ready" | LaneResult) => {
      if (message !== "ready") return this.onResult(message);
      this.ready = true;
      this.onResult();
    });
    // A thread ends after an error and also without one, so only its end counts. Whoever gets its jobs meets the error.
    this.#worker.on("error", () => {});
    this.#worker.on("exit", () => {
      this.ready = false;
      this.ended = true;
      this.onEnd();
    });
  }

  run(job: LaneJob): void {
    this.#worker.postMessage(job);
  }

  /** Ends the thread; nobody has to wait for that. */
  end(): void {
    void this.#worker.terminate();
  }

  /** Sets whether the thread keeps the process alive. */
  hold(process: boolean): void {
    if (process) this.#worker.ref();
    else this.#worker.unref();
  }
}

/** The thread that was started ahead of time and is not in use yet. */
let spare: SecondThread | undefined;

/**
 * Starts the second thread that {@link takeSecondThread} gives next, so that it is there when copying begins: a thread takes some
 * 50 ms to start. It does not keep the process alive until then.
 */
export function startSecondThread(): void {
  if (spare !== undefined) return;
  spare = new SecondThread();
  spare.hold(false);
}

export function takeSecondThread(): SecondThread {
  const taken = spare === undefined || spare.ended ? new SecondThread() : spare;
  spare = undefined;
  taken.hold(true);
  return taken;
}
